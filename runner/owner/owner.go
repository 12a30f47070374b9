// Package owner has the pods' workers: it makes one for each pod that the manifests name, routes to them what happens, and
// answers for all of them. It does no I/O, and holds no lock while it asks somebody.
package owner

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
)

// Lister says what exists.
type Lister interface {
	// List returns the containers that containerd has, by their pods' UIDs.
	List(ctx context.Context) (map[string][]state.Found, error)
}

// Config is what an Owner works with.
type Config struct {
	// Host is as it is at the start; SetHost changes it.
	Host state.Host
	// ClockOffset is clock.Offset.
	ClockOffset func() time.Duration
	Doer        pod.Doer
	Records     pod.Records
	Lister      Lister
	// Report is told what happens to a pod. It must not block.
	Report func(p *v1.Pod, r state.Report)
}

// Owner has the workers. It is safe for concurrent use.
type Owner struct {
	config  Config
	ctx     context.Context // of all workers; it ends with Stop
	cancel  context.CancelFunc
	workers sync.WaitGroup
	version atomic.Uint64

	mu       sync.Mutex
	host     state.Host
	pods     map[string]*pod.Worker // by UID
	watchers map[chan struct{}]bool
	scanned  bool
	// applied: the manifests have been read once.
	applied    bool
	draining   bool
	reconciled chan struct{}
	// listing: a list was asked for, and is on its way; relist: once more, then.
	listing, relist bool
}

// New makes an Owner without workers. The caller must Stop it.
func New(c Config) *Owner {
	ctx, cancel := context.WithCancel(context.Background())
	return &Owner{
		config: c, host: c.Host, ctx: ctx, cancel: cancel, pods: map[string]*pod.Worker{}, watchers: map[chan struct{}]bool{},
		reconciled: make(chan struct{}),
	}
}

// Adopt makes workers for pods of an earlier run; those of which only the UID is known are orphans. They begin when they learn
// what exists, by Resync.
func (o *Owner) Adopt(states []state.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range states {
		if uid := string(s.Pod.UID); o.pods[uid] == nil {
			o.begin(uid, func() state.State { return s })
		}
	}
	o.notifyLocked()
}

// begin starts a worker with the state that first makes. When that fails by a fault of Solopod's own there is none, and it is told;
// the other pods go on. o.mu is held.
func (o *Owner) begin(uid string, first func() state.State) (w *pod.Worker) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("a pod's own code failed; the pod is left alone, the others go on", "uid", uid, "panic", p, "stack", string(debug.Stack()))
			w = nil
		}
	}()
	w = pod.New(first(), o.config.Doer, face{o}, o.config.Records)
	o.pods[uid] = w
	o.workers.Go(func() {
		w.Run(o.ctx)
		o.forget(w)
	})
	return w
}

// forget lets a worker go that has ended, unless the daemon does.
func (o *Owner) forget(w *pod.Worker) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() == nil && o.pods[w.UID()] == w {
		delete(o.pods, w.UID())
		o.notifyLocked()
	}
}

// Apply takes a new desired state: the pods, and the objects of each namespace. It does not block.
func (o *Owner) Apply(pods map[string]manifests.Desired, objects map[string]reference.Objects) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() != nil {
		return
	}
	now := time.Now()
	for uid, d := range pods {
		e := state.Desired{At: now, Pod: d.Pod, File: d.File, Objects: reference.Select(d.Pod, objects[d.Pod.Namespace])}
		w := o.pods[uid]
		if w != nil { // an edit may have to wait, and the pod as it is has other objects
			e.Before = reference.Select(w.Snapshot().State.Pod, objects[d.Pod.Namespace])
		}
		if w != nil && w.Offer(e) || o.draining {
			continue
		}
		w = o.begin(uid, func() state.State { return state.New(o.host, o.config.ClockOffset(), d.Pod, o.scanned) }) // or it has just ended
		if w != nil {
			w.Send(e)
		}
	}
	for uid, w := range o.pods {
		if _, ok := pods[uid]; !ok {
			w.Send(state.Desired{At: now})
		}
	}
	if !o.applied {
		o.applied = true
		o.reconcile()
	}
	o.notifyLocked()
}

// reconcileLimit is how long pods are waited for that hang while they are brought up.
const reconcileLimit = 30 * time.Second

// reconcile is called once, when the first desired state was handed to the workers. o.mu is held.
func (o *Owner) reconcile() {
	var all []<-chan struct{}
	for _, w := range o.pods {
		all = append(all, w.Settled())
	}
	go func() {
		defer close(o.reconciled)
		limit := time.NewTimer(reconcileLimit)
		defer limit.Stop()
		for _, settled := range all {
			select {
			case <-settled:
			case <-o.ctx.Done():
				return
			case <-limit.C:
				slog.Warn("some pods hang while they are brought up; the others run")
				return
			}
		}
	}()
}

