package state

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/reference"
)

// Event is something that happened; runner/pod/step says what it changes.
type Event interface{ event() }

// Failure kinds of effects, as far as they matter for what is done next.
type (
	// Problem is how an effect failed; the zero value means that it did not.
	Problem struct {
		// Reason is the kubelet's word for it.
		Reason  string
		Message string
		// Lacks is the reference of an image that is not present. Instead is what there is with another digest, for people.
		Lacks, Instead string
		// Claim: another pod has what is wanted.
		Claim bool
		// NoRoom: the machine has not enough for what the pod requests. A kubelet would have it fail for that.
		NoRoom bool
		// Sandbox: the pod must be set up anew.
		Sandbox bool
		// Refused: the OCI runtime cannot run the container as the manifest has it. The attempt has ended with that.
		Refused bool
	}
)

// Failed says whether there is a problem.
func (p Problem) Failed() bool { return p != Problem{} }

// What comes from outside of the pod.
type (
	// Desired says that the manifests name the pod in this version, or, with a nil Pod, no longer do.
	Desired struct {
		At   time.Time
		Pod  *v1.Pod
		File string
		// Objects are those that the pod refers to, Before those of them that it referred to as it was.
		Objects, Before reference.Objects
	}
	// Exited says that a container's main process ended.
	Exited struct {
		ID   string
		Code int32
		When time.Time
	}
	// Listed is what containerd has of this pod. Containers that started after Asked need not be in it.
	Listed struct {
		Asked, At time.Time
		Found     []Found
	}
	// ImagesReady says that images were imported or pulled; the names are complete references.
	ImagesReady struct{ Names []string }
	// ImagesScanned says that the archives that lay in the images directory at the start have been read.
	ImagesScanned struct{}
	// ClaimsFree says that some pod has given ports of the host or devices back.
	ClaimsFree struct{}
	// RestartAsked says that somebody wants a container, or all of the pod (an empty name), to begin anew.
	RestartAsked struct{ Container string }
	// Evicted asks for the pod's end because the machine is short of something (Signal, as memory.available). Message is for people.
	// Grace bounds the pod's grace period; nil means that it is the pod's own.
	Evicted struct {
		At              time.Time
		Signal, Message string
		Grace           *time.Duration
	}
	// Readmitted says that a pod that was evicted may begin anew.
	Readmitted struct{ At time.Time }
	// Drained says that the machine goes down; the pod must have ended by then.
	Drained struct{ StopBy time.Time }
	// ClockMoved says that the machine's clock was set; Offset is its new one, Booted when the machine was booted by the old one.
	ClockMoved struct {
		Moved  time.Duration
		Booted time.Time
	}
	// HostChanged says that the machine has other addresses, or another resolver configuration; see Host.
	HostChanged struct {
		IPs      []string
		Resolver string
	}
	// Explained says in words why a process of the container was killed for memory, at a time.
	Explained struct {
		At       time.Time
		ID, Text string
	}
	// Saved says that the record as of a step outlives a crash of Solopod and, Synced, a power cut; or it cannot be written, as Problem
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
	// FoundUnknown says that there is a record and no process; how it ended cannot be learned.
	FoundUnknown FoundStatus = iota
	// FoundUnanswered says that nobody could say in time; it may run.
	FoundUnanswered
	FoundCreated
	FoundRunning
	FoundStopped
)

// What plan decides without a look at the world.
type (
	// StopBegun says that a container's end has begun.
	StopBegun struct {
		At      time.Time
		Name    string
		Grace   time.Duration
		Reason  string
		Replace bool
		EndsPod bool
		// Awaits: its stop signal waits for its turn.
		Awaits bool
	}
	// TurnCome says that a sidecar's stop signal need not wait any longer.
	TurnCome struct {
		At   time.Time
		Name string
	}
	// HookOver says that a preStop hook's time is over.
	HookOver struct {
		At   time.Time
		Name string
	}
	// KillBegun says that a container's grace period is over.
	KillBegun struct {
		At   time.Time
		Name string
	}
	// PodFailed says that the pod as a whole has failed.
	PodFailed struct{ Reason, Message string }
	// EvictionDecided says what comes of the eviction that was asked for: nothing where the pod ends, or has ended, anyway.
	EvictionDecided struct{ Ends bool }
	// Initialized says that the init containers have done their work.
	Initialized struct{}
	// BegunAnew says that all containers run again, in place.
	BegunAnew struct {
		Trigger string
		Backoff Backoff
	}
	// BackingOff says that a container's restart has to wait.
	BackingOff struct{ Name string }
	// EditDue says that the edit that has waited is taken.
	EditDue struct{ At time.Time }
	// EditLacks says what an edit that waits lacks, which no effect is needed to see.
	EditLacks struct{ Message string }
	// PullBacksOff says that the next pull of an image has been waiting for a while.
	PullBacksOff struct{ Ref string }
	// ConditionsNoted are the pod's conditions as they were published; their times outlive Solopod.
	ConditionsNoted struct{ Conditions []v1.PodCondition }
	// Removed says that the manifest no longer names the container, which does not run.
	Removed struct{ Name string }
	// HeldBack says that too much of a container's earlier attempts was left behind for another one.
	HeldBack struct{ Name string }
	// AddressAwaited says that a container shows an address that is not known yet.
	AddressAwaited struct{ Name string }
	// Unmade says that an attempt that was created is no longer wanted.
	Unmade struct{ Name string }
	// NotPrepared says that the set-up lacks something that no effect is needed to see.
	NotPrepared struct {
		At      time.Time
		Problem Problem
	}
	// LeftBehind says that an effect did not heed its cancellation.
	LeftBehind struct {
		Thing string
		At    time.Time
	}
)

