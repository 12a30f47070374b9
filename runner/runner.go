// Package runner holds the actual state: one worker per pod drives it towards the desired one.
//
// The Runner owns the workers, the containerd engine's events and what pods share (images, network, cgroups). A worker
// is one goroutine that alone touches its pod: it observes, asks plan what to do, does it, writes the pod's record and
// publishes its status. Everything about restarts, back-off and termination is decided in runner/plan.
package runner

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/device"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/event"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/telemetry"
	"github.com/solopod/solopod/runner/volume"
)

// OOMWatcher learns of processes that the kernel killed for memory. Package oom implements it.
type OOMWatcher interface {
	// Watch calls report with the cgroup's kill count after each kill, until stop is called.
	Watch(cgroupPath string, report func(kills uint64)) (stop func(), err error)
	// Kills reads the cgroup's kill count.
	Kills(cgroupPath string) (uint64, error)
}

// Config says where things lie and what pods get.
type Config struct {
	Node     string
	Instance string // tells daemons of one machine apart
	Root     string // survives reboots
	State    string // does not
	LogDir   string
	Cgroups  cgroup.Layout
	// Service is the systemd unit that runs the daemon; empty when none does.
	Service string
	// PodPids bounds the number of processes of a pod; zero means no bound.
	PodPids int64
	// SingleProcessOOMKill: the kernel kills one process for memory and not, with cgroup v2, its whole container.
	SingleProcessOOMKill bool
	Limits               logs.Limits
	// CDISpecDirs hold the descriptions of CDI devices; none means CDI's own directories.
	CDISpecDirs []string
	// ClusterDomain ends the full names of pods that have a subdomain.
	ClusterDomain string
	// RuntimeClasses: runtimeClassName -> OCI runtime, a name or a path.
	RuntimeClasses map[string]string
	Network        network.Config
	Engine         *engine.Engine
	OOM            OOMWatcher
	Keeper         *keep.Keeper // Stop closes it
	Parallel       int          // how many pods are brought up at the same time
	// SetAside says what was found damaged at the start and where it was put; empty when nothing was.
	SetAside string
	// OutsideImages: the unpacked images may lie on any file system, not on Root's.
	OutsideImages bool
	Version       string
}

// Runner runs pods.
type Runner struct {
	config    Config
	engine    *engine.Engine
	images    *image.Store
	network   *network.Network
	cgroups   *cgroup.Manager
	volumes   volume.Manager
	events    *event.Log
	ports     hostPorts
	users     userRanges
	devices   *device.Table
	telemetry *telemetry.Telemetry
	spool     *logs.Spool
	slots     chan struct{}
	boot      string
	memory    int64
	node      v1.ResourceList // what the machine has to give
	hostIP    string

	accounts sync.Map // image chain id -> accounts
	scanned  atomic.Bool

	mu        sync.Mutex
	workers   map[string]*worker // by UID
	owners    map[string]*worker // by container id
	files     []manifests.File
	dirError  string
	watchers  map[chan struct{}]bool
	version   uint64
	ready     bool
	draining  bool // no worker is made any more
	beginning beginning
	wg        sync.WaitGroup
	ctx       context.Context // of all workers; it ends with Stop
	cancel    context.CancelFunc
}

// New prepares a Runner. Nothing runs before Start.
func New(c Config) (*Runner, error) {
	boot, err := host.BootID()
	if err != nil {
		return nil, err
	}
	devices, err := device.New(c.CDISpecDirs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Runner{
		devices: devices, telemetry: telemetry.New(), spool: logs.NewSpool(filepath.Join(c.State, "unwritten")),
		config: c, engine: c.Engine, network: network.New(c.Network), cgroups: cgroup.NewManager(c.Cgroups),
		volumes: volume.Manager{
			Root: filepath.Join(c.Root, "pods"), State: filepath.Join(c.State, "pods"), Claims: filepath.Join(c.Root, "claims"),
		},
		node: host.Capacity(c.Root), ports: hostPorts{pods: map[string]portClaim{}}, users: newUserRanges(c.Instance),
		events: event.New(c.Node, c.State, c.Root), slots: make(chan struct{}, max(c.Parallel, 1)), boot: boot,
		memory: host.Memory(), hostIP: host.IP(),
		workers: map[string]*worker{}, owners: map[string]*worker{}, watchers: map[chan struct{}]bool{},
		beginning: beginning{done: make(chan struct{})},
		ctx:       ctx, cancel: cancel,
	}
	r.cgroups.Service = c.Service
	r.config.Keeper.OnStart = r.cgroups.HoldShims
	r.images = image.NewStore(c.Engine, c.Root, c.OutsideImages, r.imagesReady, r.imageArchive, r.telemetry.Image)
	return r, nil
}

// Telemetry counts what the Runner does.
func (r *Runner) Telemetry() *telemetry.Telemetry { return r.telemetry }

// Images is the store of images.
func (r *Runner) Images() *image.Store { return r.images }

// Events is the collection of events.
func (r *Runner) Events() *event.Log { return r.events }

// Start adopts what an earlier run left and begins to listen to containerd. It returns the pods that were applied
// before, which the manifests' Set starts from.
func (r *Runner) Start(ctx context.Context) ([]manifests.Desired, error) {
	for _, dir := range []string{filepath.Join(r.config.Root, "pods"), r.logRoot(), r.linkRoot()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("cannot make a directory of Solopod's: %w", err)
		}
	}
	if err := namespace.PrepareDir(filepath.Join(r.config.State, "pods")); err != nil {
		return nil, err
	}
	r.removeUnfinished()
	if err := r.repair(ctx); err != nil {
		return nil, err
	}
	known, err := r.adopt(ctx)
	if err != nil {
		return nil, err
	}
	r.wg.Go(func() { r.engine.Watch(r.ctx, r) })
	r.wg.Go(func() { r.watchClock(r.ctx) })
	go r.spool.Run(r.ctx) // it may be stuck in a disk, so that nobody waits for it
	return known, nil
}

