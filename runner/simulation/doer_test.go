package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// doer does effects in the box for one daemon.
type doer struct{ *daemon }

// Do implements pod.Doer.
func (d doer) Do(ctx context.Context, w plan.Work, say func(state.Result)) state.Result {
	uid := uidOf(w)
	end := d.begin(uid, w)
	defer end()
	is := w.Is()
	r := d.do(ctx, uid, w, say)
	d.box.note("%s ends   %s %s %.6s: %+v", uid, is.Kind, is.Name, is.ID, short(r))
	return r
}

func short(r state.Result) string {
	s := fmt.Sprintf("%T %+v", r, r)
	return s[:min(len(s), 160)]
}

func (d doer) do(ctx context.Context, uid string, w plan.Work, say func(state.Result)) state.Result {
	is := w.Is()
	f := d.fate(uid, is.Kind, is.Name)
	switch w := w.(type) {
	case plan.Probe:
		return d.probe(ctx, uid, w, f, say)
	case plan.WatchKills:
		return d.watchKills(ctx, w, f, say)
	}
	late := is.Kind == state.KindClaim && f.late // of what else was done the world shows what it was
	if f.panics && !late {
		panic("injected: a fault in an effect's code")
	}
	problem := d.wait(ctx, uid, is, w, f)
	if problem != nil {
		return failure(w, *problem)
	}
	if f.nothing {
		return nil // a fault in the effect's code that the pod's own trips over
	}
	if f.refuse {
		return d.refuse(w)
	}
	if f.fail {
		d.half(w)
		return failure(w, state.Problem{Reason: "Failed", Message: is.Kind + " fails"})
	}
	r := d.land(uid, w)
	d.landedLeft(w)
	if f.panics {
		panic("injected: a fault in an effect's code, when all was done")
	}
	d.rest(ctx, f)
	return r
}

// wait passes the time until the effect changes the world; a problem says that it does not.
func (d doer) wait(ctx context.Context, uid string, is plan.Identity, w plan.Work, f fate) *state.Problem {
	select {
	case <-d.dead: // a process that was killed begins nothing more, and no other completes it
		return &state.Problem{Message: "the daemon is dead"}
	default:
	}
	wait, gate, done := time.After(f.before), (<-chan struct{})(nil), ctx.Done()
	if f.hang {
		d.box.note("%s hangs  %s %s %.6s (deaf: %v)", uid, is.Kind, is.Name, is.ID, f.deaf)
		wait, gate = nil, d.box.gate()
	}
	if f.deaf {
		done = nil
	}
	select {
	case <-wait:
	case <-gate:
		d.apart(f)
	case <-done:
		d.apart(f)
		if f.late {
			return nil
		}
		return &state.Problem{Reason: "Failed", Message: ctx.Err().Error()}
	case <-d.dead:
		if f.outlives {
			d.outlive(uid, w, f)
		}
		return &state.Problem{Message: "the daemon is dead"}
	}
	return nil
}

// apart lets effects that end together end one after the other, so that a run can be repeated.
func (d doer) apart(f fate) {
	select {
	case <-time.After(f.before%time.Millisecond + time.Microsecond):
	case <-d.dead:
	}
}

// rest passes the time between the change and the return.
func (d doer) rest(ctx context.Context, f fate) {
	done := ctx.Done()
	if f.deaf {
		done = nil
	}
	select {
	case <-time.After(f.after):
	case <-done:
		d.apart(f)
	case <-d.dead:
	}
}

// outlive has another process complete what a daemon had begun that was killed meanwhile.
func (d doer) outlive(uid string, w plan.Work, f fate) {
	b := d.box
	boot := b.boot
	time.AfterFunc(f.before, func() {
		b.mu.Lock()
		same := b.boot == boot && !b.calm
		b.mu.Unlock()
		if same {
			b.note("%s lands after the daemon's end: %s %s %.6s", uid, w.Is().Kind, w.Is().Name, w.Is().ID)
			doer{d.daemon}.land(uid, w)
			d.landedLate(w)
		}
	})
}

