// Package plan decides what to do for a pod. It is pure: Next takes the desired pod, the observed one and the time, and
// returns actions. It knows no I/O, no clock and no goroutine, so that every rule of restarts, back-off, probes'
// consequences, edits and termination is tested by tables.
//
// The life of a container, as Next drives it:
//
//	           create+start                exits
//	(absent) ──────────────▶ running ─────────────────▶ exited ──┐
//	   ▲                        │                          │     │ restart policy says no: stays
//	   │                        │ pod goes, part edited,   │
//	   │                        │ probe failed             │ restart policy says yes, back-off over
//	   │                        ▼                          │
//	   │                    stopping ──(grace)──▶ killed ──┤
//	   └───────────────────────────────────────────────────┘ next attempt
//
// and of a pod:
//
//	(absent) ──set up──▶ ready ──all containers ended for good──▶ ready, terminal (stays so)
//	    ▲                  │
//	    │                  │ file gone, or the shared part edited: containers stop within the grace period
//	    │                  ▼
//	    └──torn down── terminating
package plan
