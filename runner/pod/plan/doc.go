// Package plan decides what to do for a pod. It is pure: Plan takes the state and the time, and returns effects. It knows no
// I/O, no clock and no goroutine, and changes nothing, so that every rule of restarts, back-off, probes' consequences, edits,
// retries and termination is tested by tables.
//
// A plan is made in three steps:
//
//   - What holds whatever the manifests say is looked after (lookAfter): what runs is watched, probed and signalled, what has
//     ended is examined and drained.
//   - The rules (Next) compare the desired pod with the observed one, both drawn from the state, and return actions: start this
//     container, stop that one, tear the pod down. They hold once it is known what runs and what should. Each action becomes
//     effects (follow): a start is a pull, then a create, then a start, as far as the state says that it has come.
//   - What should run is compared with what does (effects): Run starts an effect, Cancel ends one that is no longer wanted, Wake
//     asks for another plan at a time. What needs no look at the world is a decision: Decide gives the state an event at once, and
//     the rest is planned anew behind it.
//
// At most one effect works on one thing: a container, the sandbox, an image. So the plan waits for an effect that runs there, and
// one that does not heed its cancellation in time (Heed) is left behind by a decision: its thing waits, and nothing else. An effect
// says what it is (Work.Is), so that the same one, still wanted, is not begun twice. How long it may take is in limits.
//
// The life of a container:
//
//	         pull, create, start             exits
//	(absent) ──────────────────▶ running ──────────────────▶ exited ──┐ examined, drained, deleted
//	   ▲                            │                          │      │ restart policy says no: stays
//	   │                            │ pod goes, part edited,   │      │
//	   │                            │ probe failed             │      │ restart policy says yes, back-off over
//	   │                            ▼                          │      │
//	   │                        stopping ──(grace)──▶ killed ──┘      │
//	   └──────────────────────────────────────────────────────────────┘ next attempt
//
// and of a pod:
//
//	(absent) ──claim, set up, attach──▶ ready ──all containers ended for good──▶ ready, terminal (stays so)
//	    ▲                                 │
//	    │                                 │ file gone, or the shared part edited: containers stop within the grace period
//	    │                                 ▼
//	    └─────────────clear────────── terminating
package plan
