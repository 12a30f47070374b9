// Package eviction ends pods before the machine runs short of memory, disk, files or processes, and lets them begin anew when that has
// passed. What must be left, which pod is first, and what its message says are the kubelet's (pkg/kubelet/eviction); that a static pod
// comes back is Solopod's: a box must not lose its pods for ever.
//
// It knows nothing of pods' workers: what it needs of them is handed in.
package eviction

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/eviction/threshold"
)

// Pod is one as the Manager needs to know it.
type Pod struct {
	UID string
	// Name is namespace/name.
	Name     string
	Priority int32
	// Request is what the pod has asked for as a whole.
	Request v1.ResourceList
	// Requests are the containers'.
	Requests map[string]v1.ResourceList
	// Grace is what the pod gets to end in by itself.
	Grace time.Duration
	// Ending: it ends anyway, whatever the reason, and something of it still runs, or is being taken away. Ended: nothing would come of its
	// eviction, as nothing of it runs.
	Ending, Ended bool
	// Held: it was evicted, and waits to be let in again; HeldFor is what was short, HeldSince when that was, of one that ends as well.
	Held      bool
	HeldFor   threshold.Signal
	HeldSince time.Time
	// Evictions counts how often it was evicted of late, this one included.
	Evictions int
}

// Order is an eviction.
type Order struct {
	UID string
	// Signal is what is short, Message the kubelet's sentence about it.
	Signal  threshold.Signal
	Message string
	// Grace is what the pod gets to end in.
	Grace time.Duration
}

// Pods are those of the machine. Its methods are called by one goroutine.
type Pods interface {
	List() []Pod
	// Evict begins to end a pod, and has one that ends already do so in less time. An error that is not the context's means that there is no
	// such pod any more.
	Evict(ctx context.Context, o Order) error
	// Readmit lets a held pod begin anew.
	Readmit(ctx context.Context, uid string) error
}

// Used is what a pod takes up.
type Used struct {
	Amount uint64
	// Containers are parts of it, where they are known.
	Containers map[string]uint64
	// Unknown: it could not be measured. More: there is more of it than could be counted.
	Unknown, More bool
}

// Reclaim gives back something that nobody will miss.
type Reclaim struct {
	// Name is what is reclaimed, as people say it.
	Name string
	// Signals are those that it helps.
	Signals []threshold.Signal
	// Do gives back missing bytes or files, or less. It returns in time, and what it did in words; empty where it did nothing.
	Do func(ctx context.Context, missing uint64) (did string, err error)
}

// Alarm rings when memory may have become short; alarm.Memory is one.
type Alarm interface {
	Rings() <-chan struct{}
	// Arm sets how much more may be used until then.
	Arm(left uint64)
	// Works says whether it rings for sure before what it was armed with is used up.
	Works() bool
}

// Config is what the Manager works with.
type Config struct {
	Thresholds []threshold.Threshold
	// Transition is for how long nothing must have been short for a pod to be let in again.
	Transition time.Duration
	// MaxGrace bounds what pods get to end in where a soft threshold is crossed; zero bounds nothing.
	MaxGrace time.Duration
	Pods     Pods
	// Ready is closed when it is known which pods there should be; nil: it is.
	Ready <-chan struct{}
	// Changes gets a token when a pod has changed.
	Changes <-chan struct{}
	// Levels measures what is left of signals, without those that cannot be measured now.
	Levels func(ctx context.Context, signals []threshold.Signal) (map[threshold.Signal]threshold.Level, error)
	// Use measures what pods take up of what a signal is of, by UID; pods that do not run have no entry.
	Use      func(ctx context.Context, s threshold.Signal) map[string]Used
	Reclaims []Reclaim
	Alarm    Alarm
	// Note tells the node's conditions of a signal that is short.
	Note func(s threshold.Signal, message string)
	// Tell makes an event of the node.
	Tell func(eventType, reason, message string)
}
