package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/grpclog"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/bundles"
	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/api/rollouts"
	"github.com/solopod/solopod/api/unused"
	"github.com/solopod/solopod/bundle/apply"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/manifests/source"
	diskusage "github.com/solopod/solopod/monitor/usage"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/embedded"
	"github.com/solopod/solopod/runner/eviction/supply"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/network/plugin"
	"github.com/solopod/solopod/runner/seal"
	"github.com/solopod/solopod/workload"
)

func newRun(_ *global) *cobra.Command {
	shown := defaults()
	var file string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: "Run the daemon in the foreground: watch the manifests and keep their pods running.\n\n" +
			"Pods run on when the daemon ends; the next start adopts them. To stop a pod remove its manifest.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilHangup(cmd.Context())
			defer stop()
			b := newBackstop(ctx, os.Exit)
			defer b.disarm()
			var c config
			var err error
			if b.start("the configuration", func() { c, err = loadConfig(file, ofDaemon, cmd.Flags()) }); err != nil {
				return err
			}
			if err := c.fits(); err != nil {
				return err
			}
			return runDaemon(ctx, c, b)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (YAML); flags override it")
	shown.register(cmd.Flags())
	return cmd
}

// untilHangup makes a context that also ends with SIGHUP, which a terminal sends when it is closed: the daemon ends as after SIGTERM
// then. Who started it with SIGHUP ignored (nohup) wants it to run on.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(unix.SIGHUP) {
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, unix.SIGHUP)
}

// gcPercent trades a little CPU for memory: the daemon's own heap is small and mostly still.
const gcPercent = 50

// daemonUmask is what the daemon and all that it starts run with, whatever the shell had that started it: with 077 the directories that
// images are unpacked into would be closed to all users of containers but root, for as long as the images are there. What is private
// gets its mode without a umask.
const daemonUmask = 0o022

// runDaemon runs the daemon until ctx ends, and writes the error that ends it to where its log goes.
func runDaemon(ctx context.Context, c config, b *backstop) error {
	level, err := c.level()
	if err != nil {
		return err
	}
	unix.Umask(daemonUmask)
	outliveReaders()
	logger, queue := newLogger(level)
	slog.SetDefault(logger)
	quietKlog()
	protectDaemon()
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, queue)) // errors only, as by default
	debug.SetGCPercent(gcPercent)
	b.flushes(queue.flush)
	trail, err := newTrail(c)
	if err != nil {
		return err
	}
	defer trail.end()
	supervisor := newSupervisor(ctx)
	defer supervisor.Close()
	for err = errRootLost; errors.Is(err, errRootLost); {
		if err = daemon(ctx, c, queue, trail, supervisor, b); ctx.Err() != nil && errors.Is(err, errRootLost) {
			err = nil // it was ending anyway
		}
	}
	if err != nil {
		fmt.Fprintln(queue, "error:", err)
		err = exitError{code: 1}
	}
	queue.flush(lastFlush)
	return err
}

// errRootLost: the root directory cannot be written any more. The daemon begins anew, as after a start with such a root: pods run on,
// and what has to be written goes to the state directory.
var errRootLost = errors.New("the root directory has become read-only")

