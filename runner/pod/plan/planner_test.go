package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/step"
	"github.com/solopod/solopod/runner/reference"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// TestPlanHoldsBack: with too much left behind of a container's attempts the next one waits, and is made when something returns.
func TestPlanHoldsBack(t *testing.T) {
	c := up(pod(nil)).started("main").exits("main", 1)
	for i := range 3 {
		c.s.Flights[fmt.Sprint("leftover/", i)] = &state.Flight{Kind: state.KindDrain, Name: "main", Token: 100, Began: c.now, Left: i < 2}
	}
	if got := text(plan.Plan(c.s, c.now)); !strings.Contains(got, "Create main#1") {
		t.Fatalf("with two left behind: %q", got)
	}
	c.happens(state.LeftBehind{Thing: "leftover/2", At: c.now})
	if got := text(plan.Plan(c.s, c.now)); got != "decide HeldBack" {
		t.Fatalf("with three left behind: %q", got)
	}
	c.happens(state.HeldBack{Name: "main"})
	if r := c.s.Reports; len(r) != 1 || r[0].Reason != state.ReasonHeldBack || !strings.Contains(r[0].Message, "3 effects") {
		t.Errorf("told: %+v", r)
	}
	if got := text(plan.Plan(c.s, c.now)); strings.Contains(got, "Create") || strings.Contains(got, "HeldBack") {
		t.Errorf("it does not wait: %q", got)
	}
	c.happens(state.Returned{Thing: "leftover/0", Token: 100, At: c.now, Result: state.LogComplete{}})
	if got := text(plan.Plan(c.s, c.now)); !strings.Contains(got, "Create main#1") || c.s.Containers["main"].Now.WaitingReason != "" {
		t.Errorf("after a return: %q", got)
	}
}

// text is a plan for people.
func text(effects []plan.Effect) string {
	var out []string
	for _, e := range effects {
		switch e := e.(type) {
		case plan.Run:
			is := e.Work.Is()
			s := is.Kind
			if is.Name != "" {
				s += " " + is.Name
			}
			switch w := e.Work.(type) {
			case plan.Create:
				s += fmt.Sprint("#", w.Attempt)
			case plan.Clear:
				s += " " + is.Key
			case plan.Signal:
				s += fmt.Sprint(" ", w.Signal)
			case plan.Examine:
				if w.Killed {
					s += " killed"
				}
			case plan.Delete:
				s += fmt.Sprint(" kill:", w.Kill)
			}
			out = append(out, strings.TrimSpace(s))
		case plan.Cancel:
			out = append(out, "cancel "+e.Thing)
		case plan.Decide:
			out = append(out, "decide "+strings.TrimPrefix(fmt.Sprintf("%T", e.Event), "state."))
		case plan.Wake:
			out = append(out, "wake "+e.T.Sub(start).String())
		}
	}
	return strings.Join(out, ", ")
}

// pod is one with a sidecar and a container.
func pod(change func(p *v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid"},
		Spec: v1.PodSpec{
			RestartPolicy: v1.RestartPolicyAlways, TerminationGracePeriodSeconds: ptr.To[int64](30),
			Containers: []v1.Container{{Name: "main", Image: "main:1"}},
		},
	}
	if change != nil {
		change(p)
	}
	return p
}

// scene is a state that is made by what happens.
type scene struct {
	s     state.State
	now   time.Time
	token uint64
}

func begin(p *v1.Pod) *scene {
	c := &scene{now: start}
	c.s = state.New(state.Host{BootID: "boot", IPs: []string{"192.0.2.1"}}, 0, p, true)
	c.happens(state.Desired{At: c.now, Pod: p})
	return c
}

func (c *scene) happens(events ...state.Event) *scene {
	for _, e := range events {
		c.s = step.Step(c.s, e)
	}
	return c
}

