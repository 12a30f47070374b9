package plan

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
)

// Desired is what the manifest asks for; nil means that the pod should not exist.
type Desired struct {
	// SharedRevision identifies everything that all containers share: volumes, network, security context, init containers.
	SharedRevision string
	// ContentRevision identifies what volumes show that can change while they are mounted.
	ContentRevision string
	RestartPolicy   v1.RestartPolicy
	// Grace is the pod's termination grace period.
	Grace time.Duration
	// ActiveDeadline is how long the pod may be active; zero means for ever.
	ActiveDeadline time.Duration
	// OOMRestartsPod: when a container is killed for memory, and would be restarted, all of the pod begins anew.
	OOMRestartsPod bool
	// InitContainers run before Containers, in this order; sidecars among them go on running.
	InitContainers []Container
	Containers     []Container
}

// Container is one desired container.
type Container struct {
	Name string
	// Revision identifies the container's own part of the manifest; Resources that part of its resources that can change
	// while it runs.
	Revision, Resources string
	// Sidecar is an init container with restartPolicy Always: the next starts when it has started, and it runs for as long as
	// the pod.
	Sidecar bool
	// PostStart: it has such a hook.
	PostStart bool
	// RestartPolicy is the container's own; empty means the pod's.
	RestartPolicy v1.ContainerRestartPolicy
	Rules         []RestartRule
}

// RestartRule decides by the exit code; the first that holds counts.
type RestartRule struct {
	// NotIn: it holds for all codes but Codes.
	NotIn bool
	Codes []int32
	// All: every container of the pod begins anew, not this one alone.
	All bool
}

// Observed is what exists.
type Observed struct {
	// SetUp: directories, volumes, cgroup, namespaces and network are there, made for SharedRevision.
	SetUp          bool
	SharedRevision string
	// ContentRevision is what volumes show.
	ContentRevision string
	// Anything: something of the pod exists, be it only a part left by an interrupted set-up or tear-down.
	Anything bool
	// Initialized: since the set-up all init containers have succeeded, and all sidecars started once.
	Initialized bool
	// Failed: the pod was failed as a whole; it ends and stays so until it is edited, or, where Revive is not zero, until then.
	Failed bool
	Revive time.Time
	// FailedGrace bounds the grace period of that end; nil means that it is the pod's own. Discards: what the pod has on the disk goes then.
	FailedGrace *time.Duration
	Discards    bool
	// StartedAt is when the pod was set up first; its active deadline counts from there.
	StartedAt time.Time
	// EndBy is when the grace period of the pod's end, which has begun, is over; zero before.
	EndBy time.Time
	// SetUpRetry is when a failed set-up may be tried again; zero when none failed.
	SetUpRetry time.Time
	// StopBy is when everything must have ended, because the machine goes down; zero while it does not. Nothing is started.
	StopBy time.Time
	// Starting: a container's process is just being started, and may run.
	Starting bool
	// Ends: the pod is being ended as a whole; set by stopAll for what it asks.
	Ends bool
	// Grace is the grace period that the running pod was started with; it holds once the manifest is gone.
	Grace time.Duration
	// Sidecars are the running pod's, in the order of their start.
	Sidecars   []string
	Containers map[string]*Status
	// Hindered are containers whose next attempt failed to be made, or to be started, or that wait for what may never come.
	Hindered map[string]bool
}

// Status is the observed state of one container.
type Status struct {
	Revision, Resources string
	// Running: a process exists, or may exist.
	Running bool
	// Started: the startup probe has succeeded and the postStart hook has ended, as far as there are any. Hooked: the hook has.
	Started, Hooked bool
	// Begun: it has run since the set-up. Making: an attempt is being made.
	Begun, Making bool
	// Ended: a process has run and ended; ExitCode and FinishedAt say how and when.
	Ended      bool
	ExitCode   int32
	FinishedAt time.Time
	// ForMemory: it ended by a kill for memory.
	ForMemory bool
	// Stopping: the stop has begun; KillAt is when the grace period ends. Hook: its preStop hook runs, and the stop signal
	// comes after that. Awaits: its stop signal waits for its turn. Killed: SIGKILL was sent.
	Stopping bool
	Hook     bool
	Awaits   bool
	KillAt   time.Time
	Killed   bool
	// ReplacedByEdit: the container was stopped because its part of the manifest changed, or the pod was made anew;
	// its end is not a failure.
	ReplacedByEdit bool
	// Unhealthy is set by a failed liveness or startup probe or postStart hook; it says why, also of an attempt that has ended for
	// it. UnhealthyGrace is the probe's own grace period; nil means the pod's.
	Unhealthy      string
	UnhealthyGrace *time.Duration
	// Retry is when a failed pull, create, start or resize may be tried again; zero when nothing failed.
	Retry time.Time
	// Backoff is the restart back-off; it belongs to the revision.
	Backoff state.Backoff
}

