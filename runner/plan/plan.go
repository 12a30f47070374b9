package plan

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// Desired is what the manifest asks for; nil means that the pod should not exist.
type Desired struct {
	// SharedRevision identifies everything that all containers share: volumes, network, security context.
	SharedRevision string
	RestartPolicy  v1.RestartPolicy
	// Grace is the pod's termination grace period.
	Grace      time.Duration
	Containers []Container
}

// Container is one desired container.
type Container struct {
	Name string
	// Revision identifies the container's own part of the manifest.
	Revision string
}

// Observed is what exists.
type Observed struct {
	// SetUp: directories, volumes, cgroup, namespaces and network are there, made for SharedRevision.
	SetUp          bool
	SharedRevision string
	// Anything: something of the pod exists, be it only a part left by an interrupted set-up or tear-down.
	Anything bool
	// SetUpRetry is when a failed set-up may be tried again; zero when none failed.
	SetUpRetry time.Time
	// StopBy is when everything must have ended, because the machine goes down; zero while it does not. Nothing is started.
	StopBy time.Time
	// Grace is the grace period that the running pod was started with; it holds once the manifest is gone.
	Grace      time.Duration
	Containers map[string]*Status
}

// Status is the observed state of one container.
type Status struct {
	Revision string
	// Running: a process exists, or may exist.
	Running bool
	// StartedAt is when the latest process started; zero when none did.
	StartedAt time.Time
	// Ended: a process has run and ended; ExitCode and FinishedAt say how and when.
	Ended      bool
	ExitCode   int32
	FinishedAt time.Time
	// Stopping: the stop signal was sent; KillAt is when the grace period ends. Killed: SIGKILL was sent as well.
	Stopping bool
	KillAt   time.Time
	Killed   bool
	// ReplacedByEdit: the container was stopped because its part of the manifest changed, or the pod was made anew;
	// its end is not a failure.
	ReplacedByEdit bool
	// Unhealthy is set by a failed liveness or startup probe; it says why.
	Unhealthy string
	// Retry is when a failed pull, create or start may be tried again; zero when nothing failed.
	Retry time.Time
	// Backoff is the restart back-off; it belongs to the revision.
	Backoff Backoff
}

// Action is one step for the worker.
type Action interface{ action() }

type (
	// SetUpPod makes what the containers share.
	SetUpPod struct{}
	// TearDownPod removes everything of the pod. All containers have ended.
	TearDownPod struct{}
	// SuspendPod lets go of what the containers share and keeps the pod's history, for the next start of the machine. All
	// containers have ended.
	SuspendPod struct{}
	// StartContainer removes what is left of the last attempt, creates the container and starts it. Backoff is what is
	// to be remembered for the next restart.
	StartContainer struct {
		Name    string
		Backoff Backoff
	}
	// StopContainer sends the stop signal and gives the container until now+Grace.
	StopContainer struct {
		Name    string
		Grace   time.Duration
		Reason  string
		Replace bool // the container comes back with another revision
	}
	// KillContainer sends SIGKILL: the grace period is over.
	KillContainer struct{ Name string }
	// RemoveContainer deletes a container that the manifest no longer names.
	RemoveContainer struct{ Name string }
	// WaitUntil asks to be called again at T at the latest.
	WaitUntil struct{ T time.Time }
)

func (SetUpPod) action()        {}
func (TearDownPod) action()     {}
func (SuspendPod) action()      {}
func (StartContainer) action()  {}
func (StopContainer) action()   {}
func (KillContainer) action()   {}
func (RemoveContainer) action() {}
func (WaitUntil) action()       {}

// Next returns what to do now, in order. An empty list means: wait for an event.
func Next(d *Desired, o *Observed, now time.Time) []Action {
	if !o.StopBy.IsZero() {
		return suspend(d, o, now)
	}
	if d == nil || o.Anything && o.SharedRevision != d.SharedRevision {
		return terminate(d, o, now)
	}
	if Phase(d, o).Terminal() {
		return nil
	}
	if !o.SetUp && o.running() {
		return stopAll(o, d.Grace, "what the pod's containers share is gone", true, now)
	}
	if !o.SetUp {
		if o.SetUpRetry.After(now) {
			return []Action{WaitUntil{o.SetUpRetry}}
		}
		return []Action{SetUpPod{}}
	}
	var out []Action
	out = append(out, removeUnnamed(d, o, now)...)
	for _, c := range d.Containers {
		out = append(out, nextForContainer(d, c, o.Containers[c.Name], now)...)
	}
	return earliestWait(out)
}

