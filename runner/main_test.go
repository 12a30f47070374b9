package runner

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/network"
)

func TestMain(m *testing.M) { testbox.Main(m) }

const app = "docker.io/library/app:latest"

// box is a machine on which one Solopod follows the other.
type box struct {
	t      *testing.T
	dir    string
	engine *testbox.Engine
	config Config
	r      *Runner
	stop   func()
}

func newBox(t *testing.T) *box {
	t.Helper()
	dir := testbox.Dir(t)
	b := &box{t: t, dir: dir, engine: testbox.NewEngine(), stop: func() {}}
	b.engine.AddImage(testbox.Image{Image: engine.Image{Name: app, Config: ocispec.ImageConfig{Entrypoint: []string{"/app"}}}})
	b.config = Config{
		Node: "box", Instance: "test", Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"),
		Cgroups: cgroup.NewLayout(testbox.CgroupRoot()+"/"+filepath.Base(filepath.Dir(dir)), cgroup.Cgroupfs),
		Limits:  logfile.Limits{MaxSize: 1 << 20, MaxFiles: 3}, CDISpecDirs: []string{filepath.Join(dir, "cdi")},
		Network: network.Config{CNIConfDir: filepath.Join(dir, "cni.d"), StateDir: filepath.Join(dir, "state"), Bridge: "box0"},
		Engine:  b.engine, OOM: &kills{}, Parallel: 2, ClusterDomain: "cluster.local", Images: image.Settings{Outside: true, Digest: b.engine.Digest},
	}
	for _, sub := range []string{b.config.Root, b.config.State} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { b.stop() })
	return b
}

// kills are the kernel's counts; all of one container.
type kills struct {
	mu     sync.Mutex
	report func(uint64)
	count  uint64
}

func (k *kills) Watch(_ string, report func(uint64)) (func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.report = report
	return func() {}, nil
}

func (k *kills) Kills(string) (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count, nil
}

func (*kills) Gone(context.Context, string, bool) uint64 { return 0 }

// start begins a life of Solopod, and returns the pods that it knows.
func (b *box) start() []string {
	b.t.Helper()
	b.config.Keeper = keep.New(b.config.State, filepath.Join(b.dir, "no-keeper"))
	r, err := New(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.r, b.stop = r, sync.OnceFunc(r.Stop)
	known, err := r.Start(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, d := range known {
		names = append(names, manifests.Key(d.Pod)+" of "+d.File)
	}
	slices.Sort(names)
	return names
}

// snapshot is what the manifests ask for.
func snapshot(pods ...*v1.Pod) manifests.Snapshot {
	s := manifests.Snapshot{Pods: map[string]manifests.Desired{}, ConfigMaps: map[string]*v1.ConfigMap{}, Secrets: map[string]*v1.Secret{}, Claims: map[string]*v1.PersistentVolumeClaim{}}
	for _, p := range pods {
		s.Pods[string(p.UID)] = manifests.Desired{Pod: p, File: p.Name + ".yaml"}
	}
	return s
}

// find is a pod as it is shown; nil when it is not.
func (b *box) find(name string) *v1.Pod {
	for _, p := range b.r.Pods() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// runs waits until all containers of a pod run, and returns their ids.
func (b *box) runs(name string) (ids []string) {
	b.t.Helper()
	testbox.Eventually(b.t, name+" runs", func() bool {
		p := b.find(name)
		if p == nil || len(p.Status.ContainerStatuses) == 0 {
			return false
		}
		ids = nil
		for _, s := range p.Status.ContainerStatuses {
			if s.State.Running == nil {
				return false
			}
			ids = append(ids, strings.TrimPrefix(s.ContainerID, "containerd://"))
		}
		return true
	})
	return ids
}

func (b *box) gone(name string) {
	b.t.Helper()
	testbox.Eventually(b.t, name+" is gone", func() bool { return b.find(name) == nil })
}

// restarts is the restart count of a pod's first container.
func (b *box) restarts(name string) int32 {
	if p := b.find(name); p != nil && len(p.Status.ContainerStatuses) > 0 {
		return p.Status.ContainerStatuses[0].RestartCount
	}
	return -1
}

// event waits for one with this reason whose message holds text.
func (b *box) event(reason, text string) v1.Event {
	b.t.Helper()
	var found v1.Event
	testbox.Eventually(b.t, "an event "+reason+" that says "+text, func() bool {
		for _, e := range b.r.Events().List() {
			if e.Reason == reason && strings.Contains(e.Message, text) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func (b *box) hasEvent(reason string) bool {
	return slices.ContainsFunc(b.r.Events().List(), func(e v1.Event) bool { return e.Reason == reason })
}

// clear ends the test's pods, and fails it when something is left of them.
func (b *box) clear() {
	b.t.Helper()
	pods := b.r.Pods()
	b.r.Apply(snapshot())
	for _, p := range pods {
		b.gone(p.Name)
	}
	if ids := b.engine.IDs(); len(ids) > 0 {
		b.t.Errorf("containers are left: %v", ids)
	}
	for _, dir := range []string{b.r.dirs.Records(), b.r.dirs.States(), b.r.dirs.LogRoot(), b.r.dirs.LinkRoot()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			b.t.Error(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".damaged") {
				b.t.Errorf("%s is left in %s", e.Name(), dir)
			}
		}
	}
	b.stop()
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
