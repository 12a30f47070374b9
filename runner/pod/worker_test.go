package pod_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// house is all that a worker needs. Its effects succeed at once, unless do says otherwise.
type house struct {
	do func(ctx context.Context, w plan.Work) (state.Result, bool)
	// never is closed at the end: what hangs waits for it.
	never chan struct{}

	mu       sync.Mutex
	kinds    []string
	reasons  []string
	record   []byte
	writeErr error
	hang     chan struct{} // the disk hangs until this is closed
	hangs    bool          // it hangs for ever
	removed  int
	lists    int
	panicAt  string // the reason of a report whose telling panics
	version  atomic.Uint64
}

func (h *house) Do(ctx context.Context, w plan.Work, _ func(state.Result)) state.Result {
	h.mu.Lock()
	h.kinds = append(h.kinds, w.Is().Kind)
	do := h.do
	h.mu.Unlock()
	if do != nil {
		if r, ok := do(ctx, w); ok {
			return r
		}
	}
	switch w := w.(type) {
	case plan.FindSandbox:
		return state.SandboxFound{Complete: true}
	case plan.Claim:
		return state.Claimed{}
	case plan.SetUp:
		return state.SandboxMade{}
	case plan.Attach:
		return state.Attached{Attachment: state.Attachment{IPs: []string{"10.0.0.2"}}}
	case plan.Clear:
		return state.Cleared{All: w.All}
	case plan.Create:
		return state.Made{Pid: 1, StopSignal: 15}
	case plan.Start:
		return state.Started{When: time.Now()}
	case plan.Signal:
		return state.SignalSent{Signal: w.Signal, Found: &state.Found{ID: w.ID, Status: state.FoundStopped, ExitedAt: time.Now()}}
	case plan.Examine:
		return state.Examined{}
	case plan.Drain:
		return state.LogComplete{}
	case plan.Delete:
		return state.LeftoverGone{}
	case plan.ReadOutput:
		return state.OutputRead{}
	}
	<-ctx.Done()
	return state.WatchEnded{}
}

func (h *house) Report(_ *v1.Pod, r state.Report) {
	h.mu.Lock()
	h.reasons = append(h.reasons, r.Reason)
	fails := h.panicAt == r.Reason
	if fails {
		h.panicAt = ""
	}
	h.mu.Unlock()
	if fails {
		panic("a fault in the pod's code")
	}
}

func (h *house) Changed()            {}
func (h *house) NextVersion() uint64 { return h.version.Add(1) }

func (h *house) List(w *pod.Worker) {
	h.mu.Lock()
	h.lists++
	h.mu.Unlock()
	snapshot := w.Snapshot()
	var found []state.Found
	for name, c := range snapshot.State.Containers {
		if c.ID != "" {
			found = append(found, state.Found{ID: c.ID, Name: name, Attempt: c.Attempt, Revision: c.Revision, Status: state.FoundRunning, Pid: 1})
		}
	}
	w.Send(state.Listed{Asked: time.Now(), At: time.Now(), Found: found})
}

func (h *house) disk() error {
	h.mu.Lock()
	hang, err := h.hang, h.writeErr
	if h.hangs {
		hang = h.never
	}
	h.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return err
}

func (h *house) Write(_ string, data []byte) error {
	if err := h.disk(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.record = data
	return nil
}

func (h *house) Sync(string) error { return h.disk() }

func (h *house) Remove(string) error {
	if err := h.disk(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.record, h.removed = nil, h.removed+1
	return nil
}

func (h *house) told(reason string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, r := range h.reasons {
		if r == reason {
			n++
		}
	}
	return n
}

func (h *house) did(kind string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.kinds, kind)
}

func manifest() *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid"},
		Spec:       v1.PodSpec{RestartPolicy: v1.RestartPolicyAlways, Containers: []v1.Container{{Name: "main", Image: "main:1"}}},
	}
}

var host = state.Host{BootID: "boot"}

// run has a worker run for the time of f.
func run(t *testing.T, h *house, f func(w *pod.Worker)) {
	t.Helper()
	runFrom(t, h, state.New(host, 0, manifest(), true), func(w *pod.Worker) {
		w.Send(state.Desired{At: time.Now(), Pod: manifest(), File: "web.yaml"})
		f(w)
	})
}

// runFrom has a worker with a state run for the time of f.
func runFrom(t *testing.T, h *house, s state.State, f func(w *pod.Worker)) {
	t.Helper()
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	defer slog.SetDefault(old)
	synctest.Test(t, func(t *testing.T) {
		h.never = make(chan struct{})
		defer close(h.never)
		w := pod.New(s, h, h, h)
		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)
		f(w)
		cancel()
		<-w.Ended()
		h.mu.Lock()
		if h.hang != nil {
			close(h.hang)
			h.hang = nil
		}
		h.mu.Unlock()
	})
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func runs(w *pod.Worker) bool {
	c := w.Snapshot().State.Containers["main"]
	return c != nil && c.Running
}