// Next returns what to do now, in order. An empty list means: wait for an event.
func Next(d *Desired, o *Observed, now time.Time) []Action {
	if !o.StopBy.IsZero() {
		return suspend(d, o, now)
	}
	if d == nil || o.Anything && o.SharedRevision != d.SharedRevision {
		return terminate(d, o, now)
	}
	if outcome(d, o) != "" {
		return finish(d, o, now)
	}
	if d.ActiveDeadline > 0 && !o.StartedAt.IsZero() {
		end := o.StartedAt.Add(d.ActiveDeadline)
		if !end.After(now) {
			return []Action{FailPod{Reason: "DeadlineExceeded", Message: "the pod was active on the node longer than the specified deadline"}}
		}
		return earliestWait(append(run(d, o, now), WaitUntil{end}))
	}
	return run(d, o, now)
}

// run drives a pod that shall run.
func run(d *Desired, o *Observed, now time.Time) []Action {
	if !o.SetUp && o.running() {
		return stopAll(o, d.Grace, "what the pod's containers share is gone", true, now)
	}
	if !o.SetUp {
		if o.SetUpRetry.After(now) {
			return []Action{WaitUntil{o.SetUpRetry}}
		}
		return []Action{SetUpPod{}}
	}
	if trigger := restartsAll(d, o); trigger != nil {
		return beginAnew(d, o, trigger, now)
	}
	out := removeUnnamed(d, o, now)
	if o.ContentRevision != d.ContentRevision {
		out = append(out, RefreshVolumes{})
	}
	initActions, initialized := initialize(d, o, now)
	out = append(out, initActions...)
	if initialized {
		if !o.Initialized && len(d.InitContainers) > 0 {
			out = append(out, MarkInitialized{})
		}
		out = append(out, containers(d, o, now)...)
	}
	return earliestWait(out)
}

// containers drives those that are no init containers, in the manifest's order. As the kubelet starts one after the other, and
// waits for each one's postStart hook (kuberuntime, SyncPod and startContainer), a hook holds back the first start of those that
// come after. One that has run already is not held back: a hook that hangs would keep it down.
func containers(d *Desired, o *Observed, now time.Time) (out []Action) {
	held := false
	for _, c := range d.Containers {
		s := o.Containers[c.Name]
		if held && (s == nil || !s.Running && !s.Begun && !s.Making) {
			continue
		}
		actions := nextForContainer(d, o, c, now)
		held = held || holdsBack(c, s, o.Hindered[c.Name], actions)
		out = append(out, actions...)
	}
	return out
}

// holdsBack: a container's postStart hook runs, or it is about to be started. One that cannot be, or whose hook has failed, does not
// hold others back.
func holdsBack(c Container, s *Status, hindered bool, actions []Action) bool {
	switch {
	case !c.PostStart || hindered:
		return false
	case s != nil && s.Running:
		return s.Unhealthy == "" && (!s.Hooked || s.Revision != c.Revision)
	}
	return slices.ContainsFunc(actions, func(a Action) bool { _, ok := a.(StartContainer); return ok })
}

// removeUnnamed stops and removes containers that an edit took out of the manifest.
func removeUnnamed(d *Desired, o *Observed, now time.Time) []Action {
	named := map[string]bool{}
	for c := range d.all() {
		named[c.Name] = true
	}
	var out []Action
	for name, s := range sorted(o.Containers) {
		switch {
		case named[name]:
		case s.Running:
			out = append(out, o.stop(name, s, d.Grace, "the manifest no longer names the container", true, now)...)
		default:
			out = append(out, RemoveContainer{name})
		}
	}
	return out
}

// nextForContainer drives one container, which may never have been started.
func nextForContainer(d *Desired, o *Observed, c Container, now time.Time) []Action {
	s := o.Containers[c.Name]
	if s == nil {
		return []Action{StartContainer{Name: c.Name}}
	}
	if s.Running {
		return nextForRunning(d, o, c, now)
	}
	if s.Retry.After(now) {
		return []Action{WaitUntil{s.Retry}}
	}
	switch {
	case !s.Ended || s.Revision != c.Revision:
		return []Action{StartContainer{Name: c.Name}}
	case s.ReplacedByEdit:
		return []Action{StartContainer{c.Name, s.Backoff}}
	case !d.restarts(c, s):
		return nil
	}
	if until, wait := s.Backoff.Until(s.FinishedAt); wait && until.After(now) {
		return []Action{WaitUntil{until}}
	}
	return []Action{StartContainer{c.Name, s.Backoff.Next(s.FinishedAt, now)}}
}

func nextForRunning(d *Desired, o *Observed, c Container, now time.Time) []Action {
	s := o.Containers[c.Name]
	switch {
	case s.Stopping:
		return o.stop(c.Name, s, d.Grace, "", false, now)
	case s.Revision != c.Revision:
		reason := "its part of the manifest changed"
		if s.Revision == "" {
			reason = "a restart was asked for"
		}
		return o.stop(c.Name, s, d.Grace, reason, true, now)
	case s.Unhealthy != "":
		grace := d.Grace
		if s.UnhealthyGrace != nil {
			grace = *s.UnhealthyGrace
		}
		out := o.stop(c.Name, s, grace, s.Unhealthy, false, now)
		if stop, ok := out[0].(StopContainer); ok {
			stop.Tells = d.onFailure(c)
			out[0] = stop
		}
		return out
	case s.Resources == c.Resources:
		return nil
	case s.Retry.After(now): // a resize that was not possible
		return []Action{WaitUntil{s.Retry}}
	}
	return []Action{ResizeContainer{c.Name}}
}
