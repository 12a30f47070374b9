// Package runner holds the actual state: it wires the pods' owner to what does their effects, and is the face that the API, the
// monitor and the workloads use.
//
// What is to be done for a pod is decided in runner/pod/plan; runner/owner has the pods' workers; runner/sandbox and
// runner/container do what is decided; runner/session is what people do with a pod.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/runner/allocate"
	"github.com/solopod/solopod/runner/allocate/device"
	"github.com/solopod/solopod/runner/apparmor"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/claims"
	"github.com/solopod/solopod/runner/clock"
	"github.com/solopod/solopod/runner/container"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/event"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/image"
	imagepolicy "github.com/solopod/solopod/runner/image/policy"
	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/manifestfiles"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/owner"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pressure"
	"github.com/solopod/solopod/runner/resolver"
	"github.com/solopod/solopod/runner/room"
	"github.com/solopod/solopod/runner/sandbox"
	"github.com/solopod/solopod/runner/session"
	"github.com/solopod/solopod/runner/storage"
	"github.com/solopod/solopod/runner/telemetry"
	"github.com/solopod/solopod/runner/volume"
)

// Containerd is what there is as a whole.
type Containerd interface {
	// List returns all containers with the states of their processes.
	List(ctx context.Context) ([]engine.Container, error)
	// Watch tells of exits until ctx ends.
	Watch(ctx context.Context, l engine.Listener)
	// Repair removes what a power cut may have damaged, and returns the names of the images among it.
	Repair(ctx context.Context) (removed []string, err error)
	Version() string
}

// Engine is containerd as all parts of a Runner see it. Package engine implements it.
type Engine interface {
	Containerd
	container.Engine
	container.Changer
	sandbox.Engine
	session.Engine
	image.Engine
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
	// Room is what pods have of the machine.
	Room room.Settings
	// SingleProcessOOMKill: the kernel kills one process for memory and not, with cgroup v2, its whole container.
	SingleProcessOOMKill bool
	// SeccompDefault: containers that name no seccomp profile get RuntimeDefault.
	SeccompDefault bool
	// Policy says which pods may begin, and how their paths of the host are found; nil restricts nothing.
	Policy *policy.Policy
	Limits logfile.Limits
	// CDISpecDirs hold the descriptions of CDI devices; none means CDI's own directories.
	CDISpecDirs []string
	// ClusterDomain ends the full names of pods that have a subdomain.
	ClusterDomain string
	// RuntimeClasses: runtimeClassName -> OCI runtime, a name or a path.
	RuntimeClasses map[string]string
	Network        network.Config
	// NodeIPs are the machine's addresses, one of a family; none means that they follow the default route.
	NodeIPs []netip.Addr
	// ResolvConf is the machine's resolver configuration, of which pods' are made; empty means none.
	ResolvConf string
	Engine     Engine
	OOM        container.KillWatch
	Keeper     *keep.Keeper // Stop closes it
	Parallel   int          // how many containers are created at the same time
	// SetAside says what was found damaged at the start and where it was put; empty when nothing was.
	SetAside string
	// ReadOnly says that the root cannot be written, and what follows; empty when it can.
	ReadOnly string
	// Thresholds are what must be left of the machine; PressureHold is for how long a node's condition goes on when they are.
	Thresholds   []threshold.Threshold
	PressureHold time.Duration
	// Images says where they lie and come from.
	Images image.Settings
}

