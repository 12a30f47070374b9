package cgroup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
)

// The kernel's own files say what a pod's cgroup and its class got, and nothing is left after the last pod. systemd is
// asked where it is the init.
func TestManager(t *testing.T) {
	drivers := []Driver{Cgroupfs}
	if _, err := os.Stat("/run/systemd/system"); err == nil && Unified() {
		drivers = append(drivers, Systemd)
	}
	for _, driver := range drivers {
		t.Run(string(driver), func(t *testing.T) {
			testManager(t, NewLayout("/solopod-test-"+filepath.Base(t.TempDir()), driver))
		})
	}
}

func testManager(t *testing.T, l Layout) {
	m := NewManager(l)
	t.Cleanup(func() {
		if err := m.keeper.remove(context.Background(), l.Root()); err != nil { // there is nothing to remove, unless the test has failed
			t.Error(err)
		}
	})
	limit, quota, period := int64(64<<20), int64(50_000), uint64(100_000)
	resources := func(shares uint64) *specs.LinuxResources {
		return &specs.LinuxResources{
			CPU:    &specs.LinuxCPU{Shares: &shares, Quota: &quota, Period: &period},
			Memory: &specs.LinuxMemory{Limit: &limit},
		}
	}
	for uid, shares := range map[string]uint64{"a": 512, "b": 256} {
		path, err := m.Create(t.Context(), uid, v1.PodQOSBurstable, resources(shares))
		if err != nil {
			t.Fatal(err)
		}
		if path != l.Pod(v1.PodQOSBurstable, uid) {
			t.Errorf("the cgroup is %s", path)
		}
	}
	pod, class := l.Pod(v1.PodQOSBurstable, "a"), l.Class(v1.PodQOSBurstable)
	if Unified() {
		expect(t, pod, map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "cpu.weight": "59"})
		expect(t, class, map[string]string{"cpu.weight": "80"}) // 768 shares
	} else {
		expect(t, "memory"+pod, map[string]string{"memory.limit_in_bytes": "67108864"})
		expect(t, "cpu"+pod, map[string]string{"cpu.shares": "512", "cpu.cfs_quota_us": "50000"})
		expect(t, "cpu"+class, map[string]string{"cpu.shares": "768"})
	}
	// Limits that an edit took away are lifted.
	shares := uint64(512)
	if _, err := m.Create(t.Context(), "a", v1.PodQOSBurstable, &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}}); err != nil {
		t.Fatal(err)
	}
	if Unified() {
		expect(t, pod, map[string]string{"memory.max": "max", "cpu.max": "max 100000"})
	} else {
		expect(t, "memory"+pod, map[string]string{"memory.limit_in_bytes": "9223372036854771712"})
		expect(t, "cpu"+pod, map[string]string{"cpu.cfs_quota_us": "-1"})
	}
	if err := m.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	// Another run of the daemon finds b, and raises the class's weight with a pod of its own.
	m = NewManager(l)
	if err := m.Adopt(t.Context(), "b", v1.PodQOSBurstable, resources(256)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Create(t.Context(), "c", v1.PodQOSBurstable, resources(1024)); err != nil {
		t.Fatal(err)
	}
	if Unified() {
		expect(t, class, map[string]string{"cpu.weight": "120"}) // 1280 shares
	} else {
		expect(t, "cpu"+class, map[string]string{"cpu.shares": "1280"})
	}
	for _, uid := range []string{"b", "c", "c"} { // a removal can be repeated
		if err := m.Remove(t.Context(), uid); err != nil {
			t.Error(err)
		}
	}
	if l.driver == Systemd { // nobody has asked for the scope of the shims, which would end by itself: it is a mere directory
		if err := errors.Join(os.Remove(filepath.Join(Mountpoint, l.shims())), m.Remove(t.Context(), "c")); err != nil {
			t.Error(err)
		}
	}
	for _, base := range hierarchies() {
		if _, err := os.Stat(filepath.Join(base, l.Root())); err == nil {
			t.Errorf("%s is left", filepath.Join(base, l.Root()))
		}
	}
}

func expect(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(Mountpoint, dir, name))
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s/%s is %q, %v; want %s", dir, name, got, err, want)
		}
	}
}
