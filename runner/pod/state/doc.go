// Package state holds what is known of one pod, as plain data, the events that change it, and its record on the disk.
//
// What the pod's manifest asks for (Pod) and what its sandbox and containers were made from (Applied) are kept apart. What an
// event changes is said in runner/pod/step, what is to be done in runner/pod/plan, what others see in runner/pod/status.
//
// Whatever is done to the world is an effect that runs apart. While it runs its thing (a container, the sandbox, an image
// ...) has a Flight; at most one effect works on one thing. Its end is an event, whichever way it ended.
package state