// daemon wires the daemon together and runs it until ctx ends. log gets what containerd says.
func daemon(ctx context.Context, c config, log io.Writer, trail trail, supervisor *supervisor, b *backstop) error {
	if os.Geteuid() != 0 {
		return errors.New("the daemon must run as root: it makes namespaces, mounts and cgroups")
	}
	var unlock, stopEngine func()
	var err error
	if b.start("the lock of the root", func() { unlock, err = lock(c) }); err != nil {
		return err
	}
	defer unlock()
	if err := c.canBeMet(ctx, c.supply()); err != nil {
		return err
	}
	var e *engine.Engine
	var found finding
	if b.start("the start of containerd", func() { e, found, stopEngine, err = startEngine(ctx, c, log) }); err != nil {
		return err
	}
	defer b.during("the end of containerd", stopEngine)
	taken, err := policy.New(c.PodSecurity, c.Policy)
	if err != nil {
		return err
	}
	var killed *kills
	if b.start("the records of kills for memory", func() { killed, err = newKills(c) }); err != nil {
		return err
	}
	var r *runner.Runner
	if b.start("the network and the events", func() { r, err = newRunner(c, e, found, supervisor.unit, taken, killed) }); err != nil {
		return err
	}
	killed.of.use(r)
	killed.Begin() // what has ended while nobody looked is counted below, and is then gone
	var served *serving
	if b.start("the record of Services", func() { served, err = newServing(c, r) }); err != nil {
		return err
	}
	var known []manifests.Desired
	if b.start("taking up what runs", func() { known, err = r.Start(ctx) }); err != nil {
		return err
	}
	killed.tellKept()
	defer b.during("what is done for pods", r.Stop)
	defer b.during("the end of names", served.names.Close)
	served.begin()
	down, forget := askAtEnd(ctx, goingDown)
	defer forget()
	slog.Info("Solopod runs", "version", buildVersion().Version, "containerd", e.Version(), "manifests", c.Manifests, "socket", c.Socket)
	err = serve(ctx, c, r, e, wanted{c.manifestOptions(taken), known, served, killed, c.supply(), nil}, trail, supervisor, b)
	if errors.Is(err, errRootLost) && ctx.Err() == nil {
		slog.Error("the root directory has become read-only; Solopod begins anew without it, and pods run on", "root", c.Root)
		return err
	}
	supervisor.end(c, r, down, b)
	slog.Info("Solopod ends")
	return err
}

// wanted is how manifests are read, what was read by an earlier run, and what goes on beside the pods.
type wanted struct {
	options decode.Options
	known   []manifests.Desired
	served  *serving
	killed  *kills
	left    *supply.Supply
	bundles *apply.Box
}

// serve runs everything that goes on until the end: manifests, images and HTTP.
func serve(ctx context.Context, c config, r *runner.Runner, e *engine.Engine, w wanted, trail trail, s *supervisor, b *backstop) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		c.tellMissing(ctx, r)
		return nil
	})
	group.Go(b.part("images", func() error { return r.WatchImages(ctx, c.Images) }))
	group.Go(func() error {
		select {
		case <-r.RootLost():
			return errRootLost
		case <-ctx.Done():
			return nil
		}
	})
	changes, unsubscribe := r.Subscribe()
	defer unsubscribe()
	group.Go(func() error { return rest(ctx, changes, e.Sweep) })
	var workloads *workload.Controller
	b.start("the record of Jobs", func() {
		workloads = workload.New(runner.Workloads{Runner: r}, filepath.Join(c.Root, "workloads.json"), w.known, rollbacks(&c, r), r.Events().Object)
	})
	group.Go(b.part("Jobs", func() error { return workloads.Run(ctx) }))
	var images *collection
	b.start("the record of images", func() { images = newCollection(c, r, w.left, workloads.History.Images) })
	group.Go(b.part("the collection of images", func() error { return images.Run(ctx) }))
	control := w.served.control
	group.Go(b.part("Services", func() error { return control.Run(ctx) }))
	directory := source.NewDirectory(c.Manifests, w.options, w.known, func(s manifests.Snapshot) {
		images.users.apply(s)
		control.Apply(s) // before the pods, which may begin with a call of a service
		workloads.Apply(s)
	})
	directory.Recall(control.Known())
	b.start("the record of versions", func() { c.requireSignatures(ctx, directory, r.Events(), group) })
	directory.Tell(trail.changed)
	group.Go(b.part("manifests", func() error { return directory.Run(ctx) }))
	group.Go(b.part("records of kills for memory", func() error { return w.killed.Run(ctx) }))
	group.Go(b.part("samples of memory", func() error { return w.killed.samples.Run(ctx) }))
	group.Go(b.part("systemd", func() error { return s.supervise(ctx, r) }))
	group.Go(b.part("evictions", func() error { return runEvictions(ctx, c, r, w.left, images) }))
	disks := diskusage.New(r.Disks)
	group.Go(b.part("what pods take up on disks", func() error { return disks.Run(ctx) }))
	b.start("the record of bundles", func() { w.bundles = newBundles(c, r, w.options) })
	listening := func(f func() error) { group.Go(b.part("HTTP", f)) }
	var err error
	if b.start("the start of HTTP", func() { err = listenAll(ctx, c, newServer(c, r, e, workloads, w, disks, trail, images), listening) }); err != nil {
		return err
	}
	return group.Wait()
}

