package cgroup

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/runner/reserve"
)

func TestMemoryQoS(t *testing.T) {
	const mebi, page = 1 << 20, 4096
	q := MemoryQoS{Factor: 0.9, Allocatable: 1000 * mebi}
	for name, c := range map[string]struct {
		request, limit int64
		min, high      string
	}{
		"between request and limit":      {100 * mebi, 200 * mebi, "104857600", "199229440"}, // 100Mi + 0.9 * 100Mi
		"rounded down to a page":         {0, 10 * page, "0", "36864"},
		"and no more than that":          {0, page, "0", "max"},
		"guaranteed":                     {100 * mebi, 100 * mebi, "104857600", "max"},
		"without a limit":                {100 * mebi, 0, "104857600", "954204160"}, // 100Mi + 0.9 * 900Mi
		"best effort":                    {0, 0, "0", "943718400"},
		"a request beyond what there is": {2000 * mebi, 0, "2097152000", "max"},
	} {
		got := q.files(c.request, c.limit, page)
		if got[memoryMin] != c.min || got[memoryHigh] != c.high {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := (MemoryQoS{}).Container(v1.ResourceRequirements{}); got != nil {
		t.Errorf("without it: %v", got)
	}
}

// What pods may use together is in the kernel's files of their root, follows the setting, and goes with it.
func TestTogether(t *testing.T) {
	for _, driver := range driversHere() {
		t.Run(string(driver), func(t *testing.T) {
			l := NewLayout("/solopod-together-"+filepath.Base(t.TempDir()), driver)
			t.Cleanup(func() {
				if err := NewManager(l).keeper.remove(context.Background(), l.Root()); err != nil {
					t.Error(err)
				}
			})
			bound := v1.ResourceList{v1.ResourceCPU: resource.MustParse("500m"), v1.ResourceMemory: resource.MustParse("512Mi"), reserve.PIDs: resource.MustParse("1000")}
			first := NewManager(l)
			first.Bound = bound
			create(t, first, "a")
			expectRoot(t, l, "512", "536870912", "1000")

			second := NewManager(l) // as after a restart with another setting
			second.Bound = v1.ResourceList{v1.ResourceMemory: resource.MustParse("256Mi")}
			if err := second.Adopt(t.Context(), "a", v1.PodQOSBurstable, PodResources(&v1.Pod{}, 0)); err != nil {
				t.Fatal(err)
			}
			expectRoot(t, l, "1024", "268435456", "max")

			third := NewManager(l)
			if err := third.Adopt(t.Context(), "a", v1.PodQOSBurstable, PodResources(&v1.Pod{}, 0)); err != nil {
				t.Fatal(err)
			}
			expectRoot(t, l, "1024", "max", "max")
			if err := third.Remove(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			third.Bound = bound
			create(t, third, "b")
			expectRoot(t, l, "512", "536870912", "1000")
			if err := third.Remove(t.Context(), "b"); err != nil {
				t.Fatal(err)
			}
			create(t, third, "c") // the root went with the last pod, and the new one is bounded again
			expectRoot(t, l, "512", "536870912", "1000")
			if err := third.Remove(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What pods use already is told when it is more than they may, once, and what becomes of it.
func TestAboveReserve(t *testing.T) {
	l := NewLayout("/solopod-above-"+filepath.Base(t.TempDir()), Cgroupfs)
	m := NewManager(l)
	var told []string
	m.Tell = func(reason, message string) { told = append(told, reason+": "+message) }
	create(t, m, "a")
	t.Cleanup(func() {
		if err := m.Remove(context.Background(), "a"); err != nil {
			t.Error(err)
		}
	})
	sleeper(t, l.Pod(v1.PodQOSBurstable, "a")) // it uses something
	m.Bound = v1.ResourceList{v1.ResourceMemory: resource.MustParse("1Gi")}
	m.boundAll(t.Context())
	if len(told) > 0 {
		t.Errorf("told %q", told)
	}
	limit := int64(-1) // of which any use is more
	r := m.resources(0)
	r.Memory.Limit = &limit
	if above := m.above(r); !strings.HasPrefix(above, "pods use ") {
		t.Errorf("it says %q", above)
	}
	if Unified() {
		return // where the kernel would end them
	}
	m.Bound = v1.ResourceList{v1.ResourceMemory: resource.MustParse("4Ki")}
	for range 3 {
		m.boundAll(t.Context())
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], "ReserveNotEnforced: pods use ") || !strings.Contains(told[0], "no limit below that") {
		t.Errorf("told %q", told)
	}
	m.Bound = v1.ResourceList{v1.ResourceMemory: resource.MustParse("2Gi")}
	m.boundAll(t.Context())
	m.Bound = v1.ResourceList{v1.ResourceMemory: resource.MustParse("4Ki")}
	if m.boundAll(t.Context()); len(told) != 2 {
		t.Errorf("another time is told as %q", told)
	}
}

// MemoryQoS of the kernel's files, where it has cgroup v2.
func TestMemoryIsKept(t *testing.T) {
	if !Unified() {
		memory := MemoryQoS{Factor: 0.9, Allocatable: 1 << 30}
		asks := v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceMemory: resource.MustParse("8Mi")}}
		if files := memory.Container(asks); len(files) > 0 || memory.on() {
			t.Errorf("cgroup v1 keeps no memory, and is told %v", files)
		}
		return
	}
	for _, driver := range driversHere() {
		t.Run(string(driver), func(t *testing.T) {
			l := NewLayout("/solopod-kept-"+filepath.Base(t.TempDir()), driver)
			m := NewManager(l)
			m.Memory = MemoryQoS{Factor: 0.9, Allocatable: 1 << 30}
			t.Cleanup(func() {
				if err := m.keeper.remove(context.Background(), l.Root()); err != nil {
					t.Error(err)
				}
			})
			for _, uid := range []string{"a", "b"} {
				pod := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceMemory: resource.MustParse("8Mi")}}}}}}
				r := PodResources(pod, 0)
				m.Memory.Pod(pod, r)
				if _, err := m.Create(t.Context(), uid, v1.PodQOSBurstable, r); err != nil {
					t.Fatal(err)
				}
			}
			expect(t, l.Pod(v1.PodQOSBurstable, "a"), map[string]string{memoryMin: "8388608"})
			expect(t, l.Class(v1.PodQOSBurstable), map[string]string{memoryMin: "16777216"})
			expect(t, l.Root(), map[string]string{memoryMin: "16777216"})
			for _, uid := range []string{"a", "b"} {
				if err := m.Remove(t.Context(), uid); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func driversHere() []Driver {
	if _, err := os.Stat("/run/systemd/system"); err == nil && Unified() {
		return []Driver{Cgroupfs, Systemd}
	}
	return []Driver{Cgroupfs}
}

func create(t *testing.T, m *Manager, uid string) {
	t.Helper()
	pod := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c"}}}}
	if _, err := m.Create(t.Context(), uid, v1.PodQOSBurstable, PodResources(pod, 0)); err != nil {
		t.Fatal(err)
	}
}

// expectRoot reads the root of all pods' cgroups: CPU shares, bytes of memory and processes, in cgroup v2's words.
func expectRoot(t *testing.T, l Layout, shares, memory, processes string) {
	t.Helper()
	root := l.Root()
	if Unified() {
		weights := map[string]string{"512": "59", "1024": "100"}
		expect(t, root, map[string]string{"cpu.weight": weights[shares], "memory.max": memory, "pids.max": processes})
		return
	}
	if memory == "max" {
		memory = "9223372036854771712"
	}
	expect(t, "memory"+root, map[string]string{"memory.limit_in_bytes": memory})
	expect(t, "cpu"+root, map[string]string{"cpu.shares": shares})
	expect(t, "pids"+root, map[string]string{"pids.max": processes})
}