// TestLife: a pod comes, is restarted, and goes; its record goes with it.
func TestLife(t *testing.T) {
	h := &house{}
	run(t, h, func(w *pod.Worker) {
		<-w.Settled()
		pass(time.Second)
		if !runs(w) || w.Snapshot().Pod.Status.Phase != v1.PodRunning {
			t.Fatalf("it does not run: %+v", w.Snapshot().Pod.Status)
		}
		if w.UID() != "uid" || w.Turns() == 0 || !w.Since().IsZero() {
			t.Errorf("uid %s, %d turns, in one since %s", w.UID(), w.Turns(), w.Since())
		}
		<-w.Ask(state.RestartAsked{})
		pass(time.Minute)
		if c := w.Snapshot().State.Containers["main"]; c.Attempt != 1 || !c.Running {
			t.Errorf("after a restart: %+v", c)
		}
		w.Send(state.Desired{At: time.Now()})
		<-w.Ended()
		if h.record != nil || h.removed != 1 {
			t.Errorf("the record is left: %s", h.record)
		}
		if w.Offer(state.ClaimsFree{}) {
			t.Error("a worker that has ended takes an event")
		}
		<-w.Settled()
		<-w.Ask(state.ClaimsFree{})
	})
}

// TestPanicInStep: the pod is taken up from its record, and goes on.
func TestPanicInStep(t *testing.T) {
	h := &house{}
	run(t, h, func(w *pod.Worker) {
		pass(time.Second)
		id := w.Snapshot().State.Containers["main"].ID
		h.mu.Lock()
		h.panicAt = "RestartRequested"
		h.mu.Unlock()
		<-w.Ask(state.RestartAsked{})
		pass(time.Minute)
		c := w.Snapshot().State.Containers["main"]
		if h.told("InternalError") != 1 || c.ID != id || !c.Running {
			t.Errorf("told %d times, container %+v", h.told("InternalError"), c)
		}
		if h.lists != 1 || !h.did(state.KindFindSandbox) {
			t.Error("what exists was not found out")
		}
	})
}

// TestPanicOfAnOrphan: what no manifest names goes, also when the code that takes it away has failed: nobody will say so again.
func TestPanicOfAnOrphan(t *testing.T) {
	h := &house{}
	var once atomic.Bool
	h.do = func(_ context.Context, w plan.Work) (state.Result, bool) {
		return nil, w.Is().Kind == state.KindClear && !once.Swap(true)
	}
	s := state.Orphan(host, 0, "uid")
	s.Decided = true
	runFrom(t, h, s, func(w *pod.Worker) {
		w.Send(state.Listed{Asked: time.Now(), At: time.Now()})
		pass(time.Minute)
		select {
		case <-w.Ended():
		default:
			t.Error("it is left")
		}
		if h.told("InternalError") != 1 {
			t.Errorf("told %d times", h.told("InternalError"))
		}
	})
}

// TestNoResult: an effect that returns nothing is a fault of the pod's code.
func TestNoResult(t *testing.T) {
	h := &house{}
	var once atomic.Bool
	h.do = func(_ context.Context, w plan.Work) (state.Result, bool) {
		return nil, w.Is().Kind == state.KindSetUp && !once.Swap(true)
	}
	run(t, h, func(w *pod.Worker) {
		pass(time.Minute)
		if !runs(w) || h.told("InternalError") != 1 {
			t.Errorf("runs %v, told %d", runs(w), h.told("InternalError"))
		}
	})
}

// TestPanicInEffect: it is told, and the effect is tried again after a pause.
func TestPanicInEffect(t *testing.T) {
	h := &house{}
	var once atomic.Bool
	h.do = func(_ context.Context, w plan.Work) (state.Result, bool) {
		if w.Is().Kind == state.KindCreate && !once.Swap(true) {
			panic("a fault in an effect's code")
		}
		return nil, false
	}
	run(t, h, func(w *pod.Worker) {
		pass(5 * time.Second)
		if runs(w) {
			t.Error("there was no pause")
		}
		pass(10 * time.Second)
		if !runs(w) || h.told("InternalError") != 1 {
			t.Errorf("runs %v, told %d", runs(w), h.told("InternalError"))
		}
	})
}

