package allocate

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/runner/allocate/device"
)

func quantities(pairs ...string) v1.ResourceList {
	out := v1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[v1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

// asking is a pod whose one container requests these.
func asking(name string, priority int32, requests v1.ResourceList) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec: v1.PodSpec{
			Priority: ptr.To(priority), HostUsers: ptr.To(true),
			Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: requests}}},
		},
	}
}

func TestLacks(t *testing.T) {
	sidecar := asking("pod", 0, quantities("memory", "100Mi"))
	sidecar.Spec.InitContainers = []v1.Container{
		{Name: "car", RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways), Resources: v1.ResourceRequirements{Requests: quantities("memory", "50Mi")}},
		{Name: "init", Resources: v1.ResourceRequirements{Requests: quantities("memory", "200Mi")}}, // beside the sidecar
	}
	sidecar.Spec.Overhead = quantities("memory", "50Mi")
	for name, c := range map[string]struct {
		allocatable v1.ResourceList
		pod         *v1.Pod
		held        []v1.ResourceList
		waiting     []*v1.Pod
		says        string // empty: it fits
	}{
		"an empty machine":                {quantities("memory", "100Mi"), asking("pod", 0, quantities("memory", "100Mi")), nil, nil, ""},
		"a byte too much":                 {quantities("memory", "100"), asking("pod", 0, quantities("memory", "101")), nil, nil, "Node didn't have enough resource: memory, requested: 101, used: 0, capacity: 100: "},
		"beside others":                   {quantities("memory", "100Mi"), asking("pod", 0, quantities("memory", "40Mi")), []v1.ResourceList{quantities("memory", "60Mi"), nil}, nil, ""},
		"others have too much":            {quantities("memory", "100Mi"), asking("pod", 0, quantities("memory", "50Mi")), []v1.ResourceList{quantities("memory", "60Mi")}, nil, "it asks for 50Mi, other pods have 60Mi of the 100Mi that there are for pods; request less"},
		"who asks for nothing fits":       {quantities("memory", "100Mi"), asking("pod", 0, nil), []v1.ResourceList{quantities("memory", "200Mi")}, nil, ""},
		"CPU counts in thousandths":       {quantities("cpu", "1"), asking("pod", 0, quantities("cpu", "600m")), []v1.ResourceList{quantities("cpu", "500m")}, nil, "cpu, requested: 600, used: 500, capacity: 1000: it asks for 600m, other pods have 500m of the 1 that"},
		"memory comes before CPU":         {quantities("cpu", "1", "memory", "1"), asking("pod", 0, quantities("cpu", "2", "memory", "2")), nil, nil, "resource: memory"},
		"a disk":                          {quantities("ephemeral-storage", "1Gi"), asking("pod", 0, quantities("ephemeral-storage", "2Gi")), nil, nil, "resource: ephemeral-storage"},
		"what is not known is no bound":   {quantities("cpu", "1"), asking("pod", 0, quantities("memory", "2Gi")), nil, nil, ""},
		"init containers, and overhead":   {quantities("memory", "299Mi"), sidecar, nil, nil, "it asks for 300Mi"},
		"which just fit":                  {quantities("memory", "300Mi"), sidecar, nil, nil, ""},
		"one that is first":               {quantities("memory", "100Mi"), asking("pod", 0, quantities("memory", "50Mi")), nil, []*v1.Pod{asking("high", 1, quantities("memory", "60Mi"))}, "used: 0, capacity: 104857600: it asks for 50Mi, other pods have 0 of the 100Mi that there are for pods, and 60Mi are for pods that come first"},
		"one that is first and too large": {quantities("memory", "100Mi"), asking("pod", 0, quantities("memory", "50Mi")), nil, []*v1.Pod{asking("high", 1, quantities("memory", "600Mi"))}, ""},
		"more than there can be":          {quantities("memory", "1Gi"), asking("pod", 0, quantities("memory", "1e30")), nil, nil, "memory, requested: 9223372036854775807, used: 0"},
		"more CPUs than there can be":     {quantities("cpu", "1"), asking("pod", 0, quantities("cpu", "1e17")), nil, nil, "cpu, requested: 9223372036854775807, used: 0"},
		"amounts beyond all measure":      {quantities("memory", "1Gi"), asking("pod", 0, quantities("memory", "1")), []v1.ResourceList{{v1.ResourceMemory: *resource.NewQuantity(math.MaxInt64, resource.BinarySI)}, {v1.ResourceMemory: *resource.NewQuantity(math.MaxInt64, resource.BinarySI)}}, nil, "resource: memory"},
	} {
		got := (&Room{Allocatable: c.allocatable}).lacks(c.pod, c.held, c.waiting)
		if (got == nil) != (c.says == "") || got != nil && !strings.Contains(got.Error(), c.says) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := (&NoRoom{Resource: v1.ResourceCPU}).Reason(); got != "OutOfcpu" {
		t.Error(got)
	}
}