// follow begins what the plan says, and takes its decisions.
func (c *scene) follow() *scene {
	for range 50 {
		decided := false
		for _, e := range plan.Plan(c.s, c.now) {
			switch e := e.(type) {
			case plan.Decide:
				c.happens(e.Event)
				decided = true
			case plan.Cancel:
				c.happens(state.Told{Thing: e.Thing, At: c.now})
			case plan.Run:
				is := e.Work.Is()
				c.token++
				b := state.Begun{Thing: is.Thing(), Flight: state.Flight{
					Kind: is.Kind, Name: is.Name, ID: is.ID, Key: is.Key, Token: c.token, Began: c.now,
				}}
				if limit := plan.Limit(is.Kind); limit > 0 {
					b.Flight.Deadline = c.now.Add(limit)
				}
				if create, ok := e.Work.(plan.Create); ok {
					b.Making = create.Making
				}
				c.happens(b)
			}
		}
		if !decided {
			return c
		}
	}
	panic("a plan without an end")
}

// ends ends the effect on a thing, if it runs, and follows what comes of that.
func (c *scene) ends(thing string, r state.Result) *scene {
	f := c.s.Flights[thing]
	if f == nil {
		panic("nothing works on " + thing)
	}
	c.happens(state.Returned{Thing: thing, Token: f.Token, At: c.now, Result: r}, state.Saved{Step: c.s.Steps + 1, Synced: true})
	return c
}

// up is a pod with a complete sandbox, whose first container is being created.
func up(p *v1.Pod) *scene { return begin(p).up() }

func (c *scene) up() *scene {
	c.follow()
	c.ends(state.ThingSandbox, state.Claimed{}).follow()
	c.ends(state.ThingSandbox, state.SandboxMade{}).follow()
	return c.ends(state.ThingNetwork, state.Attached{Attachment: state.Attachment{IPs: []string{"10.0.0.2"}}}).follow()
}

// started starts a container that is being created.
func (c *scene) started(name string) *scene {
	c.ends("container/"+name, state.Made{Pid: 1, StopSignal: 15}).follow()
	return c.ends("container/"+name, state.Started{When: c.now}).follow()
}

// edit is one of what runs; what it needs is there.
func (c *scene) edit(p *v1.Pod) *scene {
	return c.happens(state.Desired{At: c.now, Pod: p}).follow().ends(state.ThingEdit, state.Foreseen{}).happens(state.EditDue{At: c.now})
}

// exits ends a container's process.
func (c *scene) exits(name string, code int32) *scene {
	c.happens(state.Exited{ID: c.s.Containers[name].ID, Code: code, When: c.now}).follow()
	return c.ends(state.ThingOf(state.KindExamine, name), state.Examined{})
}

func (c *scene) later(d time.Duration) *scene {
	c.now = c.now.Add(d)
	return c
}

func cpu(n string) func(p *v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Containers[0].Resources.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse(n)}
	}
}