func newServer(c config, r *runner.Runner, e *engine.Engine, workloads *workload.Controller, w wanted, u *diskusage.Meter, trail trail, images *collection) *api.Server {
	version := buildVersion()
	version.Containerd = e.Version()
	metrics, own := newMetrics(c, r, workloads, w, u, version, trail)
	server := api.NewServer(r, workloads, version, metrics, api.Files{Config: map[string]config{"solopodconfig": c}, LogDir: c.LogDir})
	own.MustRegister(certificateTime(server.CertificateEnds), w.left.Metrics(c.thresholds()))
	server.Audit(trail.Trail)
	server.Serves(objects.Served{Source: w.served.control, Traffic: w.served.of.Network().Traffic})
	server.Serves(w.killed.served(r.Pods))
	server.Serves(rollouts.Served{Workloads: workloads})
	server.Changes(rollouts.Served{Workloads: workloads})
	server.Serves(bundles.Served{Box: w.bundles})
	server.Changes(bundles.Served{Box: w.bundles})
	server.Changes(unused.Served{Collector: images.Collector, Images: r.Images()})
	return server
}

// cgroups says where those of pods are.
func (c config) cgroups() cgroup.Layout {
	root := c.CgroupRoot
	if root == "" {
		root = "/" + network.Instance(c.State)
	}
	return cgroup.NewLayout(root, c.cgroupDriver())
}

// lock keeps a second daemon away from the same root, and from the same state directory: both would drive the same pods. The state
// directory is locked in any case, as the root may have become read-only since the other daemon has begun.
func lock(c config) (unlock func(), err error) {
	for _, dir := range []string{c.Root, c.State} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("cannot make a directory of Solopod's: %w", err)
		}
	}
	root, err := lockDir(c.Root, "--root")
	if err != nil && !errors.Is(err, unix.EROFS) {
		return nil, err
	}
	state, err := lockDir(c.State, "--state")
	switch {
	case err == nil:
	case root != nil && !errors.Is(err, errLocked): // a full one bars no start
		slog.Warn("the state directory cannot be locked; start no second daemon with it", "err", err)
	default:
		if root != nil {
			root.Close() //nolint:errcheck // only locked
		}
		return nil, err
	}
	return func() {
		for _, f := range []*os.File{root, state} {
			if f != nil {
				f.Close() //nolint:errcheck // closing unlocks
			}
		}
	}, nil
}

// errLocked: another daemon has the directory.
var errLocked = errors.New("another solopod runs")

// lockDir locks a directory of Solopod's, which flag names, until the file that it returns is closed, or the process ends.
func lockDir(dir, flag string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := durable.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", dir, err)
	}
	// Not flock: a child that was forked just before a kill holds that on until it has executed its program, and the next
	// start would be refused. Locks of fcntl(2) are the process's own.
	held := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &held); err != nil {
		f.Close() //nolint:errcheck // only locked
		return nil, fmt.Errorf("%w on %s (it holds %s); give this one a %s of its own", errLocked, dir, path, flag)
	}
	return f, nil
}

// finding is what was found wrong with containerd's root; each is a sentence, or empty.
type finding struct{ setAside, readOnly string }