// Runner runs pods. It is safe for concurrent use.
type Runner struct {
	// Sessions is what people do with a pod.
	*session.Sessions
	// Naming tells pods where names of services are answered.
	*Naming
	// Disks says what pods take up on disks.
	Disks *Disks
	// Evictions ends pods when the machine runs short of something, and lets them begin anew.
	Evictions *Evictions
	// Room is what pods have of the machine.
	Room *room.Room

	config     Config
	dirs       layout.Dirs
	engine     Containerd
	owner      *owner.Owner
	images     *image.Store
	policy     *imagepolicy.Images
	network    *network.Network
	cgroups    *cgroup.Manager
	volumes    volume.Manager
	sandboxes  *sandbox.Sandboxes
	containers *container.Containers
	events     *event.Log
	manifests  *manifestfiles.Files
	root       *root
	telemetry  *telemetry.Telemetry
	host       state.Host
	machine    *machine
	claims     *claims.Writer
	serves     serves
	places     aside.Places // where what clients ask for may hang
	conditions *pressure.Conditions
	readiness  readiness

	// ctx is of what goes on beside the workers; it ends with Stop.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New prepares a Runner. Nothing runs before Start.
func New(c Config) (*Runner, error) {
	boot, err := host.BootID()
	if err != nil {
		return nil, err
	}
	var r *Runner
	c.Network.IPv6First = func() bool { // as the kubelet: the machine's family is the pods' first
		ips := r.machine.ips()
		return len(ips) > 0 && strings.Contains(ips[0], ":")
	}
	devices := device.New(c.CDISpecDirs)
	ctx, cancel := context.WithCancel(context.Background())
	dirs := layout.Dirs{Root: c.Root, State: c.State, Logs: c.LogDir}
	r = &Runner{
		config: c, dirs: dirs, engine: c.Engine, network: network.New(c.Network), cgroups: cgroup.NewManager(c.Cgroups),
		volumes:   volume.Manager{Root: dirs.Records(), State: dirs.States(), Claims: dirs.Claims()},
		events:    event.New(c.Node, c.State, c.Root),
		telemetry: telemetry.New(), ctx: ctx, cancel: cancel,
		host: state.Host{Node: c.Node, BootID: boot, Capacity: host.Capacity(c.Root), RevisionKey: revisionKey(c.Root)},
	}
	var admit func(*v1.Pod) error
	if c.Policy != nil {
		admit, r.volumes.Bounds = c.Policy.Admit, c.Policy.HostPath
	}
	r.machine = &machine{
		addresses: host.Addresses{Fixed: c.NodeIPs, Bridge: c.Network.Bridge}, resolver: resolver.New(c.ResolvConf), events: r.events,
		tell: func(e state.HostChanged) { r.owner.SetHost(e) },
	}
	r.machine.resolver.Remember(filepath.Join(c.State, "resolver.json"))
	r.machine.look()
	r.Naming = &Naming{r.machine, c.ClusterDomain}
	r.host.IPs, r.host.Resolver = r.machine.now.IPs, r.machine.now.Resolver
	images := c.Root
	if c.Images.Outside {
		images = "" // it is not known where
	}
	r.conditions = pressure.New(thisMachine{network: r.network}, pressure.Config{Root: c.Root, Images: images, Thresholds: c.Thresholds, Hold: c.PressureHold}, r.events.Node)
	r.claims = claims.NewWriter(r.volumes.Record, r.wg.Go)
	r.manifests = manifestfiles.New(r.events)
	r.root = &root{dir: c.Root, bound: !c.Images.Outside && c.ReadOnly == "", lost: make(chan struct{})}
	r.cgroups.Service, r.cgroups.Told, r.volumes.Told = c.Service, r.telemetry.CgroupChanged, r.telemetry.VolumeSetUp
	r.config.Keeper.OnStart = r.cgroups.HoldShims
	allocated := allocate.New(c.Instance, devices)
	c.Room.Reserves.Eviction = threshold.Kept(c.Thresholds, r.host.Capacity)
	r.Room, err = room.Hold(c.Room, r.host.Capacity, r.cgroups, allocated, r.events, func() []*v1.Pod { return r.owner.Seeking() })
	if err != nil {
		return nil, err
	}
	r.images = image.NewStore(c.Engine, c.Root, c.Images, r.imagesReady, r.imageArchive, r.telemetry.Image)
	r.policy = imagepolicy.New(r.images, r.events, c.Images.Offline)
	r.sandboxes = sandbox.New(sandbox.Config{
		Dirs: dirs, Network: r.network, Cgroups: r.cgroups, Volumes: r.volumes, Claims: allocated, Images: r.images, Current: r.policy.Current,
		Engine: c.Engine, Resolver: r.machine.resolver, ClusterDomain: c.ClusterDomain, PodPids: c.PodPids, RuntimeClasses: c.RuntimeClasses,
		Admit: admit,
		Freed: func() { r.owner.Broadcast(state.ClaimsFree{}) },
		Warn: func(pod *v1.Pod, reason, message string) {
			r.events.Pod(pod, "", v1.EventTypeWarning, reason, "%s", message)
		},
	})
	r.containers = container.New(ctx, container.Config{
		Dirs: dirs, Instance: c.Instance, Engine: c.Engine, Changer: c.Engine, Images: r.images, Current: r.policy.Current, Sandboxes: r.sandboxes,
		Cgroups: r.cgroups, Volumes: r.volumes, Devices: devices, Kills: c.OOM, Keeper: c.Keeper, Limits: c.Limits,
		Slots: container.NewSlots(c.Parallel), Memory: host.Memory(), SingleProcessOOMKill: c.SingleProcessOOMKill,
		SeccompDefault: c.SeccompDefault,
		RuntimeClasses: c.RuntimeClasses, AppArmor: apparmor.New(), Answered: r.probeAnswered, LogComplete: func() { r.owner.Notify() },
		Services: r.serves.variables,
	})
	r.owner = owner.New(owner.Config{
		Host: r.host, ClockOffset: clock.Offset, Doer: effects{r}, Records: records{dirs}, Lister: lister{r.engine, container.NewSilence(r.cgroups), c.Root}, Report: r.report,
	})
	r.Disks = &Disks{owner: r.owner, dirs: dirs, volumes: r.volumes, scale: storage.Scale{Engine: c.Engine}}
	r.Evictions = &Evictions{r.owner, r.cgroups, r.conditions}
	r.Sessions = session.New(r, c.Engine, dirs)
	return r, nil
}

// Telemetry counts what the Runner does.
func (r *Runner) Telemetry() *telemetry.Telemetry { return r.telemetry }

// Images is the store of images.
func (r *Runner) Images() *image.Store { return r.images }

// Events is the collection of events.
func (r *Runner) Events() *event.Log { return r.events }

// Start takes up what an earlier run left and begins to listen to containerd. It returns the pods that were applied
// before, which the manifests' Set starts from.
func (r *Runner) Start(ctx context.Context) ([]manifests.Desired, error) {
	past := takeover{r}
	if err := past.prepare(ctx); err != nil {
		return nil, err
	}
	known := past.adopt()
	r.wg.Go(func() { r.engine.Watch(r.ctx, listener{r}) })
	r.wg.Go(func() { r.watchClock(r.ctx) })
	r.wg.Go(func() { r.machine.watchAddresses(r.ctx) })
	r.wg.Go(func() { r.machine.watchResolver(r.ctx) })
	r.wg.Go(func() {
		r.network.Watch(r.ctx, func(reason, message string) { r.events.Node(v1.EventTypeWarning, reason, message) })
	})
	r.wg.Go(func() { past.tidyUp(r.ctx) })
	return known, nil
}

// Limits of Stop.
const (
	// stopLimit bounds all of it: what the daemon does afterwards has to end in ten seconds, too.
	stopLimit = 8 * time.Second
	// detachLimit is for letting go of the containers' output; where the disk hangs it takes a second more.
	detachLimit = time.Second
)

// Stop ends the workers and leaves the pods running. It returns within stopLimit, whatever hangs.
func (r *Runner) Stop() {
	limit := time.After(stopLimit)
	r.owner.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), detachLimit)
	defer cancel()
	r.containers.Detach(ctx)
	r.cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.wg.Wait()
		r.events.Close()
		r.config.Keeper.Close()
		if err := namespace.LeaveDir(r.dirs.States()); err != nil { // without pods nothing of Solopod's stays mounted
			slog.Warn("a mount is left behind", "err", err)
		}
	}()
	select {
	case <-ended:
	case <-limit: // as a rule seconds are left, in which a slow disk takes the last events
		slog.Warn("something has not ended in time and is left behind")
	}
}