// Stop ends the workers and leaves the pods running.
func (r *Runner) Stop() {
	r.cancel()
	r.wg.Wait()
	r.events.Close()
	r.config.Keeper.Close()
}

// Apply takes a new desired state. It does not block.
func (r *Runner) Apply(s manifests.Snapshot) {
	r.reportFiles(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	for _, c := range s.Claims {
		if err := r.volumes.Record(c); err != nil {
			slog.Warn("cannot write down what a claim asks for", "claim", c.Namespace+"/"+c.Name, "err", err)
		}
	}
	objects := objectsByNamespace(s)
	for uid, d := range s.Pods {
		w, ok := r.workers[uid]
		if !ok && r.draining {
			continue
		}
		if !ok {
			w = r.newWorker(d.Pod, nil)
		}
		w.send(desiredChanged{&d, reference.Select(d.Pod, objects[d.Pod.Namespace])})
	}
	for uid, w := range r.workers {
		if _, ok := s.Pods[uid]; !ok {
			w.send(desiredChanged{})
		}
	}
	if !r.ready {
		r.begin()
	}
	r.ready = true
	r.notifyLocked()
}

// newWorker starts a worker. r.mu is held.
func (r *Runner) newWorker(pod *v1.Pod, rec *record) *worker {
	w := makeWorker(r, pod, rec)
	w.publishLocked() // it can be seen from now on
	r.workers[w.uid] = w
	r.wg.Go(func() { w.run(r.ctx) })
	return w
}

// Exited implements engine.Listener.
func (r *Runner) Exited(e engine.Exit) {
	r.mu.Lock()
	w := r.owners[e.ID]
	r.mu.Unlock()
	if w != nil {
		w.send(exited{e})
	}
}

// Resync implements engine.Listener: exits may have been missed.
func (r *Runner) Resync() {
	// Before the list, which takes seconds where a shim does not answer: what starts meanwhile need not be in it.
	at := time.Now()
	list, err := r.engine.List(r.ctx)
	if err != nil {
		slog.Warn("cannot list containers after a lost connection", "err", err)
		return
	}
	found := map[string]engine.Container{}
	for _, c := range list {
		found[c.ID] = c
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.workers {
		w.send(resynced{found, at})
	}
}

func (r *Runner) own(id string, w *worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w == nil {
		delete(r.owners, id)
		return
	}
	r.owners[id] = w
}

// imagesReady wakes pods that may be waiting for an image.
func (r *Runner) imagesReady(names []string) {
	r.events.Node(v1.EventTypeNormal, "ImageReady", "images are ready: "+strings.Join(names, ", "))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.workers {
		w.send(imagesReady{names})
	}
}

func (r *Runner) imageArchive(file string, err error) {
	if err != nil {
		r.events.Node(v1.EventTypeWarning, "ImageImportFailed", fmt.Sprintf("%s: %v", file, err))
	}
}

// gone forgets a worker whose pod is no more, unless it was asked for again meanwhile.
func (r *Runner) gone(w *worker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.pending() {
		return false
	}
	delete(r.workers, w.uid)
	r.notifyLocked()
	return true
}

// Pods returns the pods with their status, by namespace and name. The caller must not change them.
func (r *Runner) Pods() []*v1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*v1.Pod, 0, len(r.workers))
	for _, w := range r.workers {
		if pod := w.published.Load(); pod != nil {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b *v1.Pod) int {
		return strings.Compare(manifests.Key(a)+string(a.UID), manifests.Key(b)+string(b.UID))
	})
	return out
}

// Files returns the manifest files and what is wrong with the directory as a whole.
func (r *Runner) Files() ([]manifests.File, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.files), r.dirError
}

// Ready says whether the manifests have been read once.
func (r *Runner) Ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready
}

// Subscribe returns a channel that gets a token whenever a pod or a manifest changed; several changes may share one.
func (r *Runner) Subscribe() (changes <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers[ch] = true
	return ch, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, ch)
	}
}

func (r *Runner) notify() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notifyLocked()
}

func (r *Runner) notifyLocked() {
	for ch := range r.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// nextVersion gives published pods a growing resource version.
func (r *Runner) nextVersion() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	return r.version
}

func (r *Runner) logRoot() string  { return filepath.Join(r.config.LogDir, "pods") }
func (r *Runner) linkRoot() string { return filepath.Join(r.config.LogDir, "containers") }

func (r *Runner) stateDir(uid string) string { return filepath.Join(r.config.State, "pods", uid) }
