package pod

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/status"
	"github.com/solopod/solopod/runner/pod/step"
)

// Doer does effects.
type Doer interface {
	// Do does w until it is done or ctx ends, and returns what came of it. What happens before is told by say. It is called
	// in a goroutine of its own.
	Do(ctx context.Context, w plan.Work, say func(state.Result)) state.Result
}

// Owner is who has the workers.
type Owner interface {
	// Report is told what happens to a pod. It must not block.
	Report(pod *v1.Pod, r state.Report)
	// Changed is told that the pod's snapshot is another one. It must not block.
	Changed()
	// List asks for a state.Listed to be sent to the worker; it does not wait.
	List(w *Worker)
	// NextVersion gives a growing resource version.
	NextVersion() uint64
}

// Snapshot is a pod at one moment. Nobody may change it.
type Snapshot struct {
	Pod   *v1.Pod
	State state.State
}

// Worker runs one pod.
type Worker struct {
	uid     string
	doer    Doer
	owner   Owner
	writer  *writer
	mailbox mailbox
	// published is for others to read.
	published atomic.Pointer[Snapshot]
	// since is when the turn at hand began; nil while the worker waits for a message.
	since atomic.Pointer[time.Time]
	turns atomic.Uint64
	ended chan struct{}
	// suspended is closed when nothing of the pod runs any more, because the machine goes down.
	suspended chan struct{}

	// ---- owned by Run
	s       state.State
	flights map[string]*flight
	token   uint64
	// desired is what the manifests said last.
	desired *state.Desired
	// record is what the writer was given last, of the state recorded.
	record   []byte
	recorded state.State
	// recordStep is the step with which the record became what it is.
	recordStep uint64
	encoder    state.Encoder
	// recordGone is closed when the record of a pod that is over was removed; removal says how far that is.
	recordGone chan struct{}
	removal    removal
	// hasRecord: the disk has a record of the pod, or is about to.
	hasRecord bool
	// asked: a list of what exists is on its way.
	asked   bool
	begun   []chan<- struct{}
	settled []chan<- struct{}
	// panics counts panics; until hold no message is taken.
	panics      state.Backoff
	hold        time.Time
	isSuspended bool
	background  sync.WaitGroup
}

// removal is how far the removal of a record is.
type removal int

const (
	notBegun removal = iota
	begun
	done
)

// flight is an effect that runs, as the worker knows it beside the state.
type flight struct {
	work   plan.Work
	token  uint64
	cancel context.CancelFunc
	done   chan struct{}
}

// New makes a worker for a pod in a given state. Its snapshot is there at once; nothing is done before Run.
func New(s state.State, doer Doer, owner Owner, records Records) *Worker {
	w := &Worker{
		uid: string(s.Pod.UID), doer: doer, owner: owner, mailbox: newMailbox(), s: s, flights: map[string]*flight{},
		ended: make(chan struct{}), suspended: make(chan struct{}),
	}
	w.hasRecord = s.Adoption.Sandbox // it was restored from one
	w.asked = true                   // whoever makes a worker has everything listed
	w.writer = &writer{uid: w.uid, records: records, signal: make(chan struct{}, 1), report: w.Send}
	w.publish(time.Now())
	return w
}

// UID is the pod's.
func (w *Worker) UID() string { return w.uid }

// Snapshot is the pod as it was published last.
func (w *Worker) Snapshot() *Snapshot { return w.published.Load() }

// Send gives the worker an event. It does not block.
func (w *Worker) Send(e state.Event) { w.mailbox.put(message{event: e}) }

// Offer is Send; it returns false when the worker has ended.
func (w *Worker) Offer(e state.Event) bool { return w.mailbox.put(message{event: e}) }

// Ask gives the worker an event; begun is closed when what follows from it has begun, or the worker has ended.
func (w *Worker) Ask(e state.Event) (begun <-chan struct{}) {
	ch := make(chan struct{})
	w.mailbox.put(message{event: e, begun: ch})
	return ch
}

// Settled returns a channel that is closed when the pod is not just being brought up, or the worker has ended.
func (w *Worker) Settled() <-chan struct{} {
	ch := make(chan struct{})
	w.mailbox.put(message{settled: ch})
	return ch
}

// Suspended is closed when nothing of the pod runs any more because the machine goes down, or the worker has ended.
func (w *Worker) Suspended() <-chan struct{} { return w.suspended }

