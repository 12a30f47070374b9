// Package simulation runs the real core, workers and owner of the pods in a simulated box, in virtual time, driven by a seed.
//
// The box has containers, sandboxes, host ports, images and a disk. Every effect in it may be quick, slow, fail, hang until it
// is let go or for ever, heed its cancellation or not, succeed after it, panic, or be cut by a kill of the daemon or the power.
// Manifests come, change and go; exits come late, twice, or are lost; people restart things. After each step, and at rest,
// what must always hold is checked (files check_*_test.go). At the end the faults stop and what hangs is let go: then the box must
// come to what its manifests say, within a bounded time.
//
// How an effect goes is drawn from the seed and from what it is, not from when it is asked for, so that a run with the same
// seed is the same run. It is for tests alone, and must be called in a bubble of testing/synctest.
package simulation
