package state

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/reference"
)

// Event is something that happened. Its apply changes s, which is a copy.
type Event interface{ apply(s *State) }

// Failure kinds of effects, as far as they matter for what is done next.
type (
	// Problem is how an effect failed; the zero value means that it did not.
	Problem struct {
		// Reason is the kubelet's word for it.
		Reason  string
		Message string
		// Lacks is the reference of an image that is not present.
		Lacks string
		// Claim: another pod has what is wanted.
		Claim bool
		// Sandbox: the pod must be set up anew.
		Sandbox bool
	}
)

func (p Problem) failed() bool { return p != Problem{} }

// What comes from outside of the pod.
type (
	// Desired: the manifests name the pod in this version, or, with a nil Pod, no longer do.
	Desired struct {
		At   time.Time
		Pod  *v1.Pod
		File string
		// Objects are those that the pod refers to.
		Objects reference.Objects
	}
	// Exited: a container's main process ended.
	Exited struct {
		ID   string
		Code int32
		When time.Time
		At   time.Time
	}
	// Listed is what containerd has of this pod. Containers that started after Asked need not be in it.
	Listed struct {
		Asked, At time.Time
		Found     []Found
	}
	// ImagesReady: images were imported or pulled; the names are complete references.
	ImagesReady struct{ Names []string }
	// ImagesScanned: the archives that lay in the images directory at the start have been read.
	ImagesScanned struct{}
	// ClaimsFree: some pod has given ports of the host or devices back.
	ClaimsFree struct{}
	// RestartAsked: somebody wants a container, or all of the pod (an empty name), to begin anew.
	RestartAsked struct{ Container string }
	// Drained: the machine goes down; the pod must have ended by then.
	Drained struct{ StopBy time.Time }
	// ClockMoved: the machine's clock was set; Offset is its new one, Booted when the machine was booted by the old one.
	ClockMoved struct {
		Moved  time.Duration
		Booted time.Time
	}
	// Saved: the record as of a step outlives a crash of Solopod and, Synced, a power cut; or it cannot be written, as Problem
	// says, and nobody waits for it.
	Saved struct {
		Step    uint64
		Synced  bool
		Problem string
	}
)

// Found is one container that containerd has.
type Found struct {
	ID, Name  string
	Attempt   int
	Revision  string
	CreatedAt time.Time
	Pid       uint32
	Status    FoundStatus
	ExitCode  int32
	ExitedAt  time.Time
}

// FoundStatus is a process's as containerd has it.
type FoundStatus int

// The states of a container's process.
const (
	// FoundUnknown: there is a record and no process; how it ended cannot be learned.
	FoundUnknown FoundStatus = iota
	// FoundUnanswered: nobody could say in time; it may run.
	FoundUnanswered
	FoundCreated
	FoundRunning
	FoundStopped
)

// What plan decides without a look at the world.
type (
	// StopBegun: a container's end has begun.
	StopBegun struct {
		At      time.Time
		Name    string
		Grace   time.Duration
		Reason  string
		Replace bool
		EndsPod bool
	}
	// HookOver: a preStop hook's time is over.
	HookOver struct {
		At   time.Time
		Name string
	}
	// KillBegun: a container's grace period is over.
	KillBegun struct {
		At   time.Time
		Name string
	}
	// PodFailed: the pod as a whole has failed.
	PodFailed struct{ Reason, Message string }
	// Initialized: the init containers have done their work.
	Initialized struct{}
	// BegunAnew: all containers run again, in place.
	BegunAnew struct {
		Trigger string
		Backoff Backoff
	}
	// BackingOff: a container's restart has to wait.
	BackingOff struct{ Name string }
	// ConditionsNoted are the pod's conditions as they were published; their times outlive Solopod.
	ConditionsNoted struct{ Conditions []v1.PodCondition }
	// Removed: the manifest no longer names the container, which does not run.
	Removed struct{ Name string }
	// Unmade: an attempt that was created is no longer wanted.
	Unmade struct{ Name string }
	// NotPrepared: the set-up lacks something that no effect is needed to see.
	NotPrepared struct {
		At      time.Time
		Problem Problem
	}
	// LeftBehind: an effect did not heed its cancellation.
	LeftBehind struct {
		Thing string
		At    time.Time
	}
)