// Ended is closed when Run has returned.
func (w *Worker) Ended() <-chan struct{} { return w.ended }

// Since is when the turn at hand began; zero while the worker waits for a message.
func (w *Worker) Since() time.Time {
	if since := w.since.Load(); since != nil {
		return *since
	}
	return time.Time{}
}

// Turns counts the turns.
func (w *Worker) Turns() uint64 { return w.turns.Load() }

// detachLimit is how long Run waits for effects after ctx has ended.
const detachLimit = 3 * time.Second

// Run runs the pod until ctx ends, which leaves everything as it is, or the pod is over.
func (w *Worker) Run(ctx context.Context) {
	writing, stop := context.WithCancel(context.Background())
	w.background.Go(func() { w.writer.run(writing) })
	defer w.end(stop)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.mailbox.signal:
		case <-timer.C:
		case <-w.recordGone:
			w.recordGone, w.removal = nil, done
		}
		if ctx.Err() != nil {
			return // what is begun now would end at once, and be begun again
		}
		if wait := time.Until(w.hold); wait > 0 {
			timer.Reset(wait)
			continue
		}
		now := time.Now()
		w.since.Store(&now)
		w.turns.Add(1)
		wake := w.turn(ctx)
		w.since.Store(nil)
		if w.over() {
			return
		}
		timer.Stop()
		if !wake.IsZero() {
			timer.Reset(max(time.Until(wake), time.Millisecond))
		}
	}
}

// turn takes the messages and does what follows from them. A panic in it ends it, not the daemon.
func (w *Worker) turn(ctx context.Context) (wake time.Time) {
	messages := w.mailbox.takeAll()
	defer func() {
		if p := recover(); p != nil {
			w.panicked(p, debug.Stack(), messages)
			wake = w.hold
		}
	}()
	for len(messages) > 0 {
		m := messages[0]
		messages = messages[1:]
		w.take(m)
	}
	w.askForList()
	if !w.keeps() {
		w.step(state.Saved{Step: w.s.Steps, Synced: true}) // there is nothing to keep
	}
	wake = w.plan(ctx)
	w.askForList() // what was unclear may have been given up
	w.publish(time.Now())
	w.write()
	w.reply()
	return wake
}

// askForList has it found out what runs, where that is not known.
func (w *Worker) askForList() {
	if w.s.Adoption.Containers && !w.asked && !w.s.StartsUnclear() {
		w.asked = true
		w.owner.List(w)
	}
}

func (w *Worker) take(m message) {
	if m.begun != nil {
		w.begun = append(w.begun, m.begun)
	}
	if m.settled != nil {
		w.settled = append(w.settled, m.settled)
	}
	switch e := m.event.(type) {
	case nil:
		return
	case state.Desired:
		w.desired = &e
	case state.Listed:
		w.asked = false
	case state.Returned:
		if f := w.flights[e.Thing]; f != nil && f.token == e.Token {
			f.cancel()
			delete(w.flights, e.Thing)
		}
	}
	w.step(m.event)
}

func (w *Worker) step(e state.Event) {
	w.s = step.Step(w.s, e)
	for _, r := range w.s.Reports {
		if !w.s.Orphan {
			w.owner.Report(w.s.Pod, r)
		}
	}
}

// mostDecisions bounds the decisions of one turn: more of them would be a circle.
const mostDecisions = 200

// plan does what the plan says, and returns when to look again.
func (w *Worker) plan(ctx context.Context) (wake time.Time) {
	for range mostDecisions {
		effects := plan.Plan(w.s, time.Now())
		decided := false
		for _, e := range effects {
			switch e := e.(type) {
			case plan.Decide:
				w.step(e.Event)
				decided = true
			case plan.Cancel:
				w.cancel(e.Thing)
			case plan.Run:
				w.start(ctx, e.Work)
			case plan.Wake:
				wake = e.T
			}
		}
		if !decided {
			return wake
		}
		wake = time.Time{}
	}
	panic(fmt.Sprintf("%d decisions of one plan, and no end", mostDecisions))
}

