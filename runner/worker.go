package runner

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/clock"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/plan"
	"github.com/solopod/solopod/runner/reference"
)

// worker drives one pod. Everything below the line is touched by its goroutine alone.
type worker struct {
	runner *Runner
	uid    string
	// published is the pod with its status, for others to read.
	published atomic.Pointer[v1.Pod]
	// targets are the running containers, for the monitor.
	targets atomic.Pointer[[]Target]
	inbox   inbox
	// progress tells a watchdog whether the worker is stuck.
	progress progress

	// ---- owned by run
	desired *manifests.Desired // nil: the pod shall go
	decided bool               // the manifests have spoken since the start
	rec     *record
	saver   saver
	// setUp: the kernel's part of the pod (namespaces, mounts, network) exists in this boot.
	setUp         bool
	anything      bool
	namespaces    namespace.Namespaces
	attach        *attachment
	cgroupPath    string
	resources     string // hash of the limits that the pod's cgroup has
	setUpFailures int
	// objects are those that the pod refers to; content identifies what its filled volumes should show.
	objects reference.Objects
	content string
	// waitsFor is what the set-up lacked the last time: errScan, a port or a device that another pod has, or something else.
	waitsFor error
	// pullingVolume: an image of a volume is being pulled; volumeImageError is how the last pull failed.
	pullingVolume    bool
	volumeImageError error
	setUpRetry       time.Time
	message          string // why the pod is not set up
	live             map[string]*liveContainer
	background       sync.WaitGroup // clean-up of ended containers
	disposals        []func()       // clean-up that is due
	// shim is held while a container is created or deleted: the pod's shim ends with the last of its containers, and a
	// creation in that moment would reach it dying.
	shim      sync.Mutex
	deletedAt time.Time // when the manifest went
	begun     bool      // Reconciled waits for this worker
	// answers are closed after the next reconciliation: somebody waits for what he has asked for to have begun.
	answers []chan struct{}
	// stopBy is when the pod must have ended because the machine goes down; suspended is closed when it has.
	stopBy time.Time
	// endBy is when the grace period of the pod's end, which has begun, is over.
	endBy time.Time
	// startSince is when the pod should have begun to run: when its manifest came or changed; zero once it runs.
	startSince time.Time
	// stopStorage ends the measuring of what the pod writes.
	stopStorage func()
	isSuspended bool
	suspended   chan struct{}
}

// liveContainer is what is known of a container only while this Solopod runs.
type liveContainer struct {
	pump       *logs.Pump
	stopProbes context.CancelFunc
	stopOOM    func()
	stopping   bool
	killAt     time.Time
	killed     bool
	replaced   bool
	unhealthy  string
	// unhealthyGrace is the failed probe's own grace period.
	unhealthyGrace *time.Duration
	// hook ends the lifecycle hook that runs; preStop: it is that one, and the stop signal comes after it.
	hook    context.CancelFunc
	preStop bool
	// kills is the last known kill count of the cgroup; killedAt is when it last grew.
	kills    uint64
	killedAt time.Time
	// waiting says why the container is not started; retry is when it is tried again.
	waitingReason, waitingMessage string
	retry                         time.Time
	failures                      int
	pulling                       context.CancelFunc
	// awaitsScan: the image may be among the archives that are still being imported after the start.
	awaitsScan bool
}

// message is something that happened; take changes the worker's view of the world.
type message interface {
	take(ctx context.Context, w *worker)
}

// inbox is an unbounded queue: those who report must never wait for a worker that is starting containers.
type inbox struct {
	mu     sync.Mutex
	queue  []message
	signal chan struct{}
}

func (b *inbox) put(m message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, m)
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

func (b *inbox) takeAll() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queue
	b.queue = nil
	return q
}

func (w *worker) send(m message) { w.inbox.put(m) }