// The life of effects.
type (
	// Begun says that an effect began.
	Begun struct {
		Thing  string
		Flight Flight
		// Making is the attempt that it makes, if it makes one.
		Making *Making
	}
	// Told says that an effect was cancelled.
	Told struct {
		Thing string
		At    time.Time
	}
	// Returned says that an effect has ended; Result says how.
	Returned struct {
		Thing  string
		Token  uint64
		At     time.Time
		Result Result
	}
	// Said says that an effect that goes on has something to say.
	Said struct {
		Thing string
		Token uint64
		At    time.Time
		News  Result
	}
	// Voided says that the results of all effects that run do not count: the state was restored from the record.
	Voided struct{ Flights map[string]*Flight }
)

// Result is what an effect has to say; runner/pod/step says what it changes.
type Result interface{ result() }

// Results of effects.
type (
	// SandboxFound is what an earlier run left of the sandbox.
	SandboxFound struct {
		// Complete: all of it is there.
		Complete bool
		Limits   string
		// Absent: nothing of it is there.
		Absent bool
		// Problem: it could not be looked at.
		Problem Problem
	}
	// Claimed says that the pod has what no other can have. Released: it has nothing, also not what it had before.
	Claimed struct {
		Grant    Grant
		Problem  Problem
		Released bool
	}
	// SandboxMade says that what the containers share is there, but for the network.
	SandboxMade struct {
		Limits string
		// VolumeImages are the images that its volumes show, by volume.
		VolumeImages map[string]string
		Problem      Problem
	}
	// Attached says that the pod is connected to the network.
	Attached struct {
		Attachment Attachment
		// Resolver is that of the effect.
		Resolver string
		Problem  Problem
	}
	// ResolverShown says that the pod's resolver configuration is made of this one of the machine's.
	ResolverShown struct {
		Resolver string
		Problem  Problem
	}
	// Cleared says that what the containers share is gone. All: what the pod has on the disk, too.
	Cleared struct {
		All     bool
		Problem Problem
	}
	// VolumesShown says that filled volumes show Content, or keep what they have.
	VolumesShown struct {
		Content string
		Problem Problem
	}
	// LimitsSet says that the pod's cgroup has the limits of this revision.
	LimitsSet struct {
		Limits, Resized string
		Problem         Problem
	}
	// Made says that a container was created, and its process waits. LeftBehind: it failed, and something of it may be there.
	Made struct {
		Pid            uint32
		Image, ImageID string
		User           *v1.ContainerUser
		StopSignal     int
		Limits         string
		// Warnings are told once the container has started.
		Warnings   []Report
		LeftBehind bool
		Problem    Problem
	}
	// Started says that a container's process runs.
	Started struct {
		When    time.Time
		Problem Problem
	}
	// OutputRead says that a running container's output is read by this Solopod.
	OutputRead struct {
		// Kills and Group are as in KillsSeen.
		Kills   uint64
		Group   bool
		Problem Problem
	}
	// KillsSeen says that the kernel has killed processes of a container for memory. Group: it ends all of a container with one of them.
	KillsSeen struct {
		Kills uint64
		Group bool
	}
	// WatchEnded says that an effect that goes on while a container runs has ended.
	WatchEnded struct{ Problem Problem }
	// Probed is one answer of a probe; an empty Failure is a success, of which Warning may say something.
	Probed struct {
		Kind             ProbeKind
		Failure, Warning string
	}
	// HookEnded says that a lifecycle hook has ended; an empty Failure is a success. FellBack says why one by HTTPS was done
	// by HTTP.
	HookEnded struct {
		PreStop  bool
		Failure  string
		FellBack string
	}
	// SignalSent says that a container was sent a signal. Found is what there was instead of its process, if that had ended.
	SignalSent struct {
		Signal  int
		Found   *Found
		Problem Problem
	}
	// Examined is what an ended container has left.
	Examined struct {
		// Kills is its cgroup's count, where it could be read; Group as in KillsSeen.
		Kills   uint64
		Group   bool
		Message string
	}
	// LogComplete says that what an ended container has written is in its log. Text is the end of that, where it was asked for.
	LogComplete struct {
		Text    string
		Problem Problem
	}
	// LeftoverGone says that an ended container is deleted.
	LeftoverGone struct{ Problem Problem }
	// Resized says that a running container has other resources.
	Resized struct {
		Resources string
		Limits    string
		Problem   Problem
	}
	// ImagePulled says that an image is present.
	ImagePulled struct{ Problem Problem }
	// Lack is an image that is not present; Instead is what there is with another digest, for people.
	Lack struct{ Ref, Instead string }
	// Foreseen says what an edit lacks that the pod waits for.
	Foreseen struct {
		Missing []Lack
		Problem Problem
	}
	// Measured is what a pod has written; Over says which limit it exceeds.
	Measured struct {
		Over    string
		Problem Problem
	}
	// Panicked says that an effect's own code failed.
	Panicked struct{ Message string }
)

// PodStarted is the reason of a report that is a measurement, not an event.
const PodStarted = "PodStarted"

// OOMKilling is the reason of a report whose Count is how many kills for memory there were by now in all of a container's attempts.
const OOMKilling = "OOMKilling"