// Whatever the order in which pods ask, the same ones get room: by priority, then by name.
func TestChoiceIsTheSame(t *testing.T) {
	all := []*v1.Pod{
		asking("a", 0, quantities("memory", "40Mi")), asking("b", 0, quantities("memory", "40Mi")), asking("c", 10, quantities("memory", "50Mi")),
		asking("d", 5, quantities("memory", "90Mi")), asking("e", -1, quantities("memory", "10Mi")), asking("f", 0, nil),
	}
	want := []string{"default/a", "default/c", "default/e", "default/f"} // c, then no d, then a, then no b
	for seed := range uint64(50) {
		c := New("test", device.New(nil))
		waiting := slices.Clone(all)
		c.Bound(Room{Allocatable: quantities("memory", "100Mi"), Refuse: true, Waiting: func() []*v1.Pod { return slices.Clone(waiting) }})
		order := slices.Clone(all)
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] }) //nolint:gosec // a test's
		for range 3 {                                                                                                  // who was refused asks again
			for _, pod := range order {
				if _, has := c.pods[string(pod.UID)]; has {
					continue
				}
				if _, err := c.Take(t.Context(), pod, Grant{}); err != nil && !errors.As(err, new(*NoRoom)) {
					t.Fatal(err)
				}
			}
		}
		var got []string
		for _, h := range c.pods {
			got = append(got, h.pod)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("seed %d: %v begin, not %v", seed, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	c := New("test", device.New(nil))
	c.Bound(Room{Allocatable: quantities("memory", "100Mi"), Refuse: true})
	first, second, third := asking("first", 0, quantities("memory", "80Mi")), asking("second", 0, quantities("memory", "30Mi")), asking("third", 0, nil)
	take := func(pod *v1.Pod) error {
		_, err := c.Take(t.Context(), pod, Grant{})
		return err
	}
	if err := errors.Join(take(first), take(third)); err != nil {
		t.Fatal(err)
	}
	if err := take(first); err != nil { // its own does not count against it
		t.Error(err)
	}
	if c.Release("uid-third") {
		t.Error("the end of a pod that asks for nothing is told to those who wait for room")
	}
	var full *NoRoom
	if err := take(second); !errors.As(err, &full) || full.Reason() != "OutOfmemory" {
		t.Error(err)
	}
	if got := c.Requested(); got.Memory().Value() != 80<<20 {
		t.Errorf("%v", got)
	}
	first.Spec.Containers[0].Resources.Requests = quantities("memory", "60Mi")
	if !c.Resize(first) || c.Resize(first) {
		t.Error("who waits for room is told of a smaller pod, once")
	}
	if err := take(second); err != nil {
		t.Error(err)
	}
	// What runs keeps what it has, also when it has grown, and after a restart.
	again := New("test", device.New(nil))
	again.Bound(c.room)
	big := asking("big", 0, quantities("memory", "400Mi"))
	if err := errors.Join(again.Adopt(big, Grant{}), again.Adopt(first, Grant{})); err != nil {
		t.Error(err)
	}
	if err := func() error { _, err := again.Take(t.Context(), second, Grant{}); return err }(); !errors.As(err, &full) {
		t.Error(err)
	}
	if !again.Release("uid-big") {
		t.Error("nobody is told that there is room")
	}
}

func TestWarned(t *testing.T) {
	c := New("test", device.New(nil))
	var told []string
	c.Bound(Room{Allocatable: quantities("memory", "100Mi"), Told: func(pod *v1.Pod, message string) { told = append(told, pod.Name+": "+message) }})
	step := func(what string, pod *v1.Pod, f func(), want int) {
		t.Helper()
		told = nil
		f()
		if len(told) != want || want > 0 && !strings.HasPrefix(told[0], pod.Name+": Node didn't have enough resource: memory") {
			t.Errorf("%s: told %q", what, told)
		}
	}
	take := func(pod *v1.Pod) func() {
		return func() {
			if _, err := c.Take(t.Context(), pod, Grant{}); err != nil {
				t.Error(err)
			}
		}
	}
	first, second := asking("first", 0, quantities("memory", "80Mi")), asking("second", 0, quantities("memory", "30Mi"))
	step("it fits", first, take(first), 0)
	step("it does not", second, take(second), 1)
	step("and was told", second, take(second), 0)
	second.Spec.Containers[0].Resources.Requests = quantities("memory", "40Mi")
	step("it asks for more", second, func() { c.Resize(second) }, 1)
	second.Spec.Containers[0].Resources.Requests = quantities("memory", "20Mi")
	step("for so little that it fits", second, func() { c.Resize(second) }, 0)
	second.Spec.Containers[0].Resources.Requests = quantities("memory", "40Mi")
	step("and for more again", second, func() { c.Resize(second) }, 1)
	c.Release("uid-second")
	step("it begins anew", second, take(second), 1)
}