// pending says whether messages wait; the Runner asks before it forgets the worker.
func (w *worker) pending() bool {
	w.inbox.mu.Lock()
	defer w.inbox.mu.Unlock()
	for _, m := range w.inbox.queue {
		if d, ok := m.(desiredChanged); ok && d.desired != nil {
			return true
		}
	}
	return false
}

func makeWorker(r *Runner, pod *v1.Pod, rec *record) *worker {
	if rec == nil {
		rec = &record{Pod: pod, Containers: map[string]*containerRecord{}, ClockOffset: clock.Offset()}
	}
	w := &worker{
		runner: r, uid: string(pod.UID), rec: rec, inbox: inbox{signal: make(chan struct{}, 1)}, suspended: make(chan struct{}),
		objects: reference.Select(rec.Pod, reference.Objects{}), live: map[string]*liveContainer{}, saver: saver{path: recordPath(r.config.Root, string(pod.UID))},
	}
	for name := range rec.Containers {
		w.live[name] = &liveContainer{}
	}
	return w
}

// run is the worker's loop. It ends with ctx, leaving everything as it is, or when the pod is gone.
func (w *worker) run(ctx context.Context) {
	defer w.noteBegun()
	defer w.answer()
	defer w.detach()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.inbox.signal:
		case <-timer.C:
		}
		w.progress.step()
		for _, m := range w.inbox.takeAll() {
			m.take(ctx, w)
		}
		wake := w.reconcile(ctx)
		w.progress.idle()
		w.noteSuspended()
		w.noteBegun()
		w.answer()
		if w.decided && w.desired == nil && !w.anything && w.runner.gone(w) {
			return
		}
		timer.Stop()
		if !wake.IsZero() {
			timer.Reset(max(time.Until(wake), time.Millisecond))
		}
	}
}

// reconcile does what plan says until nothing is left to do, and returns when to look again.
func (w *worker) reconcile(ctx context.Context) (wake time.Time) {
	defer w.publish()
	defer w.publishTargets()
	defer w.flushDisposals()
	if !w.decided && w.stopBy.IsZero() {
		return time.Time{}
	}
	for ctx.Err() == nil {
		wake = time.Time{}
		progress := false
		for _, a := range plan.Next(w.planDesired(), w.observed(), time.Now()) {
			if until, ok := a.(plan.WaitUntil); ok {
				wake = until.T
				continue
			}
			w.progress.step()
			w.do(ctx, a)
			progress = true
		}
		w.save()
		if !progress {
			return wake
		}
		w.publish()
	}
	return time.Time{}
}

func (w *worker) planDesired() *plan.Desired {
	if w.decided && w.desired == nil {
		return nil
	}
	return w.planned()
}

// observed is the record and the live view in plan's terms.
func (w *worker) observed() *plan.Observed {
	o := &plan.Observed{
		SetUp: w.setUp, SharedRevision: w.rec.SharedRevision, ContentRevision: w.rec.Content, Anything: w.anything, SetUpRetry: w.setUpRetry,
		StopBy: w.stopBy, Grace: graceOf(w.rec.Pod), Containers: map[string]*plan.Status{},
		Initialized: w.rec.Initialized, Failed: w.rec.Failed != nil, StartedAt: w.rec.StartTime, EndBy: w.endBy,
	}
	if w.rec.Failed != nil {
		o.Revive = w.rec.Failed.Revive
	}
	for i := range w.rec.Pod.Spec.InitContainers {
		if c := &w.rec.Pod.Spec.InitContainers[i]; manifests.IsSidecar(c) {
			o.Sidecars = append(o.Sidecars, c.Name)
		}
	}
	for name, c := range w.rec.Containers {
		live := w.live[name]
		s := &plan.Status{
			Revision: c.Revision, Resources: c.Resources, Running: c.Running, StartedAt: c.StartedAt, Backoff: c.Backoff,
			Stopping: live.stopping, KillAt: live.killAt, Killed: live.killed, ReplacedByEdit: c.Replaced,
			Unhealthy: live.unhealthy, UnhealthyGrace: live.unhealthyGrace, Retry: live.retry, Started: c.Started,
			Hook: live.preStop,
		}
		if c.Ended != nil {
			s.Ended, s.ExitCode, s.FinishedAt = true, c.Ended.ExitCode, c.Ended.FinishedAt
		}
		o.Containers[name] = s
	}
	return o
}