// TestEffectLeftBehind: an effect that does not heed its end is told of, and holds neither the others nor the end of the daemon.
func TestEffectLeftBehind(t *testing.T) {
	h := &house{}
	h.do = func(_ context.Context, w plan.Work) (state.Result, bool) {
		if w.Is().Kind == state.KindWatchKills {
			<-h.never
			return state.WatchEnded{}, true
		}
		return nil, false
	}
	run(t, h, func(w *pod.Worker) {
		pass(time.Second)
		w.Send(state.Desired{At: time.Now()})
		pass(time.Minute)
		if h.told("EffectLeftBehind") != 1 {
			t.Errorf("told %d times", h.told("EffectLeftBehind"))
		}
		if runs(w) {
			t.Error("the container runs on")
		}
	})
}

// TestStopWhileEffectHangs: Run returns within its limit.
func TestStopWhileEffectHangs(t *testing.T) {
	h := &house{}
	h.do = func(_ context.Context, w plan.Work) (state.Result, bool) {
		if w.Is().Kind == state.KindSetUp {
			<-h.never
		}
		return nil, false
	}
	synctest.Test(t, func(t *testing.T) {
		h.never = make(chan struct{})
		defer close(h.never)
		w := pod.New(state.New(host, 0, manifest(), true), h, h, h)
		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)
		w.Send(state.Desired{At: time.Now(), Pod: manifest()})
		settled := w.Settled()
		pass(time.Second)
		cancel()
		begin := time.Now()
		<-w.Ended()
		<-settled
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestNothingBeginsAtTheEnd: when the worker ends, no effect is begun for one that ends with it.
func TestNothingBeginsAtTheEnd(t *testing.T) {
	for range 50 {
		h := &house{}
		begun := 0
		synctest.Test(t, func(t *testing.T) {
			w := pod.New(state.New(host, 0, manifest(), true), h, h, h)
			ctx, cancel := context.WithCancel(t.Context())
			go w.Run(ctx)
			w.Send(state.Desired{At: time.Now(), Pod: manifest()})
			pass(time.Second)
			h.mu.Lock()
			begun = len(h.kinds)
			h.mu.Unlock()
			cancel()
			w.Send(state.ClaimsFree{})
			<-w.Ended()
		})
		if n := len(h.kinds); n > begun {
			t.Fatalf("%d effects were begun: %v", n-begun, h.kinds[begun:])
		}
	}
}

// TestDiskFails: a pod whose record cannot be written runs, and that is told once; when the disk is well again it is written.
func TestDiskFails(t *testing.T) {
	h := &house{writeErr: errors.New("no space left on device")}
	run(t, h, func(w *pod.Worker) {
		pass(time.Minute)
		if !runs(w) || h.told("RecordNotWritten") != 1 {
			t.Errorf("runs %v, told %d", runs(w), h.told("RecordNotWritten"))
		}
		h.mu.Lock()
		h.writeErr = nil
		h.mu.Unlock()
		pass(time.Minute)
		if h.record == nil {
			t.Error("the record was not written again")
		}
	})
}

// TestDiskHangs: nobody waits for a disk that does not answer.
func TestDiskHangs(t *testing.T) {
	h := &house{hangs: true}
	run(t, h, func(w *pod.Worker) {
		pass(time.Minute)
		if !runs(w) || h.told("RecordNotWritten") != 1 {
			t.Errorf("runs %v, told %d", runs(w), h.told("RecordNotWritten"))
		}
	})
}

// TestComesBackWhileItGoes: a pod that is asked for again while its record is being removed is there.
func TestComesBackWhileItGoes(t *testing.T) {
	h := &house{}
	run(t, h, func(w *pod.Worker) {
		pass(time.Second)
		h.mu.Lock()
		h.hang = make(chan struct{})
		h.mu.Unlock()
		w.Send(state.Desired{At: time.Now()})
		pass(time.Minute)
		if !w.Offer(state.Desired{At: time.Now(), Pod: manifest()}) {
			t.Fatal("the worker has ended before its record was removed")
		}
		pass(time.Second)
		h.mu.Lock()
		close(h.hang)
		h.hang = nil
		h.mu.Unlock()
		pass(time.Minute)
		if !runs(w) || h.record == nil {
			t.Errorf("runs %v, record %s", runs(w), h.record)
		}
	})
}

// TestSuspended: when the machine goes down the pod ends, and says so.
func TestSuspended(t *testing.T) {
	run(t, &house{}, func(w *pod.Worker) {
		pass(time.Second)
		w.Send(state.Drained{StopBy: time.Now().Add(10 * time.Second)})
		<-w.Suspended()
		if runs(w) {
			t.Error("it runs")
		}
	})
}

func BenchmarkTurn(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := manifest()
			for i := 1; i < n; i++ {
				p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: fmt.Sprint("c", i), Image: "main:1"})
			}
			benchmarkTurn(b, p)
		})
	}
}
