package step_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/step"
)

// TestDiagram holds the picture in doc.go to the code: random events show each of its transitions, and no others.
func TestDiagram(t *testing.T) {
	want := drawn(t)
	seen := map[string]string{}
	for seed := range uint64(150) {
		d := newDriver(seed)
		d.seen = func(from, to state.Phase, cause string) {
			key := string(from) + " -> " + string(to)
			if seen[key] == "" {
				seen[key] = fmt.Sprintf("seed %d, %s", seed, cause)
			}
		}
		for range 300 {
			d.step()
		}
	}
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		if !want[key] {
			t.Errorf("the picture in doc.go lacks %s (%s)", key, seen[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if seen[key] == "" {
			t.Errorf("%s is in the picture, and never happens", key)
		}
	}
}

// drawn are the transitions of the picture.
func drawn(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^//\t(\w+) +-> (\w+)`).FindAllStringSubmatch(string(data), -1) {
		out[m[1]+" -> "+m[2]] = true
	}
	if len(out) == 0 {
		t.Fatal("there is no picture in doc.go")
	}
	return out
}

// driver is a pod whose effects end as it pleases.
type driver struct {
	r     *rand.Rand
	s     state.State
	now   time.Time
	token uint64
	n     int
	seen  func(from, to state.Phase, cause string)
	pod   *v1.Pod
}

func newDriver(seed uint64) *driver {
	d := &driver{r: rand.New(rand.NewPCG(seed, 1)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), seen: func(state.Phase, state.Phase, string) {}}
	d.pod = &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid"},
		Spec: v1.PodSpec{
			RestartPolicy: v1.RestartPolicyAlways, TerminationGracePeriodSeconds: ptr.To[int64](10),
			InitContainers: []v1.Container{{Name: "car", Image: "car:1", RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways)}},
			Containers: []v1.Container{
				{Name: "main", Image: "main:1", LivenessProbe: &v1.Probe{FailureThreshold: 1}, Lifecycle: &v1.Lifecycle{
					PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{}}, PreStop: &v1.LifecycleHandler{Exec: &v1.ExecAction{}},
				}},
				{Name: "beside", Image: "beside:1"},
			},
		},
	}
	d.s = state.New(host, 0, d.pod, true)
	d.event(state.Desired{At: d.now, Pod: d.pod})
	return d
}

var host = state.Host{Node: "box", IPs: []string{"192.0.2.1"}, BootID: "boot"}

// event steps, and watches the phases.
func (d *driver) event(e state.Event) {
	before := d.s
	d.s = step.Step(before, e)
	names := maps.Clone(before.Containers)
	maps.Copy(names, d.s.Containers)
	for name := range names {
		if from, to := before.Containers[name].Phase(), d.s.Containers[name].Phase(); from != to {
			d.seen(from, to, fmt.Sprintf("%T %s", e, name))
		}
	}
}

// follow does what the plan says.
func (d *driver) follow() {
	for range 100 {
		decided := false
		for _, e := range plan.Plan(d.s, d.now) {
			switch e := e.(type) {
			case plan.Decide:
				d.event(e.Event)
				decided = true
			case plan.Cancel:
				d.event(state.Told{Thing: e.Thing, At: d.now})
			case plan.Run:
				d.begin(e.Work)
			}
		}
		if !decided {
			return
		}
	}
	panic("a plan without an end")
}

func (d *driver) begin(w plan.Work) {
	is := w.Is()
	d.token++
	e := state.Begun{Thing: is.Thing(), Flight: state.Flight{Kind: is.Kind, Name: is.Name, ID: is.ID, Key: is.Key, Token: d.token, Began: d.now}}
	if limit := plan.Limit(is.Kind); limit > 0 {
		e.Flight.Deadline = d.now.Add(limit)
	}
	if c, ok := w.(plan.Create); ok {
		e.Making = c.Making
	}
	d.event(e)
}

// step lets something happen, and follows the plan.
func (d *driver) step() {
	d.n++
	d.now = d.now.Add(time.Duration(d.r.Int64N(int64(8 * time.Second))))
	if things := slices.Sorted(maps.Keys(d.s.Flights)); len(things) > 0 && d.r.IntN(4) > 0 {
		thing := things[d.r.IntN(len(things))]
		f := d.s.Flights[thing]
		d.event(state.Returned{Thing: thing, Token: f.Token, At: d.now, Result: d.result(f)})
	} else {
		d.event(d.outside())
	}
	d.event(state.Saved{Step: d.s.Steps, Synced: true})
	d.follow()
}

// problem is one now and then.
func (d *driver) problem() state.Problem {
	switch d.r.IntN(12) {
	case 0:
		return state.Problem{Reason: "Failed", Message: "no"}
	case 1:
		return state.Problem{Reason: "Failed", Message: "no sandbox", Sandbox: true}
	case 2:
		return state.Problem{Reason: state.ReasonStartError, Message: "no such command", Refused: true}
	}
	return state.Problem{}
}