// Apply takes a new desired state. It does not block.
func (r *Runner) Apply(s manifests.Snapshot) {
	r.manifests.Report(s)
	r.claims.Put(s.Claims)
	r.owner.Apply(s.Pods, objectsByNamespace(s))
}

// WatchImages imports the archives of dir, now and whenever they change, until ctx ends. Pods whose image is missing
// wait for the first round before they try a registry.
func (r *Runner) WatchImages(ctx context.Context, dir string) error {
	return r.images.Watch(ctx, dir, r.owner.ImagesScanned)
}

// imagesReady wakes pods that may be waiting for an image, by whichever of its names.
func (r *Runner) imagesReady(images []engine.Image) {
	var told, names []string
	for _, i := range images {
		told = append(told, i.Name)
		names = append(names, i.Name, i.DigestName())
	}
	r.events.Node(v1.EventTypeNormal, "ImageReady", "images are ready: "+strings.Join(told, ", "))
	r.owner.Broadcast(state.ImagesReady{Names: names})
}

func (r *Runner) imageArchive(file string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		r.events.Node(v1.EventTypeWarning, "ImageImportFailed", fmt.Sprintf("%s: %v", file, err))
	}
}

// Pods returns the pods with their status, by namespace and name, of which each is there once. The caller must not change them.
func (r *Runner) Pods() []*v1.Pod {
	snapshots := r.owner.Shown()
	out := make([]*v1.Pod, 0, len(snapshots))
	for _, s := range snapshots {
		out = append(out, s.Pod)
	}
	return out
}

