// Package state holds what is known of one pod, as plain data, and how it changes.
//
// Step takes a State and an Event and returns the next State; it never changes its input, does no I/O, and knows no clock:
// an event carries its own time. What the pod's manifest asks for (Pod) and what its sandbox and containers were made from
// (Applied) are kept apart. What is to be done is decided in package plan, what others see in package status.
//
// Whatever is done to the world is an effect that runs apart. While it runs its thing (a container, the sandbox, an image
// ...) has a Flight; at most one effect works on one thing. Its end is an event, whichever way it ended.
//
// The life of a container (the test TestDiagram holds this picture to the code):
//
//	absent    -> creating   a create began
//	creating  -> created    the runtime has set it up
//	creating  -> absent     the create failed; it is tried again after a back-off
//	created   -> running    its process was started
//	created   -> absent     the start failed, or it is no longer wanted
//	running   -> stopping   an edit, a failed probe, the pod's end
//	running   -> ended      its process ended by itself
//	stopping  -> ended      its process ended
//	ended     -> creating   the next attempt
//	creating  -> ended      the next attempt's create failed
//	created   -> ended      the next attempt's start failed, or it is no longer wanted
//	ended     -> absent     the manifest no longer names it
//	absent    -> running    found running after a restart of Solopod
//	ended     -> running    found running after a restart of Solopod
package state
