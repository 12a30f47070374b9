// Package reserve says what of the machine pods may have, and what is kept for the rest of it. It is pure.
package reserve

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests/spelling"
)

// PIDs is the kubelet's word for processes, threads counted.
const PIDs v1.ResourceName = "pid"

// names are what can be reserved.
var names = []string{string(v1.ResourceCPU), string(v1.ResourceMemory), string(v1.ResourceEphemeralStorage), string(PIDs)}

// Reserves is what is kept of the machine.
type Reserves struct {
	// System is for the system's own programs, Kube for Solopod and containerd. Eviction is what the hard thresholds of evictions keep free.
	System, Kube, Eviction v1.ResourceList
	// Enforced: the kernel bounds all pods together.
	Enforced bool
}

// source is one of the settings that take something away.
type source struct {
	setting string
	of      v1.ResourceList
}

func (r Reserves) sources() []source {
	return []source{{"systemReserved", r.System}, {"kubeReserved", r.Kube}, {"evictionHard", r.Eviction}}
}

// Allocatable is what pods may ask for of what the machine has: what is not kept, and never less than nothing.
func (r Reserves) Allocatable(capacity v1.ResourceList) v1.ResourceList {
	return without(capacity, r.System, r.Kube, r.Eviction)
}

// Bound is what all pods together may use of what the machine has, of the resources of which something is reserved; nil where nothing is
// enforced. What evictions keep free is not taken off, as by the kubelet (pkg/kubelet/cm/node_container_manager_linux.go): they begin
// before the bound is reached.
func (r Reserves) Bound(capacity v1.ResourceList) v1.ResourceList {
	if !r.Enforced {
		return nil
	}
	out := without(capacity, r.System, r.Kube)
	for name := range out {
		system, kube := r.System[name], r.Kube[name]
		if system.IsZero() && kube.IsZero() {
			delete(out, name)
		}
	}
	return out
}

func without(capacity v1.ResourceList, kept ...v1.ResourceList) v1.ResourceList {
	out := v1.ResourceList{}
	for name, has := range capacity {
		left := has.DeepCopy()
		for _, list := range kept {
			if q, ok := list[name]; ok {
				left.Sub(q)
			}
		}
		if left.Sign() < 0 {
			left.Set(0)
		}
		out[name] = left
	}
	return out
}

// Check says which settings leave nothing of the machine for pods, if they do. What the machine has of a resource may not be known.
func (r Reserves) Check(capacity v1.ResourceList) error {
	for _, known := range names {
		name := v1.ResourceName(known)
		has, ok := capacity[name]
		if !ok || has.IsZero() {
			continue
		}
		var parts []string
		left := has.DeepCopy()
		for _, s := range r.sources() {
			if q, ok := s.of[name]; ok && !q.IsZero() {
				left.Sub(q)
				parts = append(parts, fmt.Sprintf("%s (%s)", s.setting, q.String()))
			}
		}
		if len(parts) > 0 && left.Sign() <= 0 {
			return fmt.Errorf("%s: nothing is left for pods of the machine's %s (%s); reserve less", strings.Join(parts, " and "), name, has.String())
		}
	}
	return nil
}

// Parse reads the quantities of a setting. Errors name the setting and the key in it.
func Parse(setting string, text map[string]string) (v1.ResourceList, error) {
	out := v1.ResourceList{}
	for _, name := range slices.Sorted(maps.Keys(text)) { // what is wrong first is told, the same each time
		value := text[name]
		if !slices.Contains(names, name) {
			if near := spelling.Nearest(name, names); near != "" {
				return nil, fmt.Errorf("%s: %q cannot be reserved; did you mean %q?", setting, name, near)
			}
			return nil, fmt.Errorf("%s: %q cannot be reserved; what can is %s", setting, name, strings.Join(names, ", "))
		}
		q, err := resource.ParseQuantity(value)
		if err != nil || q.Sign() < 0 {
			return nil, fmt.Errorf("%s.%s: %q is not a quantity like %s", setting, name, value, example(name))
		}
		out[v1.ResourceName(name)] = q
	}
	return out, nil
}

func example(name string) string {
	switch name {
	case string(v1.ResourceCPU):
		return "500m"
	case string(PIDs):
		return "1000"
	default:
		return "512Mi"
	}
}

// Words of enforceNodeAllocatable.
const (
	none           = "none"
	pods           = "pods"
	systemReserved = "system-reserved"
	kubeReserved   = "kube-reserved"
)

// ParseEnforced reads what enforceNodeAllocatable has.
func ParseEnforced(list []string) (enforced bool, err error) {
	const setting = "enforceNodeAllocatable"
	words := []string{none, pods}
	for _, word := range list {
		switch {
		case word == systemReserved || word == kubeReserved:
			return false, fmt.Errorf("%s: %q is not enforced: Solopod bounds no cgroup but that of its pods; have systemd bound the others (MemoryMax= of a slice), and write [pods]", setting, word)
		case !slices.Contains(words, word):
			return false, fmt.Errorf("%s: %q is not pods or none", setting, word)
		case word == none && len(list) > 1:
			return false, fmt.Errorf("%s: %q goes with nothing else", setting, word)
		}
		enforced = enforced || word == pods
	}
	return enforced, nil
}