// do performs one action. Failures are remembered with a time for the next try.
func (w *worker) do(ctx context.Context, a plan.Action) {
	switch a := a.(type) {
	case plan.SetUpPod:
		w.setUpPod(ctx)
	case plan.TearDownPod:
		w.tearDownPod(ctx)
	case plan.SuspendPod:
		w.suspendPod(ctx)
	case plan.StartContainer:
		w.startContainer(ctx, a.Name, a.Backoff)
	case plan.StopContainer:
		w.stopContainer(ctx, a)
	case plan.AbandonHook:
		w.abandonHook(ctx, a.Name)
	case plan.KillContainer:
		w.killContainer(ctx, a.Name)
	case plan.FailPod:
		w.failPod(a)
	case plan.MarkInitialized:
		w.rec.Initialized = true
	case plan.BeginAnew:
		w.beginAnew(a)
	case plan.ResizeContainer:
		w.resizeContainer(ctx, a.Name)
	case plan.RefreshVolumes:
		w.refreshVolumes()
	case plan.RemoveContainer:
		delete(w.rec.Containers, a.Name)
		delete(w.live, a.Name)
	default:
		slog.Error("plan asks for something unknown", "action", fmt.Sprintf("%T", a))
	}
}

func (w *worker) save() {
	if w.anything {
		w.saver.save(w.rec)
	}
}

// publish makes the pod's status visible when it changed.
func (w *worker) publish() {
	pod := w.status()
	if old := w.published.Load(); old != nil {
		pod.ResourceVersion = old.ResourceVersion
		if hash(pod) == hash(old) {
			return
		}
	}
	pod.ResourceVersion = strconv.FormatUint(w.runner.nextVersion(), 10)
	w.published.Store(pod)
	w.runner.notify()
}

// publishLocked is publish for a worker that does not run yet; the Runner's mutex is held.
func (w *worker) publishLocked() {
	pod := w.status()
	w.publishTargets()
	w.runner.version++
	pod.ResourceVersion = strconv.FormatUint(w.runner.version, 10)
	w.published.Store(pod)
}

// detach lets go of everything that belongs to this process; the containers run on.
func (w *worker) detach() {
	for name, live := range w.live {
		w.stopWatching(live)
		if live.pulling != nil {
			live.pulling()
		}
		if live.pump != nil {
			ctx, cancel := context.WithTimeout(context.Background(), lastWords)
			err := live.pump.Detach(ctx)
			cancel()
			if err != nil {
				slog.Warn("cannot let go of a container's log", "pod", manifests.Key(w.rec.Pod), "container", name, "err", err)
			}
		}
	}
	w.flushDisposals()
	w.background.Wait()
}

func (w *worker) stopWatching(live *liveContainer) {
	if live.stopProbes != nil {
		live.stopProbes()
		live.stopProbes = nil
	}
	if live.stopOOM != nil {
		live.stopOOM()
		live.stopOOM = nil
	}
	if live.hook != nil {
		live.hook()
		live.hook = nil
	}
}

func (w *worker) event(container, kind, reason, format string, args ...any) {
	w.runner.events.Pod(w.rec.Pod, container, kind, reason, format, args...)
}

func (w *worker) warn(container, reason, format string, args ...any) {
	w.event(container, v1.EventTypeWarning, reason, format, args...)
}

func (w *worker) normal(container, reason, format string, args ...any) {
	w.event(container, v1.EventTypeNormal, reason, format, args...)
}
