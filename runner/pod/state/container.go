package state

import (
	"math/bits"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Container is the history of one container, and what is known of it now.
type Container struct {
	// ID is the current container in containerd; empty when there is none.
	ID string `json:"id,omitempty"`
	// Attempt counts from 0; it is the restart count and the log file's name.
	Attempt  int    `json:"attempt"`
	Revision string `json:"revision"`
	Running  bool   `json:"running,omitempty"`
	Pid      uint32 `json:"pid,omitempty"`
	// Terminal and Stdin say which FIFOs the container has.
	Terminal   bool `json:"terminal,omitempty"`
	Stdin      bool `json:"stdin,omitempty"`
	StopSignal int  `json:"stopSignal,omitempty"`
	// PreStop is the hook that the running container was started with; ports are numbers in it.
	PreStop *v1.LifecycleHandler `json:"preStop,omitempty"`
	// Hooked: the postStart hook has ended well, or there is none.
	Hooked bool `json:"hooked,omitempty"`
	// Begun: an attempt has run since the sandbox was set up. Only before that do the postStart hooks of others hold it back.
	Begun bool `json:"begun,omitempty"`
	// Resources is a hash of what can be changed while it runs.
	Resources string    `json:"resources,omitempty"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	// Started and Ready are what the startup and readiness probes said last; before the postStart hook has ended both are false.
	Started bool    `json:"started,omitempty"`
	Ready   bool    `json:"ready,omitempty"`
	Ended   *Ending `json:"ended,omitempty"`
	Last    *Ending `json:"last,omitempty"`
	Backoff Backoff `json:"backoff,omitzero"`
	Image   string  `json:"image,omitempty"`
	ImageID string  `json:"imageID,omitempty"`
	// User is whom the container's process was started as.
	User *v1.ContainerUser `json:"user,omitempty"`
	// OOMKills counts the processes killed for memory in all attempts before the current one.
	OOMKills uint64 `json:"oomKills,omitempty"`
	// Kills counts those of the current attempt, from some dozens on roughly: what more there are after a start came while nobody looked.
	Kills uint64 `json:"kills,omitempty"`
	// Replaced: the container was stopped for an edit, or with the machine; its end is not a failure.
	Replaced bool `json:"replaced,omitempty"`
	// Replacing: this attempt was told to end so that another one comes; should it end after a crash of Solopod, that still holds.
	Replacing bool `json:"replacing,omitempty"`
	// Verdict is why this attempt had to end; nil when it did not have to. It stays when the attempt has ended: the exit code then
	// does not decide whether another one follows.
	Verdict *Verdict `json:"verdict,omitempty"`

	Making *Making `json:"-"`
	Now    Now     `json:"-"`
}

// Verdict is that of a failed liveness or startup probe, or of a postStart hook that failed. Nobody may change it.
type Verdict struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	// Grace is the failed probe's own grace period; nil means the pod's.
	Grace *time.Duration `json:"grace,omitempty"`
}

// Ending is how one attempt ended.
type Ending struct {
	ID         string    `json:"id"`
	ExitCode   int32     `json:"exitCode"`
	Reason     string    `json:"reason"`
	Message    string    `json:"message,omitempty"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	// FromLog: the message is still to be read from the log, when that is complete.
	FromLog bool `json:"fromLog,omitempty"`
	// Explained says why the attempt was killed for memory, where that is known: it stands where the container left no message.
	Explained string `json:"explained,omitempty"`
}

// ForMemory says whether the attempt ended by a kill for memory.
func (e *Ending) ForMemory() bool { return e != nil && e.Reason == ReasonOOM }

// Making is an attempt that does not run yet.
type Making struct {
	ID        string
	Attempt   int
	Revision  string
	Resources string
	Backoff   Backoff
	// Spec is the container as the manifest had it when the attempt began.
	Spec  *v1.Container
	Began time.Time
	// Created: the runtime has set it up, and its process waits for the start. The fields below are known from then on.
	Created        bool
	Pid            uint32
	Image, ImageID string
	User           *v1.ContainerUser
	StopSignal     int
	Warnings       []Report
	// Exit is set when its process has ended before it was known to have started.
	Exit *Exit
}

// Now is what is known of a running container only while this Solopod runs, and what hinders the next attempt.
type Now struct {
	// Since is when this Solopod started it, with the reading of the process's own clock; zero when an earlier one did.
	Since time.Time
	// Attached: its output is read.
	Attached bool
	// Stopping: its stop has begun; KillAt is when the grace period ends, Killed that it was over.
	Stopping bool
	KillAt   time.Time
	Killed   bool
	// PreStop: its preStop hook runs, and the stop signal comes after that.
	PreStop bool
	// Awaits: it is a sidecar of a pod that ends, and its stop signal waits until those have ended that end before it.
	Awaits bool
	// Signalled is the last signal that was delivered; Signals paces deliveries that failed, or had no effect.
	Signalled int
	Signals   Backoff
	// Judged is the step with which the verdict came. Where the verdict alone tells that it comes back, its stop begins when that is
	// noted: it may end at once, and the next Solopod must know why.
	Judged uint64
	// Kills is the last known kill count of its cgroup; KilledAt is when it last grew.
	Kills    uint64
	KilledAt time.Time
	// Explained is what was said of the last kill.
	Explained Explained
	// Exit is set when its process has ended, until what it left was looked at.
	Exit *Exit
	// Probes are the answers so far, by kind.
	Probes map[ProbeKind]Answers
	// Waiting says why the next attempt does not start; Retry is when it is tried again. A resize that failed waits for it too.
	WaitingReason, WaitingMessage string
	Retry                         Backoff
	// Lacks is the image that the next attempt waits for.
	Lacks string
	// BackoffTold: it was said that its restart has to wait.
	BackoffTold bool
}

// Exit is how a container's process ended.
type Exit struct {
	Code int32
	At   time.Time
	// Lost says why that cannot be learned; empty when it was.
	Lost string
}

// ProbeKind is which of a container's probes it is.
type ProbeKind string

// The three probes of a container.
const (
	Liveness  ProbeKind = "Liveness"
	Readiness ProbeKind = "Readiness"
	Startup   ProbeKind = "Startup"
)

// Answers counts a probe's.
type Answers struct {
	// Known: the threshold was reached once; Healthy is the verdict.
	Known, Healthy bool
	// Run is how many of the last answers were alike, Last what they were.
	Run  int32
	Last bool
}

// Count takes one answer and says whether the verdict is new: the first one, or another one.
func (a Answers) Count(p *v1.Probe, success bool) (next Answers, decided bool) {
	if success == a.Last && a.Run > 0 {
		a.Run++
	} else {
		a.Last, a.Run = success, 1
	}
	threshold := p.FailureThreshold
	if success {
		threshold = p.SuccessThreshold
	}
	if a.Run < max(threshold, 1) || a.Known && a.Healthy == success {
		return a, false
	}
	a.Known, a.Healthy = true, success
	return a, true
}

// NextAttempt is the number of the attempt that follows what is known.
func (c *Container) NextAttempt() int {
	if c == nil {
		return 0
	}
	if c.Ended != nil || c.Running {
		return c.Attempt + 1
	}
	return c.Attempt
}

// Phase is where a container is in its life.
type Phase string

// The phases of the picture in doc.go.
const (
	Absent   Phase = "absent"
	Creating Phase = "creating"
	Created  Phase = "created"
	Running  Phase = "running"
	Stopping Phase = "stopping"
	Ended    Phase = "ended"
)

// Phase of a container; nil is one that is not known.
func (c *Container) Phase() Phase {
	switch {
	case c == nil:
		return Absent
	case c.Running && c.Now.Stopping:
		return Stopping
	case c.Running:
		return Running
	case c.Making != nil && c.Making.Created:
		return Created
	case c.Making != nil:
		return Creating
	case c.Ended != nil:
		return Ended
	}
	return Absent
}

// Hinder clears what hindered the next attempt, and notes another reason.
func (c *Container) Hinder(reason, message string) {
	c.Now.WaitingReason, c.Now.WaitingMessage, c.Now.Lacks, c.Now.Retry = reason, message, "", Backoff{}
}

// PreStopOver notes that the preStop hook is over.
func (c *Container) PreStopOver(at time.Time) {
	c.Now.PreStop = false
	c.leaveMoment(at)
}

// TurnOver notes that nothing that ends before it holds the stop signal back any more.
func (c *Container) TurnOver(at time.Time) {
	c.Now.Awaits = false
	c.leaveMoment(at)
}

// leaveMoment: where the stop signal comes now, a moment is left for it in any case.
func (c *Container) leaveMoment(at time.Time) {
	if c.Now.PreStop || c.Now.Awaits {
		return
	}
	if least := at.Add(MinimumGrace); c.Now.KillAt.Before(least) {
		c.Now.KillAt = least
	}
}

// Serves says whether it is ready, and not known to have ended, which takes a while to be written down.
func (c *Container) Serves() bool { return c.Ready && c.Now.Exit == nil }

// EndsReady says whether the container can be ready while it ends, as with a kubelet: its pod is being removed, and while there is no other
// one, services lead to it. One that comes back after its end is not ready: what leads to it is to leave.
func (c *Container) EndsReady(s *State) bool { return !s.DeletedAt.IsZero() && c.Verdict == nil }

// WantedSignal is the signal that the container shall get, or 0.
func (c *Container) WantedSignal() int {
	switch {
	case !c.Running || !c.Now.Stopping || c.Now.Exit != nil:
		return 0
	case c.Now.Killed:
		return SIGKILL
	case c.Now.PreStop || c.Now.Awaits || c.Now.Signalled == c.StopSignal:
		return 0
	}
	return c.StopSignal
}

// Had says whether the container with this id is, or was, c's.
func (c *Container) Had(id string) bool {
	return c != nil && (c.ID == id || c.Ended != nil && c.Ended.ID == id || c.Last != nil && c.Last.ID == id)
}

// ProbeOf is a container's probe of a kind, or nil.
func ProbeOf(c *v1.Container, kind ProbeKind) *v1.Probe {
	switch {
	case c == nil:
		return nil
	case kind == Liveness:
		return c.LivenessProbe
	case kind == Readiness:
		return c.ReadinessProbe
	}
	return c.StartupProbe
}

// Reasons of ended containers, as the kubelet gives them.
const (
	ReasonCompleted = "Completed"
	ReasonError     = "Error"
	ReasonOOM       = "OOMKilled"
	ReasonUnknown   = "ContainerStatusUnknown"
	// ReasonStartError is containerd's (internal/cri, container_start.go), for a command that could not be started.
	ReasonStartError = "StartError"
)

// ExitOfStartError is the exit code that goes with ReasonStartError, as there.
const ExitOfStartError = 128

// ReasonHeldBack is of a container that waits because too much of its earlier attempts was left behind.
const ReasonHeldBack = "EffectLeftBehind"

// What is said of a container that waits for an address of the machine.
const (
	ReasonNoAddress = "CreateContainerConfigError" // as the kubelet
	NoAddress       = "the machine has no address yet, which the container's environment shows (is its network up? a setting: nodeIP); " +
		"the container starts as soon as it has one"
)

// ReasonEvicted is of a pod that was failed for what it used.
const ReasonEvicted = "Evicted"

// ReasonNameTaken is of a pod that waits for another one of its name, whose UID is another, to be gone.
const ReasonNameTaken = "WaitingForPod"

// SIGKILL is the signal that a process cannot ignore (signal(7)).
const SIGKILL = 9

// ExitOfKill is the exit code of a process that was killed with SIGKILL.
const ExitOfKill = 128 + SIGKILL

// NotedKills is what of a number of kills is written down: a storm of them is not worth a record each.
func NotedKills(kills uint64) uint64 {
	const exact = 4 // bits
	if more := bits.Len64(kills) - exact - 1; more > 0 {
		return kills >> more << more
	}
	return kills
}