// Reconciled is closed when the manifests have been read and each of their pods was looked at once: what can be started
// without waiting for an image has been started, but for pods that hang.
func (o *Owner) Reconciled() <-chan struct{} { return o.reconciled }

// Exited tells of the end of a container's main process.
func (o *Owner) Exited(e state.Exited) {
	all := o.all()
	for _, w := range all {
		if has(w.Snapshot(), e.ID) {
			w.Send(e)
			return
		}
	}
	for _, w := range all { // it may just be beginning
		w.Send(e)
	}
}

func has(s *pod.Snapshot, id string) bool {
	for _, c := range s.State.Containers {
		if c.ID == id || c.Making != nil && c.Making.ID == id {
			return true
		}
	}
	return false
}

// Broadcast gives an event to every pod.
func (o *Owner) Broadcast(e state.Event) {
	for _, w := range o.all() {
		w.Send(e)
	}
}

// SetHost tells the pods that the machine has other addresses, or another resolver configuration.
func (o *Owner) SetHost(e state.HostChanged) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.host.IPs, o.host.Resolver = e.IPs, e.Resolver
	for _, w := range o.pods {
		w.Send(e)
	}
}

// ImagesScanned tells the pods that the archives that lay in the images directory at the start have been read.
func (o *Owner) ImagesScanned() {
	o.mu.Lock()
	o.scanned = true
	o.mu.Unlock()
	o.Broadcast(state.ImagesScanned{})
}

func (o *Owner) all() []*pod.Worker {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]*pod.Worker, 0, len(o.pods))
	for _, w := range o.pods {
		out = append(out, w)
	}
	return out
}

// Worker finds a pod's worker by its UID; nil when there is none.
func (o *Owner) Worker(uid string) *pod.Worker {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pods[uid]
}

// Find finds a pod that is no orphan; nil where there is none.
func Find(o *Owner, is func(*pod.Snapshot) bool) *pod.Snapshot {
	for _, w := range o.all() {
		if s := w.Snapshot(); !s.State.Orphan && is(s) {
			return s
		}
	}
	return nil
}

// Snapshots are the pods, but for orphans, by namespace, name and UID.
func (o *Owner) Snapshots() []*pod.Snapshot {
	var out []*pod.Snapshot
	for _, w := range o.all() {
		if s := w.Snapshot(); !s.State.Orphan {
			out = append(out, s)
		}
	}
	key := func(s *pod.Snapshot) string { return manifests.Key(s.Pod) + " " + string(s.Pod.UID) }
	slices.SortFunc(out, func(a, b *pod.Snapshot) int { return strings.Compare(key(a), key(b)) })
	return out
}

// Shown are the snapshots with one pod for each name: while a pod of another UID waits for its name, the one that has it counts.
func (o *Owner) Shown() []*pod.Snapshot {
	var out []*pod.Snapshot
	for _, s := range o.Snapshots() {
		if n := len(out); n > 0 && manifests.Key(out[n-1].Pod) == manifests.Key(s.Pod) {
			if before(s, out[n-1]) {
				out[n-1] = s
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// before: of two pods of one name, a is the one to show: what exists, then what shall stay.
func before(a, b *pod.Snapshot) bool {
	if exists := a.State.Anything(); exists != b.State.Anything() {
		return exists
	}
	return a.State.Wanted() && !b.State.Wanted()
}

// Draining says whether all pods are, or were, stopped: none starts any more.
func (o *Owner) Draining() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.draining
}

// Applied says whether the manifests have been read once.
func (o *Owner) Applied() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.applied
}

// Longest says how many workers there are, whose turn takes longest by now, and how long.
func (o *Owner) Longest() (workers int, of *pod.Worker, took time.Duration) {
	all := o.all()
	for _, w := range all {
		if since := w.Since(); !since.IsZero() {
			if t := time.Since(since); of == nil || t > took {
				of, took = w, t
			}
		}
	}
	return len(all), of, took
}

// stopLimit bounds Stop. Workers end within 3 s by themselves.
const stopLimit = 5 * time.Second

// Stop ends the workers and leaves the pods running. It returns within stopLimit, whatever hangs.
func (o *Owner) Stop() {
	o.cancel()
	ended := make(chan struct{})
	go func() {
		o.workers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopLimit):
		slog.Warn("some pods' workers have not ended in time and are left behind")
	}
}
