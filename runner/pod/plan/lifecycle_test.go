package plan

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
)

const (
	always    = v1.RestartPolicyAlways
	onFailure = v1.RestartPolicyOnFailure
	never     = v1.RestartPolicyNever
)

// withInit is a pod with the init containers i1 and i2, the sidecar s1 between them where it is wanted, and the containers
// a and b.
func withInit(policy v1.RestartPolicy, change ...func(*Desired)) *Desired {
	d := desired(policy, "a", "b")
	d.InitContainers = []Container{{Name: "i1", Revision: "r1"}, {Name: "i2", Revision: "r1"}}
	for _, c := range change {
		c(d)
	}
	return d
}

func sidecar(name string) func(*Desired) {
	return func(d *Desired) {
		d.InitContainers = append(d.InitContainers, Container{Name: name, Revision: "r1", Sidecar: true})
	}
}

// onlySidecars leaves s1 and s2 as the only init containers.
func onlySidecars(d *Desired) {
	d.InitContainers = nil
	sidecar("s1")(d)
	sidecar("s2")(d)
}

func started() *Status { return with(running(), func(s *Status) { s.Started = true }) }

type statuses map[string]*Status

func (m statuses) initialized() *Observed {
	o := m.fresh()
	o.Initialized = true
	return o
}

func (m statuses) fresh() *Observed {
	o := up(m)
	o.Sidecars = []string{"s1", "s2"}
	return o
}

