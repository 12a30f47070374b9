// Package rollout decides how the pods of a Deployment, StatefulSet or DaemonSet get another version of their template: which of them
// now, and which wait until others are available. It is pure.
//
// Pods keep their names: each is a slot, whose pod is replaced where it stands. Where the strategy allows more pods than there are
// slots (maxSurge), these get the new version first, under names behind the last slot's, and go when all slots have it:
//
//	web-0 old   web-0 old          web-0 (stops, new)   web-0 new            web-0 new   web-0 new
//	web-1 old   web-1 old          web-1 old            web-1 (stops, new)   web-1 new   web-1 new
//	            web-2 new (begins) web-2 new            web-2 new            web-2 new
//
// What holds at every moment: as many pods are available as there are slots, less maxUnavailable, unless pods fail by themselves; and at
// most maxSurge + maxUnavailable pods have the new version and are not available. So a version that never becomes available stalls there.
package rollout
