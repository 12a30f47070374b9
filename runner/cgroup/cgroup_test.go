package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
)

// The kernel's own files say what a pod's cgroup and its class got, and nothing is left after the last pod.
func TestManager(t *testing.T) {
	root := "/solopod-test-" + filepath.Base(t.TempDir())
	m := NewManager(root)
	t.Cleanup(func() {
		for _, base := range hierarchies() {
			if _, err := os.Stat(filepath.Join(base, root)); err == nil {
				t.Errorf("%s is left", filepath.Join(base, root))
				removeTree(filepath.Join(base, root)) //nolint:errcheck // the test has failed already
			}
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
		path, err := m.Create(uid, v1.PodQOSBurstable, resources(shares))
		if err != nil {
			t.Fatal(err)
		}
		if path != root+"/burstable/pod"+uid {
			t.Errorf("the cgroup is %s", path)
		}
	}
	if Unified() {
		expect(t, root+"/burstable/poda", map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "cpu.weight": "20"})
		expect(t, root+"/burstable", map[string]string{"cpu.weight": "30"}) // 768 shares
	} else {
		expect(t, "memory"+root+"/burstable/poda", map[string]string{"memory.limit_in_bytes": "67108864"})
		expect(t, "cpu"+root+"/burstable/poda", map[string]string{"cpu.shares": "512", "cpu.cfs_quota_us": "50000"})
		expect(t, "cpu"+root+"/burstable", map[string]string{"cpu.shares": "768"})
	}
	if err := m.Remove("a"); err != nil {
		t.Fatal(err)
	}
	// Another run of the daemon finds b, and raises the class's weight with a pod of its own.
	m = NewManager(root)
	if err := m.Adopt("b", v1.PodQOSBurstable, resources(256)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Create("c", v1.PodQOSBurstable, resources(1024)); err != nil {
		t.Fatal(err)
	}
	if !Unified() {
		expect(t, "cpu"+root+"/burstable", map[string]string{"cpu.shares": "1280"})
	}
	for _, uid := range []string{"b", "c", "c"} { // a removal can be repeated
		if err := m.Remove(uid); err != nil {
			t.Error(err)
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
