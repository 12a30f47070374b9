// Package step says what a pod's state becomes by an event. It is pure: Step takes a State and an Event and returns the next State,
// changes nothing of its input, does no I/O, and knows no clock: an event carries its own time.
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
//	creating  -> ended      the runtime cannot run its command; or the next attempt's create failed
//	created   -> ended      the runtime cannot run its command; or the next attempt's start failed, or it is no longer wanted
//	ended     -> absent     the manifest no longer names it
//	absent    -> running    found running after a restart of Solopod
//	ended     -> running    found running after a restart of Solopod
package step