// Init containers, as the kubelet runs them (kuberuntime, computeInitContainerActions).
func TestInitContainers(t *testing.T) {
	backingOff := with(ended(1, 0), func(s *Status) { s.Backoff = state.Backoff{Delay: 10 * time.Second, Set: t0.Add(-time.Minute)} })
	stopping := with(running(), func(s *Status) { s.Stopping, s.KillAt = true, t0.Add(5*time.Second) })
	for _, c := range []struct {
		name string
		d    *Desired
		o    *Observed
		want string
	}{
		{"the first one starts alone", withInit(always), statuses{}.fresh(), "start i1"},
		{"the others wait while it runs", withInit(always), statuses{"i1": running()}.fresh(), ""},
		{"the next starts when it has succeeded", withInit(always), statuses{"i1": ended(0, 0)}.fresh(), "start i2"},
		{"containers start when all have succeeded", withInit(always), statuses{"i1": ended(0, 0), "i2": ended(0, 0)}.fresh(), "initialized, start a, start b"},
		{"a failed one is tried again with Always", withInit(always), statuses{"i1": ended(1, 0)}.fresh(), "start i1"},
		{"with its back-off", withInit(always), statuses{"i1": backingOff}.fresh(), "wait 10s"},
		{"and with OnFailure", withInit(onFailure), statuses{"i1": ended(1, 0)}.fresh(), "start i1"},
		{"with Never the pod has failed", withInit(never), statuses{"i1": ended(1, 0)}.fresh(), "suspend"},
		{"a success goes on with Never", withInit(never), statuses{"i1": ended(0, 0)}.fresh(), "start i2"},
		{"one that failed to start is tried later", withInit(always), statuses{"i1": {Revision: "r1", Retry: t0.Add(time.Second)}}.fresh(), "wait 1s"},
		{"an initialized pod does not run them again", withInit(always), statuses{"a": ended(1, 0), "b": running()}.initialized(), "start a"},
		{"nor when their history is a failure", withInit(always), statuses{"i1": ended(1, 0), "a": running(), "b": running()}.initialized(), ""},
		{"a pod set up anew does", withInit(always), statuses{"i1": with(ended(0, 0), func(s *Status) { s.ReplacedByEdit = true }), "a": ended(1, 0)}.fresh(), "start i1"},
		{"its own policy Never fails the pod", withInit(always, func(d *Desired) { d.InitContainers[0].RestartPolicy = v1.ContainerRestartPolicyNever }),
			statuses{"i1": ended(1, 0)}.fresh(), "suspend"},
		{"its own policy OnFailure goes on", withInit(never, func(d *Desired) { d.InitContainers[0].RestartPolicy = v1.ContainerRestartPolicyOnFailure }),
			statuses{"i1": ended(1, 0)}.fresh(), "start i1"},
		{"the manifest goes while one runs", nil, statuses{"i1": running()}.fresh(), "stop i1 30s"},
		{"the manifest goes while one ends", nil, statuses{"i1": stopping}.fresh(), "wait 5s"},
		{"the machine goes down while one runs", withInit(always), func() *Observed { o := statuses{"i1": running()}.fresh(); o.StopBy = t0.Add(time.Minute); return o }(),
			"stop i1 30s replace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := text(Next(c.d, c.o, t0)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Sidecars, as the kubelet runs them (kuberuntime, computeInitContainerActions and terminationOrdering).
func TestSidecars(t *testing.T) {
	d := withInit(always, onlySidecars)
	mixed := withInit(always, func(d *Desired) {
		d.InitContainers = []Container{{Name: "i1", Revision: "r1"}, {Name: "s1", Revision: "r1", Sidecar: true}, {Name: "i2", Revision: "r1"}}
	})
	stopping := with(running(), func(s *Status) { s.Stopping, s.KillAt = true, t0.Add(5*time.Second) })
	killed := with(running(), func(s *Status) { s.Stopping, s.Killed = true, true })
	unhealthy := with(started(), func(s *Status) { s.Unhealthy = "liveness" })
	awaits := with(stopping, func(s *Status) { s.Awaits = true })
	hooked := with(awaits, func(s *Status) { s.Hook = true })
	late := with(awaits, func(s *Status) { s.KillAt = t0 })
	hung := with(late, func(s *Status) { s.Hook = true })
	starting := func(o *Observed) *Observed { o.Starting = true; return o }
	ending := func(o *Observed, left time.Duration) *Observed { o.EndBy = t0.Add(left); return o }
	for _, c := range []struct {
		name string
		d    *Desired
		o    *Observed
		want string
	}{
		{"the first starts alone", d, statuses{}.fresh(), "start s1"},
		{"the next waits until it has started", d, statuses{"s1": running()}.fresh(), ""},
		{"and then starts", d, statuses{"s1": started()}.fresh(), "start s2"},
		{"containers start when all have", d, statuses{"s1": started(), "s2": started()}.fresh(), "initialized, start a, start b"},
		{"an init container waits for the sidecar before it", mixed, statuses{"i1": ended(0, 0), "s1": running()}.fresh(), ""},
		{"and runs beside it", mixed, statuses{"i1": ended(0, 0), "s1": started()}.fresh(), "start i2"},
		{"one that ends before the pod is initialized starts again", mixed, statuses{"i1": ended(0, 0), "s1": ended(1, 0)}.fresh(), "start s1"},
		{"one that ends well is restarted too", d, statuses{"s1": ended(0, 0), "s2": started(), "a": running(), "b": running()}.initialized(), "start s1"},
		{"with restartPolicy Never as well", withInit(never, onlySidecars), statuses{"s1": ended(0, 0), "s2": started(), "a": running(), "b": running()}.initialized(), "start s1"},
		{"while it is down containers are restarted all the same", d, statuses{"s1": running(), "s2": started(), "a": ended(1, 0), "b": running()}.initialized(), "start a"},
		{"an unhealthy one is stopped", d, statuses{"s1": unhealthy, "s2": started(), "a": running(), "b": running()}.initialized(), "stop s1 30s"},
		{"all stops begin at once, for their hooks", nil, statuses{"s1": started(), "s2": started(), "a": running()}.initialized(),
			"stop a 30s, stop s1 30s awaits, stop s2 30s awaits"},
		{"their signals come after the containers", nil, statuses{"s1": awaits, "s2": awaits, "a": stopping}.initialized(), "wait 5s"},
		{"which may be killed first", nil, statuses{"s1": awaits, "s2": awaits, "a": killed}.initialized(), "wait 5s"},
		{"while one is being started it is waited for", nil, starting(statuses{"s1": awaits, "s2": awaits}.initialized()), "wait 5s"},
		{"then the last one has its turn", nil, statuses{"s1": awaits, "s2": awaits, "a": ended(0, 0)}.initialized(), "turn s2, wait 5s"},
		{"also while its hook runs, which comes first", nil, statuses{"s1": awaits, "s2": hooked, "a": ended(0, 0)}.initialized(), "turn s2, wait 5s"},
		{"not the one before while the last one ends", nil, statuses{"s1": awaits, "s2": stopping, "a": ended(0, 0)}.initialized(), "wait 5s"},
		{"then that", nil, statuses{"s1": awaits, "s2": ended(0, 0), "a": ended(0, 0)}.initialized(), "turn s1"},
		{"all have their turn when the grace period is over", nil, statuses{"s1": late, "s2": late, "a": killed}.initialized(), "turn s1, turn s2"},
		{"a hook that hangs ends with it, and the wait too", nil, statuses{"s1": hung, "s2": late, "a": killed}.initialized(), "abandon s1, turn s2"},
		{"what starts late has what is left of the grace period", nil, ending(statuses{"s1": started(), "a": running()}.initialized(), 10*time.Second), "stop a 10s, stop s1 10s awaits"},
		{"and two seconds at least", nil, ending(statuses{"s1": started(), "a": ended(0, 0)}.initialized(), -time.Second), "stop s1 2s awaits"},
		{"then nothing is left", nil, statuses{"s1": ended(0, 0), "s2": ended(0, 0), "a": ended(0, 0)}.initialized(), "teardown"},
		{"a pod that comes back lets the turns go on", d, statuses{"s1": awaits, "s2": awaits, "a": ended(0, 0), "b": ended(0, 0)}.initialized(),
			"turn s2, start a, start b, wait 5s"},
		{"it does not wait for what starts, or goes on, then", d, starting(statuses{"s1": ended(0, 0), "s2": awaits, "a": running(), "b": ended(0, 0)}.initialized()),
			"start s1, turn s2, start b"},
		{"but for what still ends", d, statuses{"s1": awaits, "s2": stopping, "a": running(), "b": ended(0, 0)}.initialized(), "start b, wait 5s"},
		{"one that an edit makes a container has its turn", nil, func() *Observed {
			o := statuses{"s1": awaits, "s2": awaits, "a": stopping}.initialized()
			o.Sidecars = []string{"s2"}
			return o
		}(), "turn s1, wait 5s"},
		{"when the containers have succeeded they are stopped", withInit(never, onlySidecars),
			statuses{"s1": started(), "s2": started(), "a": ended(0, 0), "b": ended(0, 0)}.initialized(), "stop s1 30s awaits, stop s2 30s awaits"},
		{"and when one has failed", withInit(never, onlySidecars),
			statuses{"s1": started(), "s2": ended(0, 0), "a": ended(1, 0), "b": ended(0, 0)}.initialized(), "stop s1 30s awaits"},
		{"and when an init container has failed for good", withInit(never, func(d *Desired) { d.InitContainers = mixed.InitContainers }),
			statuses{"i1": ended(0, 0), "s1": started(), "i2": ended(1, 0)}.fresh(), "stop s1 30s awaits"},
		{"the machine goes down: the order is the same", d, func() *Observed {
			o := statuses{"s1": awaits, "s2": awaits, "a": ended(0, 0)}.initialized()
			o.StopBy, o.EndBy = t0.Add(time.Minute), t0.Add(2*time.Minute)
			return o
		}(), "turn s2, wait 5s"},
		{"within the machine's time", d, func() *Observed {
			o := statuses{"s1": started(), "a": ended(0, 0)}.initialized()
			o.StopBy = t0.Add(3 * time.Second)
			return o
		}(), "stop s1 3s replace awaits"},
		{"and no longer", d, func() *Observed {
			o := statuses{"s1": awaits, "s2": awaits, "a": killed}.initialized()
			o.StopBy = t0
			return o
		}(), "turn s1, turn s2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := text(Next(c.d, c.o, t0)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Restart policies and rules of single containers (KEP-5307, and the kubelet's ShouldContainerBeRestarted).
func TestRestartRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		pod    v1.RestartPolicy
		own    v1.ContainerRestartPolicy
		rules  []RestartRule
		status *Status
		want   string
	}{
		{"own Never beats the pod's Always", always, v1.ContainerRestartPolicyNever, nil, ended(1, 0), ""},
		{"own Always beats the pod's Never", never, v1.ContainerRestartPolicyAlways, nil, ended(0, 0), "start a"},
		{"own OnFailure restarts a failure", never, v1.ContainerRestartPolicyOnFailure, nil, ended(1, 0), "start a"},
		{"own OnFailure leaves a success", always, v1.ContainerRestartPolicyOnFailure, nil, ended(0, 0), ""},
		{"a rule restarts its code", never, v1.ContainerRestartPolicyNever, []RestartRule{{Codes: []int32{42}}}, ended(42, 0), "start a"},
		{"and no other", never, v1.ContainerRestartPolicyNever, []RestartRule{{Codes: []int32{42}}}, ended(43, 0), ""},
		{"NotIn restarts the others", never, v1.ContainerRestartPolicyNever, []RestartRule{{NotIn: true, Codes: []int32{42}}}, ended(43, 0), "start a"},
		{"and not its code", never, v1.ContainerRestartPolicyNever, []RestartRule{{NotIn: true, Codes: []int32{42}}}, ended(42, 0), ""},
		{"one of several rules", never, v1.ContainerRestartPolicyNever, []RestartRule{{Codes: []int32{1}}, {Codes: []int32{2, 3}}}, ended(3, 0), "start a"},
		{"a restart by a rule backs off", never, v1.ContainerRestartPolicyNever, []RestartRule{{Codes: []int32{3}}},
			with(ended(3, 0), func(s *Status) { s.Backoff = state.Backoff{Delay: 20 * time.Second, Set: t0} }), "wait 20s"},
		{"all containers: the others are stopped first", never, v1.ContainerRestartPolicyNever, []RestartRule{{Codes: []int32{3}, All: true}}, ended(3, 0), "stop b 30s replace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := desired(c.pod, "a", "b")
			d.Containers[0].RestartPolicy, d.Containers[0].Rules = c.own, c.rules
			if got := text(Next(d, statuses{"a": c.status, "b": running()}.initialized(), t0)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// RestartAllContainers: in place, and init containers run again (KEP-5532).
func TestRestartAllContainers(t *testing.T) {
	d := withInit(never)
	d.Containers[0].Rules = []RestartRule{{Codes: []int32{3}, All: true}}
	o := func(trigger *Status) *Observed {
		return statuses{"i1": ended(0, time.Hour), "i2": ended(0, time.Hour), "a": trigger, "b": ended(137, 0)}.initialized()
	}
	for _, c := range []struct {
		name string
		o    *Observed
		want string
	}{
		{"all have ended: begin anew, the next time after ten seconds", o(ended(3, 0)), "anew a 10s"},
		{"the second time it waits", o(with(ended(3, 0), func(s *Status) { s.Backoff = state.Backoff{Delay: 10 * time.Second, Set: t0} })), "wait 10s"},
		{"then the wait doubles", o(with(ended(3, 10*time.Second), func(s *Status) { s.Backoff = state.Backoff{Delay: 10 * time.Second, Set: t0.Add(-time.Minute)} })), "anew a 20s"},
		{"another code ends the pod", o(ended(4, 0)), "suspend"},
	} {
		if got := text(Next(d, c.o, t0)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	anew := o(with(ended(3, 0), func(s *Status) { s.Backoff = state.Backoff{Delay: 10 * time.Second, Set: t0} }))
	for _, s := range anew.Containers {
		s.ReplacedByEdit = true
	}
	anew.Initialized = false
	if got := text(Next(d, anew, t0)); got != "start i1" {
		t.Errorf("init containers do not run again: %s", got)
	}
	anew.Initialized = true
	start, ok := Next(d, anew, t0)[0].(StartContainer)
	if !ok || start.Backoff.Delay != 10*time.Second {
		t.Errorf("the back-off is not kept: %+v", start)
	}
}

// Hooks run inside the grace period (kubelet, killContainer): when it is over the hook is abandoned, and what is left is two
// seconds.
func TestHooks(t *testing.T) {
	hook := func(killAt time.Duration) *Status {
		return with(running(), func(s *Status) { s.Stopping, s.Hook, s.KillAt = true, true, t0.Add(killAt) })
	}
	five := 5 * time.Second
	for _, c := range []struct {
		name string
		a    *Status
		want string
	}{
		{"it has time", hook(time.Second), "wait 1s"},
		{"its time is over", hook(0), "abandon a"},
		{"a probe's own grace period", with(running(), func(s *Status) { s.Unhealthy, s.UnhealthyGrace = "liveness", &five }), "stop a 5s"},
		{"a probe without one", with(running(), func(s *Status) { s.Unhealthy = "liveness" }), "stop a 30s"},
		{"resources that changed", with(running(), func(s *Status) { s.Resources = "old" }), "resize a"},
		{"not while it is stopped", with(hook(time.Second), func(s *Status) { s.Resources = "old" }), "wait 1s"},
	} {
		if got := text(Next(desired(always, "a"), statuses{"a": c.a}.initialized(), t0)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestPostStartHoldsBack: containers start in the manifest's order, each when the hook of the one before has ended (kuberuntime,
// SyncPod); what fails, and what has run, waits for nobody.
func TestPostStartHoldsBack(t *testing.T) {
	d := desired(always, "a", "b", "c")
	d.Containers[0].PostStart = true
	hooks := with(running(), func(s *Status) { s.Begun = true })
	hooked := with(hooks, func(s *Status) { s.Hooked = true })
	begun := func(s *Status) *Status { return with(s, func(s *Status) { s.Begun = true }) }
	for _, c := range []struct {
		name     string
		s        statuses
		hindered bool
		want     string
	}{
		{"nothing runs: the first alone", statuses{}, false, "start a"},
		{"it is being made", statuses{"a": {Revision: "r1", Making: true}}, false, "start a"},
		{"its hook runs", statuses{"a": hooks}, false, ""},
		{"its hook has ended", statuses{"a": hooked}, false, "start b, start c"},
		{"its hook has failed", statuses{"a": with(hooks, func(s *Status) { s.Unhealthy = "hook" })}, false, "stop a 30s, start b, start c"},
		{"it cannot be made", statuses{"a": {Retry: t0.Add(time.Second)}}, true, "start b, start c, wait 1s"},
		{"it is tried again", statuses{"a": {}, "b": {Making: true}}, true, "start a, start b, start c"},
		{"its image cannot be had", statuses{}, true, "start a, start b, start c"},
		{"it backs off", statuses{"a": with(ended(1, time.Second), func(s *Status) { s.Backoff = state.Backoff{Delay: 10 * time.Second, Set: t0} })}, false, "start b, start c, wait 9s"},
		{"it starts again", statuses{"a": begun(ended(1, time.Second))}, false, "start a"},
		{"what has run is not held back", statuses{"a": hooks, "b": begun(ended(1, time.Second))}, false, "start b"},
		{"nor what is being made", statuses{"a": hooks, "b": {Making: true}}, false, "start b"},
		{"what runs is looked after", statuses{"a": hooks, "b": with(running(), func(s *Status) { s.Unhealthy = "liveness" })}, false, "stop b 30s"},
		{"an edit of it ends its hook", statuses{"a": with(hooks, func(s *Status) { s.Revision = "r0" })}, false, "stop a 30s replace"},
		{"and the next one's counts", statuses{"a": with(hooked, func(s *Status) { s.Revision, s.Stopping, s.KillAt = "r0", true, t0.Add(5*time.Second) })}, false, "wait 5s"},
	} {
		o := c.s.initialized()
		o.Hindered = map[string]bool{"a": c.hindered}
		if got := text(Next(d, o, t0)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if got := text(Next(nil, statuses{"a": hooks}.initialized(), t0)); got != "stop a 30s" {
		t.Errorf("a removal waits for a hook: %q", got)
	}
}

// activeDeadlineSeconds (kubelet, active_deadline.go): counted from the pod's start, for any restart policy.
func TestActiveDeadline(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy v1.RestartPolicy
		o      *Observed
		since  time.Duration
		failed bool
		want   string
	}{
		{"it waits for the deadline", always, statuses{"a": running()}.initialized(), 5 * time.Second, false, "wait 5s"},
		{"the deadline comes", always, statuses{"a": running()}.initialized(), 10 * time.Second, false, "fail DeadlineExceeded"},
		{"in a back-off too", always, statuses{"a": ended(1, 0)}.initialized(), time.Minute, false, "fail DeadlineExceeded"},
		{"and before anything ran", always, statuses{}.fresh(), time.Minute, false, "fail DeadlineExceeded"},
		{"a pod that has succeeded is over", never, statuses{"a": ended(0, 0)}.initialized(), time.Minute, false, "suspend"},
		{"failed: containers are stopped", always, statuses{"a": running()}.initialized(), time.Minute, true, "stop a 30s"},
		{"failed: what it shares is let go", always, statuses{"a": ended(143, 0)}.initialized(), time.Minute, true, "suspend"},
	} {
		d := desired(c.policy, "a")
		d.ActiveDeadline = 10 * time.Second
		c.o.StartedAt, c.o.Failed = t0.Add(-c.since), c.failed
		if got := text(Next(d, c.o, t0)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if ended := c.failed && !c.o.running(); ended != (v1.PodPhase(Phase(d, c.o)) == v1.PodFailed) {
			t.Errorf("%s: the phase is %s", c.name, Phase(d, c.o))
		}
	}
}

func TestRefreshVolumes(t *testing.T) {
	d := desired(always, "a")
	d.ContentRevision = "c2"
	o := statuses{"a": running()}.initialized()
	if got := text(Next(d, o, t0)); got != "refresh" {
		t.Error(got)
	}
	o.ContentRevision = "c2"
	if got := text(Next(d, o, t0)); got != "" {
		t.Error(got)
	}
}

func TestPhaseWithInitContainers(t *testing.T) {
	for _, c := range []struct {
		name string
		d    *Desired
		o    *Observed
		want v1.PodPhase
	}{
		{"while they run", withInit(always), statuses{"i1": running()}.fresh(), v1.PodPending},
		{"when one is retried", withInit(always), statuses{"i1": ended(1, 0)}.fresh(), v1.PodPending},
		{"when one has failed for good", withInit(never), statuses{"i1": ended(1, 0)}.fresh(), v1.PodFailed},
		{"a sidecar runs and the containers have succeeded", withInit(never, onlySidecars), statuses{"s1": started(), "a": ended(0, 0), "b": ended(0, 0)}.initialized(), v1.PodRunning},
		{"the sidecar has ended, too", withInit(never, onlySidecars), statuses{"s1": ended(1, 0), "a": ended(0, 0), "b": ended(0, 0)}.initialized(), v1.PodSucceeded},
		{"a sidecar runs and a container has failed", withInit(never, onlySidecars), statuses{"s1": started(), "a": ended(0, 0), "b": ended(1, 0)}.initialized(), v1.PodRunning},
		{"a sidecar runs and an init container has failed for good", withInit(never, func(d *Desired) {
			d.InitContainers = []Container{{Name: "s1", Revision: "r1", Sidecar: true}, {Name: "i1", Revision: "r1"}}
		}), statuses{"s1": started(), "i1": ended(1, 0)}.fresh(), v1.PodPending},
		{"something of it may just begin to run", withInit(never, onlySidecars), func() *Observed {
			o := statuses{"a": ended(0, 0), "b": ended(0, 0)}.initialized()
			o.Starting = true
			return o
		}(), v1.PodRunning},
		{"failed as a whole, while it ends", desired(always, "a"), func() *Observed {
			o := statuses{"a": running()}.initialized()
			o.Failed = true
			return o
		}(), v1.PodRunning},
		{"a sidecar in back-off changes nothing", withInit(always, onlySidecars), statuses{"s1": ended(1, 0), "a": running(), "b": running()}.initialized(), v1.PodRunning},
		{"an own policy counts", desired(always, "a"), statuses{"a": ended(1, 0)}.initialized(), v1.PodRunning},
	} {
		if got := v1.PodPhase(Phase(c.d, c.o)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// A pod that was evicted ends, loses what it had, and begins anew when its time has come.
func TestRevival(t *testing.T) {
	for name, c := range map[string]struct {
		o      *Observed
		revive time.Duration
		want   string
	}{
		"it ends first":         {statuses{"a": running()}.initialized(), -time.Second, "stop a 30s"},
		"it lets go":            {statuses{"a": ended(143, 0)}.initialized(), time.Minute, "suspend"},
		"it waits":              {&Observed{Anything: true, SharedRevision: "s1", Containers: statuses{"a": ended(143, 0)}}, time.Minute, "wait 1m0s"},
		"everything of it goes": {&Observed{Anything: true, SharedRevision: "s1", Containers: statuses{"a": ended(143, 0)}}, -time.Second, "teardown"},
	} {
		c.o.Failed, c.o.Revive = true, t0.Add(c.revive)
		if got := text(Next(desired(always, "a"), c.o, t0)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestResizeRetry(t *testing.T) {
	s := with(running(), func(s *Status) { s.Resources, s.Retry = "old", t0.Add(time.Second) })
	if got := text(Next(desired(always, "a"), statuses{"a": s}.initialized(), t0)); got != "wait 1s" {
		t.Error(got)
	}
}