// terminate stops all containers and, when none runs any more, tears the pod down. With a desired pod (its shared part
// was edited) the pod is set up anew afterwards.
func terminate(d *Desired, o *Observed, now time.Time) []Action {
	if !o.Anything {
		return nil
	}
	grace := o.Grace
	if d != nil {
		grace = d.Grace
	}
	if o.running() {
		return stopAll(o, grace, reasonTerminate(d), d != nil, now)
	}
	return []Action{TearDownPod{}}
}

// suspend stops all containers within the time that is left. What a pod with restartPolicy Never was doing is over, as in
// Kubernetes; the others begin anew when the machine comes back, whatever their exit codes are now.
func suspend(d *Desired, o *Observed, now time.Time) []Action {
	if o.running() {
		grace, again := min(o.Grace, max(o.StopBy.Sub(now), 0)), d != nil && d.RestartPolicy != v1.RestartPolicyNever
		for _, s := range o.Containers {
			if s.Stopping && s.KillAt.After(o.StopBy) { // for another reason, with more time
				s.KillAt = o.StopBy
			}
		}
		return stopAll(o, grace, "the machine goes down", again, now)
	}
	if o.SetUp {
		return []Action{SuspendPod{}}
	}
	return nil
}

// running says whether any container runs.
func (o *Observed) running() bool {
	for _, s := range o.Containers {
		if s.Running {
			return true
		}
	}
	return false
}

func stopAll(o *Observed, grace time.Duration, reason string, replace bool, now time.Time) []Action {
	var out []Action
	for name, s := range sorted(o.Containers) {
		if s.Running {
			out = append(out, stop(name, s, grace, reason, replace, now)...)
		}
	}
	return earliestWait(out)
}

func reasonTerminate(d *Desired) string {
	if d != nil {
		return "the pod's manifest changed in a part that all its containers share"
	}
	return "the pod's manifest is gone"
}

// removeUnnamed stops and removes containers that an edit took out of the manifest.
func removeUnnamed(d *Desired, o *Observed, now time.Time) []Action {
	named := map[string]bool{}
	for _, c := range d.Containers {
		named[c.Name] = true
	}
	var out []Action
	for name, s := range sorted(o.Containers) {
		switch {
		case named[name]:
		case s.Running:
			out = append(out, stop(name, s, d.Grace, "the manifest no longer names the container", true, now)...)
		default:
			out = append(out, RemoveContainer{name})
		}
	}
	return out
}

// stop asks a running container to end, and kills it when its time is up.
func stop(name string, s *Status, grace time.Duration, reason string, replace bool, now time.Time) []Action {
	switch {
	case !s.Stopping:
		return []Action{StopContainer{name, grace, reason, replace}}
	case s.Killed:
		return nil // the kernel will deliver it
	case !s.KillAt.After(now):
		return []Action{KillContainer{name}}
	default:
		return []Action{WaitUntil{s.KillAt}}
	}
}

func nextForContainer(d *Desired, c Container, s *Status, now time.Time) []Action {
	if s == nil {
		return []Action{StartContainer{Name: c.Name}}
	}
	if s.Running {
		switch {
		case s.Stopping:
			return stop(c.Name, s, d.Grace, "", false, now)
		case s.Revision != c.Revision:
			return stop(c.Name, s, d.Grace, "its part of the manifest changed", true, now)
		case s.Unhealthy != "":
			return stop(c.Name, s, d.Grace, s.Unhealthy, false, now)
		}
		return nil
	}
	if s.Retry.After(now) {
		return []Action{WaitUntil{s.Retry}}
	}
	if !s.Ended || s.Revision != c.Revision || s.ReplacedByEdit {
		return []Action{StartContainer{Name: c.Name}}
	}
	if !shouldRestart(d.RestartPolicy, s) {
		return nil
	}
	if until, wait := s.Backoff.Until(s.FinishedAt); wait && until.After(now) {
		return []Action{WaitUntil{until}}
	}
	return []Action{StartContainer{c.Name, s.Backoff.Next(s.FinishedAt, now)}}
}

func shouldRestart(policy v1.RestartPolicy, s *Status) bool {
	switch policy {
	case v1.RestartPolicyNever:
		return false
	case v1.RestartPolicyOnFailure:
		return s.ExitCode != 0
	default:
		return true
	}
}

// earliestWait puts the wait that ends first behind the other actions and drops the rest.
func earliestWait(actions []Action) []Action {
	var out []Action
	var first *WaitUntil
	for _, a := range actions {
		w, ok := a.(WaitUntil)
		if !ok {
			out = append(out, a)
			continue
		}
		if first == nil || w.T.Before(first.T) {
			first = &w
		}
	}
	if first != nil {
		out = append(out, *first)
	}
	return out
}
