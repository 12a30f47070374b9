package reserve

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func list(pairs ...string) v1.ResourceList {
	out := v1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[v1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func same(a, b v1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		if other, ok := b[name]; !ok || q.Cmp(other) != 0 {
			return false
		}
	}
	return true
}

var box = list("cpu", "2", "memory", "1Gi", "ephemeral-storage", "10Gi", "pid", "32768")

func TestAllocatable(t *testing.T) {
	for name, c := range map[string]struct {
		reserves           Reserves
		allocatable, bound v1.ResourceList
		wrong              string
	}{
		"nothing is reserved": {Reserves{Enforced: true}, box, list(), ""},
		"all of it, with what evictions keep free, which bounds nothing": {
			Reserves{list("memory", "100Mi", "cpu", "500m"), list("memory", "28Mi", "pid", "768"), list("memory", "100Mi", "ephemeral-storage", "1Gi"), true},
			list("cpu", "1500m", "memory", "796Mi", "ephemeral-storage", "9Gi", "pid", "32000"), list("cpu", "1500m", "memory", "896Mi", "pid", "32000"), "",
		},
		"not enforced":                   {Reserves{System: list("memory", "24Mi")}, list("cpu", "2", "memory", "1000Mi", "ephemeral-storage", "10Gi", "pid", "32768"), nil, ""},
		"a resource that is not known":   {Reserves{Kube: list("hugepages", "1Mi"), Enforced: true}, box, list(), ""},
		"a zero is as none":              {Reserves{Kube: list("memory", "0"), Enforced: true}, box, list(), ""},
		"too much of a resource":         {Reserves{System: list("cpu", "3"), Enforced: true}, list("cpu", "0", "memory", "1Gi", "ephemeral-storage", "10Gi", "pid", "32768"), list("cpu", "0"), "systemReserved (3): nothing is left for pods of the machine's cpu (2)"},
		"too much together":              {Reserves{System: list("memory", "500Mi"), Kube: list("memory", "500Mi"), Eviction: list("memory", "100Mi")}, list("cpu", "2", "memory", "0", "ephemeral-storage", "10Gi", "pid", "32768"), nil, "systemReserved (500Mi) and kubeReserved (500Mi) and evictionHard (100Mi): nothing is left"},
		"all of it leaves nothing, also": {Reserves{System: list("memory", "1Gi")}, list("cpu", "2", "memory", "0", "ephemeral-storage", "10Gi", "pid", "32768"), nil, "nothing is left"},
	} {
		if got := c.reserves.Allocatable(box); !same(got, c.allocatable) {
			t.Errorf("%s: allocatable is %v", name, got)
		}
		if got := c.reserves.Bound(box); !same(got, c.bound) || (got == nil) != (c.bound == nil) {
			t.Errorf("%s: bound is %v", name, got)
		}
		err := c.reserves.Check(box)
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if memory := box[v1.ResourceMemory]; memory.String() != "1Gi" {
		t.Errorf("the machine has changed: %s", memory.String())
	}
}

func TestParse(t *testing.T) {
	got, err := Parse("kubeReserved", map[string]string{"cpu": "100m", "memory": "0", "ephemeral-storage": "1Gi", "pid": "100"})
	if err != nil || !same(got, list("cpu", "100m", "memory", "0", "ephemeral-storage", "1Gi", "pid", "100")) {
		t.Error(got, err)
	}
	for name, c := range map[string]struct{ key, value, wrong string }{
		"a unit that is none": {"memory", "1Gx", `kubeReserved.memory: "1Gx" is not a quantity like 512Mi`},
		"less than nothing":   {"cpu", "-1", `kubeReserved.cpu: "-1" is not a quantity like 500m`},
		"misspelt":            {"memori", "1Gi", `kubeReserved: "memori" cannot be reserved; did you mean "memory"?`},
		"something else":      {"nvidia.com/gpu", "1", "what can is cpu, memory, ephemeral-storage, pid"},
	} {
		if _, err := Parse("kubeReserved", map[string]string{c.key: c.value}); err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseEnforced(t *testing.T) {
	for _, c := range []struct {
		list     string
		enforced bool
		wrong    string
	}{
		{"", false, ""},
		{"none", false, ""},
		{"pods", true, ""},
		{"pods none", false, `"none" goes with nothing else`},
		{"pods system-reserved", false, "have systemd bound the others"},
		{"kube-reserved", false, "have systemd bound the others"},
		{"pod", false, `"pod" is not pods or none`},
	} {
		enforced, err := ParseEnforced(strings.Fields(c.list))
		if enforced != c.enforced || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q: %v, %v", c.list, enforced, err)
		}
	}
}