// TestPlan holds what is done next in some dozens of states.
func TestPlan(t *testing.T) {
	sidecar := func(p *v1.Pod) {
		p.Spec.InitContainers = []v1.Container{{Name: "car", Image: "car:1", RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways)}}
	}
	hooked := func(p *v1.Pod) {
		p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{}}
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "beside", Image: "beside:1"})
	}
	eviction := state.Evicted{At: start, Signal: "memory.available", Grace: ptr.To(time.Second)}
	onFailure := func(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyOnFailure }
	evicted := func() *scene {
		c := up(pod(nil)).started("main").happens(eviction).follow()
		id := c.s.Containers["main"].ID
		c.ends("signal/main", state.SignalSent{Signal: 15}).exits("main", 0).follow()
		return c.ends("leftover/"+id, state.LogComplete{}).follow().ends("leftover/"+id, state.LeftoverGone{}).ends("kills/main", state.WatchEnded{})
	}
	edited := pod(func(p *v1.Pod) { p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A", Value: "b"}} })
	other := func(p *v1.Pod) { p.Spec.Hostname = "other" }
	failed := state.Problem{Reason: "Failed", Message: "no"}
	run := func() *scene { return up(pod(nil)).started("main") }
	for name, test := range map[string]struct {
		scene *scene
		want  string
	}{
		"a new pod":         {begin(pod(nil)), "Claim"},
		"its port is taken": {begin(pod(nil)).follow().ends(state.ThingSandbox, state.Claimed{Problem: state.Problem{Claim: true}}), "wake 10s"},
		"its port is free":  {begin(pod(nil)).follow().ends(state.ThingSandbox, state.Claimed{Problem: state.Problem{Claim: true}}).happens(state.ClaimsFree{}), "Claim"},
		"claimed":           {begin(pod(nil)).follow().ends(state.ThingSandbox, state.Claimed{}), "SetUp"},
		"claimed, and then lost, for an edit": {begin(pod(nil)).follow().ends(state.ThingSandbox, state.Claimed{}).happens(state.Desired{At: start, Pod: pod(other)}).follow().
			ends(state.ThingSandbox, state.Claimed{Problem: failed, Released: true}).happens(state.Desired{At: start, Pod: pod(nil)}), "Claim"},
		"claimed, and kept, for an edit": {begin(pod(nil)).follow().ends(state.ThingSandbox, state.Claimed{}).happens(state.Desired{At: start, Pod: pod(other)}).follow().
			ends(state.ThingSandbox, state.Claimed{Problem: failed}).happens(state.Desired{At: start, Pod: pod(nil)}), "SetUp"},
		"the set-up failed":                  {begin(pod(nil)).follow().ends(state.ThingSandbox, state.Claimed{}).follow().ends(state.ThingSandbox, state.SandboxMade{Problem: failed}), "Clear, wake 10s"},
		"set up":                             {begin(pod(nil)).follow().ends(state.ThingSandbox, state.Claimed{}).follow().ends(state.ThingSandbox, state.SandboxMade{}), "Create main#0, Attach"},
		"created":                            {up(pod(nil)).ends("container/main", state.Made{}), "Start main"},
		"the image is missing":               {up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}), "Pull main:1"},
		"the pull failed":                    {up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}).follow().ends("image/main:1", state.ImagePulled{Problem: failed}), "wake 5s"},
		"the pull failed a while ago":        {up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}).follow().ends("image/main:1", state.ImagePulled{Problem: failed}).later(5 * time.Second), "decide PullBacksOff"},
		"and that was told":                  {up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}).follow().ends("image/main:1", state.ImagePulled{Problem: failed}).later(5 * time.Second).follow(), "wake 10s"},
		"it is pulled again":                 {up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}).follow().ends("image/main:1", state.ImagePulled{Problem: failed}).later(5 * time.Second).follow().later(5 * time.Second), "Pull main:1"},
		"the pull was done":                  {up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}).follow().ends("image/main:1", state.ImagePulled{}), "Create main#0"},
		"the image came meanwhile":           {up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}).follow().happens(state.ImagesReady{Names: []string{"docker.io/library/main:1"}}), "cancel image/main:1, Create main#0, wake 6h0m10s"},
		"a pull that hangs, and an edit":     {up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}).follow().happens(state.Desired{At: start, Pod: pod(func(p *v1.Pod) { p.Spec.Containers[0].Image = "good:1" })}), "cancel image/main:1, Create main#0, wake 6h0m10s"},
		"a pull that hangs, and the removal": {up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}).follow().happens(state.Desired{At: start}), "cancel image/main:1, Clear gone, wake 6h0m10s"},
		"the create failed":                  {up(pod(nil)).ends("container/main", state.Made{Problem: failed}), "wake 10s"},
		"the create failed and left things":  {up(pod(nil)).ends("container/main", state.Made{LeftBehind: true, Problem: failed}), "Delete main kill:true, wake 10s"},
		"the create does not end":            {up(pod(nil)).later(2*time.Minute + plan.Heed), "decide LeftBehind"},
		"the start failed":                   {up(pod(nil)).ends("container/main", state.Made{}).follow().ends("container/main", state.Started{Problem: failed}), "Delete main kill:true, wake 10s"},
		"edited while it is created":         {up(pod(nil)).happens(state.Desired{At: start, Pod: edited}), "cancel container/main, wake 2m10s"},
		"edited when it is created":          {up(pod(nil)).ends("container/main", state.Made{}).happens(state.Desired{At: start, Pod: edited}), "decide Unmade"},
		"running":                            {run(), ""},
		"ended":                              {run().exits("main", 1), "Drain main, Create main#1, wake 10s"},
		"ended for the second time":          {run().exits("main", 1).follow().started("main").exits("main", 1), "decide BackingOff"},
		"it waits for its restart":           {run().exits("main", 1).follow().started("main").exits("main", 1).follow(), "wake 10s"},
		"edited":                             {run().edit(edited), "decide StopBegun"},
		"being stopped":                      {run().edit(edited).follow(), "wake 25s"},
		"the signal failed":                  {run().edit(edited).follow().ends("signal/main", state.SignalSent{Signal: 15, Problem: failed}), "wake 1s"},
		"nobody can say whether it lives":    {run().edit(edited).follow().ends("signal/main", state.SignalSent{Signal: 15, Found: &state.Found{Status: state.FoundUnanswered}}), "wake 1s"},
		"the grace period is over":           {run().edit(edited).follow().ends("signal/main", state.SignalSent{Signal: 15}).later(30 * time.Second), "decide KillBegun"},
		"it is killed":                       {run().edit(edited).follow().ends("signal/main", state.SignalSent{Signal: 15}).later(30*time.Second).follow().ends("signal/main", state.SignalSent{Signal: 9, Problem: failed}).later(time.Second), "Signal main 9"},
		"the kill had no effect":             {run().edit(edited).follow().ends("signal/main", state.SignalSent{Signal: 15}).later(30*time.Second).follow().ends("signal/main", state.SignalSent{Signal: 9}).later(time.Second), "Signal main 9"},
		"removed":                            {run().happens(state.Desired{At: start}), "decide StopBegun"},
		"removed before its network came":    {begin(pod(nil)).follow().ends(state.ThingSandbox, state.Claimed{}).follow().ends(state.ThingSandbox, state.SandboxMade{}).follow().happens(state.Desired{At: start}), "cancel container/main, cancel network, wake 2m10s"},
		"removed while a start hangs":        {up(pod(sidecar)).started("car").ends("container/main", state.Made{}).follow().happens(state.Desired{At: start}).follow(), "wake 30s"},
		"it hangs for longer":                {up(pod(sidecar)).started("car").ends("container/main", state.Made{}).follow().happens(state.Desired{At: start}).follow().later(30 * time.Second), "decide TurnCome"},
		"Solopod has killed it":              {run().edit(edited).follow().ends("signal/main", state.SignalSent{Signal: 15}).later(30 * time.Second).follow().happens(state.Exited{ID: run().s.Containers["main"].ID, When: start, Code: 137}), "cancel kills/main, cancel signal/main, Examine main, wake 55s"},
		"others have killed it":              {run().happens(state.Exited{ID: run().s.Containers["main"].ID, When: start, Code: 137}), "cancel kills/main, Examine main killed"},
		"it ends while its signal hangs":     {run().edit(edited).follow().happens(state.Exited{ID: run().s.Containers["main"].ID, When: start}), "cancel kills/main, cancel signal/main, Examine main, wake 25s"},
		"all have ended":                     {run().happens(state.Desired{At: start}).follow().ends("signal/main", state.SignalSent{Signal: 15}).exits("main", 0).follow().ends("leftover/"+run().s.Containers["main"].ID, state.LogComplete{}), "Delete main kill:false, wake 10s"},
		"the shared part is edited":          {run().edit(pod(other)), "decide StopBegun"},
		"a sidecar first":                    {up(pod(sidecar)), "wake 2m10s"},
		"after the sidecar":                  {up(pod(sidecar)).started("car"), "wake 2m10s"},
		"an eviction":                        {run().happens(eviction), "decide EvictionDecided"},
		"an eviction of what has ended":      {up(pod(onFailure)).started("main").exits("main", 0).happens(eviction).follow(), "wake 10s"},
		"evicted":                            {run().happens(eviction).follow(), "wake 1s"},
		"evicted, and its time is over":      {run().happens(eviction).follow().ends("signal/main", state.SignalSent{Signal: 15}).later(time.Second), "decide KillBegun"},
		"evicted before it has started":      {up(pod(nil)).happens(eviction).follow(), "wake 10s"},
		"evicted, and gone":                  {evicted(), "Clear all"},
		"evicted, and cleared":               {evicted().follow().ends(state.ThingSandbox, state.Cleared{All: true}), ""},
		"readmitted":                         {evicted().follow().ends(state.ThingSandbox, state.Cleared{All: true}).happens(state.Readmitted{At: start}), "Clear all"},
		"begins anew":                        {evicted().follow().ends(state.ThingSandbox, state.Cleared{All: true}).happens(state.Readmitted{At: start}).follow().ends(state.ThingSandbox, state.Cleared{All: true}), "Claim"},
		"readmitted while it ends":           {run().happens(eviction).follow().happens(state.Readmitted{At: start}), "wake 1s"},
		"the machine goes down":              {run().happens(state.Drained{StopBy: start.Add(5 * time.Second)}), "decide StopBegun"},
		"the machine goes down, not begun":   {begin(pod(nil)).happens(state.Drained{StopBy: start.Add(5 * time.Second)}), ""},
		"resized":                            {up(pod(cpu("1"))).started("main").happens(state.Desired{At: start, Pod: pod(cpu("2"))}), "Resize main"},
		"a probe is due":                     {up(pod(func(p *v1.Pod) { p.Spec.Containers[0].LivenessProbe = &v1.Probe{} })).ends("container/main", state.Made{}).follow().ends("container/main", state.Started{When: start}), "WatchKills main, Probe main"},
		"a hook first":                       {up(pod(func(p *v1.Pod) { p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{}} })).ends("container/main", state.Made{}).follow().ends("container/main", state.Started{When: start}), "WatchKills main, PostStart main"},
		"a hook holds the next one back":     {up(pod(hooked)).started("main"), ""},
		"what waits behind it, when it ends": {up(pod(hooked)).started("main").ends("hook/main", state.HookEnded{}), "Create beside#0"},
		"a hook and a failed pull":           {up(pod(hooked)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}), "Pull main:1"},
		"the pull behind it failed":          {up(pod(hooked)).ends("container/main", state.Made{Problem: state.Problem{Lacks: "main:1"}}).follow().ends("image/main:1", state.ImagePulled{Problem: failed}), "Create beside#0, wake 5s"},
		"a create behind it failed":          {up(pod(hooked)).ends("container/main", state.Made{Problem: failed}), "Create beside#0, wake 10s"},
		"a create behind it hangs":           {up(pod(hooked)).later(2*time.Minute + plan.Heed).follow(), "wake 4m20s"},
		"an effect's code failed":            {begin(pod(nil)).follow().ends(state.ThingSandbox, state.Panicked{Message: "oh"}), "wake 10s"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			if got := text(plan.Plan(test.scene.s, test.scene.now)); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestPlanAfterRestart: nothing is done before it is known what runs and what should.
func TestPlanAfterRestart(t *testing.T) {
	data, err := up(pod(nil)).started("main").s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := state.Decode(data, "uid", state.Host{BootID: "boot"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(plan.Plan(s, start)); got != "FindSandbox, ReadOutput main" {
		t.Errorf("got %q", got)
	}
	s = step.Step(s, state.Listed{Asked: start, At: start})
	if got := text(plan.Plan(s, start)); got != "FindSandbox, Examine main" {
		t.Errorf("got %q", got)
	}
}

// TestPlanKillsBeforeTheNext: while an attempt that was given up may run, the next is not made.
func TestPlanKillsBeforeTheNext(t *testing.T) {
	c := up(pod(nil)).ends("container/main", state.Made{Problem: state.Problem{Reason: "no"}}).later(10 * time.Second)
	c.happens(state.Listed{Asked: c.now, At: c.now, Found: []state.Found{{ID: "x", Name: "main", Attempt: 7, Status: state.FoundRunning}}})
	c.happens(state.Saved{Step: c.s.Steps, Synced: true})
	if got := text(plan.Plan(c.s, c.now)); got != "Delete main kill:true" {
		t.Errorf("got %q", got)
	}
}

// TestPostStartOrder: with a new set-up, a restart of all, or an edit of several, what comes later waits for the hooks again; what
// restarts alone does not.
func TestPostStartOrder(t *testing.T) {
	hooked := func(p *v1.Pod) {
		p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{}}
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "beside", Image: "beside:1"})
	}
	env := func(n int) *v1.Pod {
		p := pod(hooked)
		for i := range p.Spec.Containers[:n] {
			p.Spec.Containers[1-i].Env = []v1.EnvVar{{Name: "A", Value: "b"}}
		}
		return p
	}
	for name, test := range map[string]struct {
		event state.Event
		waits bool
	}{
		"all are restarted":        {state.RestartAsked{}, true},
		"one is restarted":         {state.RestartAsked{Container: "beside"}, false},
		"both are edited":          {state.Desired{At: start, Pod: env(2)}, true},
		"the later is edited":      {state.Desired{At: start, Pod: env(1)}, false},
		"all begin anew":           {state.BegunAnew{Trigger: "main"}, true},
		"the sandbox is made anew": {state.Begun{Thing: state.ThingSandbox, Flight: state.Flight{Kind: state.KindSetUp}}, true},
	} {
		c := up(pod(hooked)).started("main").ends("hook/main", state.HookEnded{}).follow().started("beside")
		if !c.s.Containers["beside"].Begun {
			t.Fatal("it has not begun")
		}
		c.happens(test.event, state.EditDue{At: start})
		if got := !c.s.Containers["beside"].Begun; got != test.waits {
			t.Errorf("%s: it waits: %v", name, got)
		}
	}
	c := up(pod(hooked)).started("main").ends("hook/main", state.HookEnded{Failure: "no"}).follow()
	if c.s.Flights["container/beside"] == nil || !c.s.Containers["main"].Now.Stopping {
		t.Error("a hook that failed holds the next one back")
	}
}

// TestPostStartOrderOnChange: an object that several containers use has them replaced in order, too.
func TestPostStartOrderOnChange(t *testing.T) {
	p := pod(func(p *v1.Pod) {
		p.Annotations = map[string]string{manifests.RestartOnChangeAnnotation: manifests.RestartOnAnyChange}
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "beside", Image: "beside:1"})
		p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{}}
		for i := range p.Spec.Containers {
			p.Spec.Containers[i].EnvFrom = []v1.EnvFromSource{{ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "cfg"}}}}
		}
	})
	desired := func(value string) state.Desired {
		m := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cfg"}, Data: map[string]string{"A": value}}
		return state.Desired{At: start, Pod: p, Objects: reference.Objects{ConfigMaps: map[string]*v1.ConfigMap{"cfg": m}}}
	}
	c := begin(p).happens(desired("1")).up().started("main").ends("hook/main", state.HookEnded{}).follow().started("beside")
	due := state.EditDue{At: start}
	if c.happens(desired("1"), due); !c.s.Containers["beside"].Begun {
		t.Error("what stays as it is waits")
	}
	if c.happens(desired("2"), due); c.s.Containers["beside"].Begun {
		t.Error("beside does not wait for main's hook")
	}
}