// startEngine starts containerd in-process or dials the one that runs outside. log gets what it says.
func startEngine(ctx context.Context, c config, log io.Writer) (e *engine.Engine, found finding, end func(), err error) {
	ec := engine.Config{
		Address: c.Containerd, Shim: "io.containerd.runc.v2", Runtime: c.Runtime,
		SystemdCgroup: c.cgroupDriver() == cgroup.Systemd,
		Owner:         c.Root, TempDir: layout.Dirs{State: c.State}.Temporary(), MaxImageSize: c.maxImageSize(),
	}
	unseal, err := companion("solopod-unseal")
	if err != nil {
		return nil, found, nil, err
	}
	ec.Seal = seal.NewStore(filepath.Join(c.State, "seal"), unseal)
	stop := func() {}
	if c.Containerd == embeddedContainerd {
		shim, err := companion("containerd-shim-runc-v2")
		if err != nil {
			return nil, found, nil, fmt.Errorf("%w, or use an outside containerd with --containerd ADDRESS", err)
		}
		self, err := os.Executable()
		if err != nil {
			return nil, found, nil, fmt.Errorf("cannot find the running binary: %w", err)
		}
		srv, err := embedded.Start(ctx, embedded.Config{
			Root: filepath.Join(c.Root, "containerd"), State: filepath.Join(c.State, "containerd"), Seal: ec.Seal, Log: log, Self: self,
		})
		if err != nil {
			return nil, found, nil, err
		}
		found = finding{srv.SetAside, srv.ReadOnly}
		ec.Silent, ec.Woken, ec.Bundles, ec.Sweep = srv.Silent, srv.Woken(), srv.Bundles, srv.SweepSockets
		ec.Address, ec.Shim, ec.RuntimeRoot, stop = srv.Address, shim, filepath.Join(c.State, "runc"), srv.Stop
	}
	e, err = engine.Connect(ctx, ec)
	if err != nil {
		stop()
		return nil, found, nil, err
	}
	return e, found, func() {
		if err := e.Close(); err != nil {
			slog.Debug("cannot close the connection to containerd", "err", err)
		}
		stop()
	}, nil
}

func newRunner(c config, e *engine.Engine, found finding, unit string, taken *policy.Policy, killed *kills) (*runner.Runner, error) {
	limits, err := c.logLimits()
	if err != nil {
		return nil, err
	}
	keeper, err := companion("solopod-keep")
	if err != nil {
		return nil, err
	}
	nodeIPs, err := host.ParseNodeIP(c.NodeIP)
	if err != nil {
		return nil, err
	}
	room, err := c.room()
	if err != nil {
		return nil, err
	}
	images, err := imageSettings(&c)
	if err != nil {
		return nil, err
	}
	instance := network.Instance(c.State)
	cache, err := plugin.CacheDir(c.Root, c.State)
	if err != nil {
		slog.Error("pods with a network of CNI plugins may not start, or leave their addresses behind", "err", err)
	}
	return runner.New(runner.Config{
		Node: c.NodeName, Instance: instance, Root: c.Root, State: c.State, LogDir: c.LogDir, Limits: limits,
		Cgroups: c.cgroups(), PodPids: max(c.PodPidsLimit, 0), SingleProcessOOMKill: c.SingleProcessOOMKill,
		Room: room,
		Network: network.Config{
			CNIBinDirs: c.cniBinDirs(), CNIConfDir: c.CNIConfDir, CNICacheDir: cache,
			StateDir: c.State, Bridge: network.BridgeName(instance), PodCIDR: c.PodCIDR, PodCIDR6: c.PodCIDR6,
		},
		NodeIPs: nodeIPs, ResolvConf: c.ResolvConf,
		Engine: e, OOM: killed.counter(), Keeper: keep.New(c.State, keeper), Parallel: c.MaxParallelStarts,
		RuntimeClasses: c.RuntimeClasses, ClusterDomain: c.ClusterDomain, CDISpecDirs: c.CDISpecDirs,
		SeccompDefault: c.SeccompDefault, Policy: taken,
		Thresholds: c.thresholds(), PressureHold: c.EvictionPressureTransitionPeriod.Duration,
		SetAside: found.setAside, ReadOnly: found.readOnly, Service: unit, Images: images,
	})
}