// The life of effects.
type (
	// Begun: an effect began.
	Begun struct {
		Thing  string
		Flight Flight
		// Making is the attempt that it makes, if it makes one.
		Making *Making
	}
	// Told: an effect was cancelled.
	Told struct {
		Thing string
		At    time.Time
	}
	// Returned: an effect has ended; Result says how.
	Returned struct {
		Thing  string
		Token  uint64
		At     time.Time
		Result Result
	}
	// Said: an effect that goes on has something to say.
	Said struct {
		Thing string
		Token uint64
		At    time.Time
		News  Result
	}
	// Voided: the results of all effects that run do not count: the state was restored from the record.
	Voided struct{ Flights map[string]*Flight }
)

// Result is what an effect has to say. take changes s, which is a copy; f is the effect's flight.
type Result interface {
	take(s *State, f *Flight, at time.Time)
}

// Results of effects.
type (
	// SandboxFound: what an earlier run left of the sandbox.
	SandboxFound struct {
		// Complete: all of it is there.
		Complete bool
		Limits   string
		// Absent: nothing of it is there.
		Absent bool
		// Problem: it could not be looked at.
		Problem Problem
	}
	// Claimed: the pod has what no other can have.
	Claimed struct {
		Grant   Grant
		Problem Problem
	}
	// SandboxMade: what the containers share is there, but for the network.
	SandboxMade struct {
		Limits  string
		Problem Problem
	}
	// Attached: the pod is connected to the network.
	Attached struct {
		Attachment Attachment
		Problem    Problem
	}
	// Cleared: what the containers share is gone. All: what the pod has on the disk, too.
	Cleared struct {
		All     bool
		Problem Problem
	}
	// VolumesShown: filled volumes show Content, or keep what they have.
	VolumesShown struct {
		Content string
		Problem Problem
	}
	// LimitsSet: the pod's cgroup has the limits of this revision.
	LimitsSet struct {
		Limits, Resized string
		Problem         Problem
	}
	// Made: a container was created, and its process waits. LeftBehind: it failed, and something of it may be there.
	Made struct {
		Pid            uint32
		Image, ImageID string
		StopSignal     int
		Limits         string
		// Warnings are told once the container has started.
		Warnings   []Report
		LeftBehind bool
		Problem    Problem
	}
	// Started: a container's process runs.
	Started struct {
		When    time.Time
		Problem Problem
	}
	// OutputRead: a running container's output is read by this Solopod.
	OutputRead struct {
		Kills   uint64
		Problem Problem
	}
	// KillsSeen: the kernel has killed processes of a container for memory.
	KillsSeen struct{ Kills uint64 }
	// WatchEnded: an effect that goes on while a container runs has ended.
	WatchEnded struct{ Problem Problem }
	// Probed is one answer of a probe; an empty Failure is a success.
	Probed struct {
		Kind    ProbeKind
		Failure string
	}
	// HookEnded: a lifecycle hook has ended; an empty Failure is a success.
	HookEnded struct {
		PreStop bool
		Failure string
	}
	// SignalSent: a container was sent a signal. Found is what there was instead of its process, if that had ended.
	SignalSent struct {
		Signal  int
		Found   *Found
		Problem Problem
	}
	// Examined is what an ended container has left.
	Examined struct {
		// Kills is its cgroup's count, where it could be read.
		Kills   uint64
		Message string
	}
	// LogComplete: what an ended container has written is in its log. Text is the end of that, where it was asked for.
	LogComplete struct {
		Text    string
		Problem Problem
	}
	// LeftoverGone: an ended container is deleted.
	LeftoverGone struct{ Problem Problem }
	// Resized: a running container has other resources.
	Resized struct {
		Resources string
		Limits    string
		Problem   Problem
	}
	// ImagePulled: an image is present.
	ImagePulled struct{ Problem Problem }
	// Measured is what a pod has written; Over says which limit it exceeds.
	Measured struct {
		Over    string
		Problem Problem
	}
	// Panicked: an effect's own code failed.
	Panicked struct{ Message string }
)