// start starts an effect.
func (w *Worker) start(ctx context.Context, work plan.Work) {
	is := work.Is()
	thing, now := is.Thing(), time.Now()
	if w.flights[thing] != nil {
		panic("two effects on " + thing)
	}
	w.token++
	f := &flight{work: work, token: w.token, done: make(chan struct{})}
	begun := state.Begun{Thing: thing, Flight: state.Flight{Kind: is.Kind, Name: is.Name, ID: is.ID, Key: is.Key, Token: w.token, Began: now}}
	if limit := plan.Limit(is.Kind); limit > 0 {
		begun.Flight.Deadline = now.Add(limit)
		ctx, f.cancel = context.WithTimeout(ctx, limit)
	} else {
		ctx, f.cancel = context.WithCancel(ctx)
	}
	if c, ok := work.(plan.Create); ok {
		begun.Making = c.Making
	}
	w.step(begun)
	w.flights[thing] = f
	token := w.token
	go func() {
		defer close(f.done)
		say := func(news state.Result) {
			w.Send(state.Said{Thing: thing, Token: token, At: time.Now(), News: news})
		}
		w.Send(state.Returned{Thing: thing, Token: token, Result: w.do(ctx, work, say), At: time.Now()})
	}()
}

// do turns a panic of an effect into its result.
func (w *Worker) do(ctx context.Context, work plan.Work, say func(state.Result)) (r state.Result) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("an effect's own code failed; the pod goes on", "uid", w.uid, "effect", work.Is().Kind, "panic", p, "stack", string(debug.Stack()))
			r = state.Panicked{Message: fmt.Sprint(p)}
		}
	}()
	return w.doer.Do(ctx, work, say)
}

func (w *Worker) cancel(thing string) {
	if f := w.flights[thing]; f != nil {
		f.cancel()
	}
	w.step(state.Told{Thing: thing, At: time.Now()})
}

// keeps says whether the pod shall have a record: once something of it has existed, until it is over.
func (w *Worker) keeps() bool { return !w.s.Orphan && (w.s.Anything() || w.hasRecord) }

// write hands the record to the writer when it changed.
func (w *Worker) write() {
	if w.hasRecord && w.s.Over() {
		if w.removal == notBegun {
			gone := make(chan struct{})
			w.recordGone, w.removal, w.record = gone, begun, nil
			w.writer.put(writing{gone: gone, step: w.s.Steps})
		}
		return
	}
	w.recordGone, w.removal = nil, notBegun
	if !w.keeps() {
		return
	}
	if w.record != nil && state.SameRecord(&w.s, &w.recorded) {
		w.unchanged()
		return
	}
	data, err := w.encoder.Encode(w.s)
	if err != nil {
		w.recorded = w.s // it would fail again
		w.Send(state.Saved{Step: w.s.Steps, Synced: true, Problem: err.Error()})
		return
	}
	w.recorded = w.s
	if bytes.Equal(data, w.record) {
		w.unchanged()
		return
	}
	w.record, w.recordStep, w.hasRecord = data, w.s.Steps, true
	w.writer.put(writing{data: data, step: w.s.Steps})
}

// unchanged: what holds for the record that was written holds for this step, too, if somebody waits for it.
func (w *Worker) unchanged() {
	noting, saving := w.s.AwaitsRecord()
	if synced := w.s.Saved >= w.recordStep; synced && saving || noting && w.s.Noted >= w.recordStep {
		w.Send(state.Saved{Step: w.s.Steps, Synced: synced})
	}
}

// publish makes the pod's status visible when it changed.
func (w *Worker) publish(now time.Time) {
	old := w.published.Load()
	if old != nil && old.State.Standing(nil) != w.s.Standing(nil) { // which does not show in the pod
		defer w.owner.Changed()
	}
	if old != nil && status.Same(&old.State, &w.s) {
		w.published.Store(&Snapshot{Pod: old.Pod, State: w.s})
		return
	}
	pod := status.Of(w.s, now)
	if !reflect.DeepEqual(pod.Status.Conditions, w.s.Conditions) {
		w.s = step.Step(w.s, state.ConditionsNoted{Conditions: pod.Status.Conditions})
	}
	if old != nil {
		pod.ResourceVersion = old.Pod.ResourceVersion
		if reflect.DeepEqual(pod, old.Pod) {
			w.published.Store(&Snapshot{Pod: old.Pod, State: w.s})
			return
		}
	}
	pod.ResourceVersion = fmt.Sprint(w.owner.NextVersion())
	first := w.published.Swap(&Snapshot{Pod: pod, State: w.s}) == nil
	if !first { // whoever makes a worker knows
		w.owner.Changed()
	}
}

