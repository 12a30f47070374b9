// Package pod runs one pod: a Worker is one goroutine that alone touches the pod's state. It reads its mailbox, steps the
// state, plans, starts effects, hands the record to its writer, and publishes; it waits for nothing else.
//
// What is to be done is decided by runner/pod/plan, what becomes of it by runner/pod/state, both pure. How it is done is
// behind the Doer: the real one in package runner, and that of the simulation.
package pod