// Subscribe returns a channel that gets a token whenever a pod or a manifest changed; several changes may share one.
func (r *Runner) Subscribe() (changes <-chan struct{}, cancel func()) { return r.owner.Subscribe() }

// Ready says whether the manifests have been read once.
func (r *Runner) Ready() bool { return r.owner.Applied() }

// Reconciled is closed when the manifests have been read and each of their pods was looked at once: what can be started
// without waiting for an image has been started, but for pods that hang.
func (r *Runner) Reconciled() <-chan struct{} { return r.owner.Reconciled() }

// Drain stops all pods because the machine goes down; see owner.Drain.
func (r *Runner) Drain(ctx context.Context, total, lastPart time.Duration) {
	r.events.Node(v1.EventTypeNormal, "Draining", "all pods are stopped; none starts before "+restarted)
	r.owner.Drain(ctx, total, lastPart)
}

// restarted is what ends a drain.
const restarted = "the daemon is started anew (systemctl restart solopod)"

// Restart ends a container of a pod, with its grace period, and starts it anew; an empty name means all of them, sidecars too.
// What has ended, or waits for its next try, starts at once. Init containers do not run again. Restart returns when the end of
// what runs has begun.
func (r *Runner) Restart(ctx context.Context, ns, name, container string) error {
	pod, err := r.Pod(ns, name)
	if err != nil {
		return err
	}
	if container != "" && !manifests.Restartable(pod, container) {
		return session.NotFound("pod %s/%s has no container %q that can be restarted", ns, name, container)
	}
	if r.owner.Draining() {
		return fmt.Errorf("all pods are stopped by a drain; none starts before %s: %w", restarted, session.ErrNotRunning)
	}
	w := r.owner.Worker(string(pod.UID))
	if w == nil || pod.DeletionTimestamp != nil {
		return fmt.Errorf("pod %s/%s is going away: %w", ns, name, session.ErrNotRunning)
	}
	select {
	case <-w.Ask(state.RestartAsked{Container: container}):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