// reply answers those who wait.
func (w *Worker) reply() {
	for _, ch := range w.begun {
		close(ch)
	}
	w.begun = nil
	if w.s.Settled() {
		for _, ch := range w.settled {
			close(ch)
		}
		w.settled = nil
	}
	if !w.s.StopBy.IsZero() && w.s.Suspended() && !w.isSuspended {
		w.isSuspended = true
		close(w.suspended)
	}
}

// over: the pod is gone, its record too, and nobody has asked for it again meanwhile.
func (w *Worker) over() bool {
	if !w.s.Over() {
		return false
	}
	if w.hasRecord && w.removal != done {
		return false
	}
	left, ok := w.mailbox.close(false)
	if !ok { // it was asked for again
		return false
	}
	w.answerAll(left)
	return true
}

// panicked: the state may be anything now. It is restored from the record, as after a restart; what runs in the world goes on.
func (w *Worker) panicked(p any, stack []byte, left []message) {
	slog.Error("a pod's own code failed; the pod is taken up again from its record", "pod", manifests.Key(w.s.Pod), "panic", p, "stack", string(stack))
	now := time.Now()
	w.owner.Report(w.s.Pod, state.Report{Warning: true, Reason: "InternalError", Message: fmt.Sprintf("Solopod's own code failed: %v; the pod is taken up again from its record", p)})
	if now.Sub(w.panics.Set) > state.MaxBackoff { // another story
		w.panics = state.Backoff{}
	}
	w.panics = w.panics.Failed(now)
	w.hold = w.panics.Due()
	if w.panics.Failures == 1 {
		w.hold = now.Add(100 * time.Millisecond)
	}
	flying := map[string]*state.Flight{}
	for thing, f := range w.flights {
		f.cancel()
		is := f.work.Is()
		void := &state.Flight{Kind: is.Kind, Name: is.Name, ID: is.ID, Key: is.Key, Token: f.token, Began: now, Cancelled: now}
		if known := w.s.Flights[thing]; known != nil {
			void.Left = known.Left // it was told, and its return will be
		}
		flying[thing] = void
	}
	w.restore(flying, now)
	if w.desired != nil {
		left = append([]message{{event: *w.desired}}, left...)
	}
	w.mailbox.putBack(left)
	w.asked = false
}

// restore takes the state up from the record; without one it is that of a pod of which nothing is known but that something is left.
func (w *Worker) restore(flying map[string]*state.Flight, now time.Time) {
	old := w.s
	defer func() {
		if p := recover(); p != nil {
			slog.Error("a pod cannot be taken up from its record", "pod", manifests.Key(old.Pod), "panic", p)
			w.s = old
		}
	}()
	next, err := state.Decode(w.record, w.uid, old.Host, old.Scanned)
	switch {
	case old.Orphan:
		next = state.Orphan(old.Host, old.ClockOffset, w.uid)
		next.Decided = old.Decided // nobody will say again that no manifest names it
	case err != nil:
		next = state.New(old.Host, old.ClockOffset, old.Pod, old.Scanned)
		next.Dirty, next.Adoption = old.Anything(), state.Adoption{Containers: true}
	}
	next.StopBy, next.Steps, next.UnclearUntil = old.StopBy, old.Steps, now
	w.s = step.Step(next, state.Voided{Flights: flying})
}

// end lets go of everything that belongs to this process; the containers run on.
func (w *Worker) end(stopWriter context.CancelFunc) {
	defer close(w.ended)
	for _, f := range w.flights {
		f.cancel()
	}
	limit := time.NewTimer(detachLimit)
	defer limit.Stop()
	over := false
	for _, f := range w.flights {
		if over {
			break
		}
		select {
		case <-f.done:
		case <-limit.C:
			over = true
		}
	}
	stopWriter()
	written := make(chan struct{})
	go func() {
		w.background.Wait()
		close(written)
	}()
	select {
	case <-written:
	case <-time.After(time.Second):
		slog.Warn("a pod's record is still being written while Solopod ends", "pod", manifests.Key(w.s.Pod))
	}
	left, _ := w.mailbox.close(true)
	w.answerAll(left)
}

// answerAll answers everybody who waits for this worker, which ends.
func (w *Worker) answerAll(left []message) {
	for _, m := range left {
		m.answer()
	}
	for _, ch := range append(w.begun, w.settled...) {
		close(ch)
	}
	w.begun, w.settled = nil, nil
	if !w.isSuspended && w.s.Over() {
		w.isSuspended = true
		close(w.suspended)
	}
}