func (d *driver) result(f *state.Flight) state.Result {
	if d.r.IntN(60) == 0 {
		return state.Panicked{Message: "oh"}
	}
	p := d.problem()
	switch f.Kind {
	case state.KindFindSandbox:
		return state.SandboxFound{Complete: d.r.IntN(4) > 0, Problem: p}
	case state.KindClaim:
		return state.Claimed{Problem: p}
	case state.KindSetUp:
		return state.SandboxMade{Problem: p}
	case state.KindAttach:
		return state.Attached{Problem: p, Attachment: state.Attachment{IPs: []string{"10.0.0.2"}}}
	case state.KindClear:
		return state.Cleared{All: f.Key != "", Problem: p}
	case state.KindCreate:
		if d.r.IntN(12) == 0 {
			p = state.Problem{Reason: "ErrImagePull", Lacks: f.Name + ":1"}
		}
		return state.Made{Pid: 1, StopSignal: 15, LeftBehind: d.r.IntN(2) == 0, Problem: p}
	case state.KindStart:
		return state.Started{When: d.now, Problem: p}
	case state.KindPull:
		return state.ImagePulled{Problem: p}
	case state.KindResize:
		return state.Resized{Resources: d.s.Revisions.Resources[f.Name], Problem: p}
	case state.KindReadOutput:
		return state.OutputRead{Problem: p}
	case state.KindPostStart, state.KindPreStop:
		return state.HookEnded{PreStop: f.Kind == state.KindPreStop, Failure: p.Message}
	case state.KindSignal:
		if d.r.IntN(6) == 0 {
			return state.SignalSent{Found: &state.Found{ID: f.ID, Status: state.FoundStopped, ExitCode: 1, ExitedAt: d.now}}
		}
		return state.SignalSent{Signal: 15, Problem: p}
	case state.KindExamine:
		return state.Examined{Kills: uint64(d.r.IntN(2))}
	case state.KindDrain:
		return state.LogComplete{Problem: p}
	case state.KindDelete:
		return state.LeftoverGone{Problem: p}
	}
	return state.WatchEnded{Problem: p}
}

// outside is what happens by itself.
func (d *driver) outside() state.Event {
	names := slices.Sorted(maps.Keys(d.s.Containers))
	var id, name string
	if len(names) > 0 {
		name = names[d.r.IntN(len(names))]
		id = d.s.Containers[name].ID
	}
	switch d.r.IntN(14) {
	case 0, 1, 2:
		return state.Exited{ID: id, Code: int32(d.r.IntN(2)), When: d.now}
	case 3:
		d.pod = d.edited()
		return state.Desired{At: d.now, Pod: d.pod}
	case 4:
		return state.Desired{At: d.now}
	case 5, 6:
		return state.Desired{At: d.now, Pod: d.pod}
	case 7:
		return state.RestartAsked{Container: name}
	case 8:
		return d.restarted(id, name)
	case 9:
		return state.Listed{Asked: d.now, At: d.now, Found: d.found()}
	case 10:
		if f := d.s.Flights["probe/main/Liveness"]; f != nil {
			return state.Said{Thing: "probe/main/Liveness", Token: f.Token, At: d.now, News: state.Probed{Kind: state.Liveness, Failure: "no"}}
		}
	case 11:
		return state.ImagesReady{Names: []string{"docker.io/library/main:1", "docker.io/library/car:1", "docker.io/library/beside:1"}}
	case 12:
		return state.ClockMoved{Moved: time.Second, Booted: d.now.Add(-time.Hour)}
	}
	d.now = d.now.Add(time.Minute)
	return state.ClaimsFree{}
}

// edited changes a container, drops one, or changes what all share.
func (d *driver) edited() *v1.Pod {
	p := d.pod.DeepCopy()
	switch d.r.IntN(4) {
	case 0:
		p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "N", Value: fmt.Sprint(d.n)}}
	case 1:
		p.Spec.Hostname = fmt.Sprint("h", d.n)
	case 2:
		p.Spec.InitContainers[0].Env = []v1.EnvVar{{Name: "N", Value: fmt.Sprint(d.n)}}
	default:
		if len(p.Spec.Containers) > 1 {
			p.Spec.Containers = p.Spec.Containers[:1]
		} else {
			p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "beside", Image: "beside:1"})
		}
	}
	return p
}

func (d *driver) found() []state.Found {
	var out []state.Found
	for name, c := range d.s.Containers {
		if c.Running && d.r.IntN(8) > 0 {
			out = append(out, state.Found{ID: c.ID, Name: name, Attempt: c.Attempt, Status: state.FoundRunning, Pid: 1, Revision: c.Revision})
		}
	}
	return out
}

// restarted is the pod as the next Solopod takes it up, which finds what the record does not know.
func (d *driver) restarted(string, string) state.Event {
	data, err := d.s.Encode()
	if err != nil {
		panic(err)
	}
	next, err := state.Decode(data, "uid", host, true)
	if err != nil {
		panic(err)
	}
	found := d.found()
	for name, c := range d.s.Containers {
		if c.Making != nil { // it has been started meanwhile
			found = append(found, state.Found{
				ID: c.Making.ID, Name: name, Attempt: c.Making.Attempt, Status: state.FoundRunning, Pid: 1, Revision: c.Making.Revision, CreatedAt: d.now,
			})
		}
	}
	for name := range d.s.Containers { // what is not written down is not known
		if from, to := d.s.Containers[name].Phase(), next.Containers[name].Phase(); from != to && to != state.Absent && to != state.Ended && to != state.Running {
			d.seen(from, to, "a restart of Solopod "+name)
		}
	}
	d.s = next
	d.event(state.Desired{At: d.now, Pod: d.pod})
	return state.Listed{Asked: d.now, At: d.now, Found: found}
}