func uidOf(w plan.Work) string {
	switch w := w.(type) {
	case plan.FindSandbox:
		return string(w.Pod.UID)
	case plan.Claim:
		return string(w.Pod.UID)
	case plan.SetUp:
		return string(w.Pod.UID)
	case plan.Attach:
		return string(w.Pod.UID)
	case plan.Clear:
		return string(w.Pod.UID)
	case plan.ShowVolumes:
		return string(w.Pod.UID)
	case plan.ShowResolver:
		return string(w.Pod.UID)
	case plan.SetLimits:
		return string(w.Pod.UID)
	case plan.Measure:
		return string(w.Pod.UID)
	case plan.Foresee:
		return string(w.Pod.UID)
	case plan.Pull:
		return string(w.Pod.UID)
	case plan.Create:
		return string(w.Pod.UID)
	case plan.Start:
		return string(w.Pod.UID)
	case plan.Resize:
		return string(w.Pod.UID)
	case plan.ReadOutput:
		return string(w.Pod.UID)
	case plan.WatchKills:
		return string(w.Pod.UID)
	case plan.Probe:
		return string(w.Pod.UID)
	case plan.Hook:
		return string(w.Pod.UID)
	case plan.Signal:
		return string(w.Pod.UID)
	case plan.Examine:
		return string(w.Pod.UID)
	case plan.Drain:
		return string(w.Pod.UID)
	case plan.Delete:
		return string(w.Pod.UID)
	}
	panic(fmt.Sprintf("no such effect: %T", w))
}

// failure is the result of an effect that has failed.
func failure(w plan.Work, p state.Problem) state.Result {
	switch w := w.(type) {
	case plan.FindSandbox:
		return state.SandboxFound{Problem: p}
	case plan.Claim:
		return state.Claimed{Problem: p}
	case plan.SetUp:
		return state.SandboxMade{Problem: p}
	case plan.Attach:
		return state.Attached{Problem: p}
	case plan.Clear:
		return state.Cleared{All: w.All, Problem: p}
	case plan.ShowVolumes:
		return state.VolumesShown{Content: w.Content, Problem: p}
	case plan.ShowResolver:
		return state.ResolverShown{Resolver: w.Resolver, Problem: p}
	case plan.SetLimits:
		return state.LimitsSet{Resized: w.Resized, Problem: p}
	case plan.Measure:
		return state.Measured{Problem: p}
	case plan.Foresee:
		return state.Foreseen{Problem: p}
	case plan.Pull:
		return state.ImagePulled{Problem: state.Problem{Reason: "ErrImagePull", Message: p.Message}}
	case plan.Create:
		return state.Made{LeftBehind: true, Problem: state.Problem{Reason: "CreateContainerError", Message: p.Message}}
	case plan.Start:
		return state.Started{Problem: state.Problem{Reason: "RunContainerError", Message: p.Message}}
	case plan.Resize:
		return state.Resized{Resources: w.Resources, Problem: p}
	case plan.ReadOutput:
		return state.OutputRead{Problem: p}
	case plan.Hook:
		return state.HookEnded{PreStop: w.PreStop, Failure: p.Message}
	case plan.Signal:
		return state.SignalSent{Signal: w.Signal, Problem: p}
	case plan.Examine:
		return state.Examined{}
	case plan.Drain:
		return state.LogComplete{Problem: p}
	case plan.Delete:
		return state.LeftoverGone{Problem: p}
	}
	return state.WatchEnded{Problem: p}
}

// landedLate: a new daemon may have looked before, and cannot know.
func (d doer) landedLate(w plan.Work) {
	b := d.box
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.containers[w.Is().ID]
	if c == nil {
		return
	}
	if c.late = b.daemon != nil; c.late || b.lives > d.n || !b.stale[c.uid].IsZero() {
		b.history(c.uid, c.name).free = true
	}
}

// landedLeft: a start that was under way when the pod's code panicked, and did not heed its end, is given up; its attempt's number
// is free.
func (d doer) landedLeft(w plan.Work) {
	if _, ok := w.(plan.Start); !ok {
		return
	}
	b := d.box
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.containers[w.Is().ID]
	if c == nil {
		return
	}
	if at, ok := d.voided[c.uid]; ok && time.Since(at) < tooLong && time.Since(at) >= plan.Heed {
		b.history(c.uid, c.name).free = true
	}
}
