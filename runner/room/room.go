// Package room holds pods to what is theirs of the machine: it tells those who take care of it what is kept for the rest.
package room

import (
	"maps"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/runner/allocate"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/event"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/reserve"
)

// Settings are what somebody has decided about it.
type Settings struct {
	Reserves reserve.Reserves
	// Refuse: pods whose requests do not fit beside those of others do not begin.
	Refuse bool
	// Throttling is the factor of MemoryQoS; zero switches it off.
	Throttling float64
}

// Room is what pods have of the machine.
type Room struct {
	allocatable v1.ResourceList
	claims      *allocate.Claims
}

// Hold has the cgroups, and the claims, keep to the settings on a machine of that capacity. It is called before the first pod begins.
// waiting are the pods that are about to ask for room.
func Hold(s Settings, capacity v1.ResourceList, cgroups *cgroup.Manager, claims *allocate.Claims, events *event.Log, waiting func() []*v1.Pod) (*Room, error) {
	all := maps.Clone(capacity)
	if _, most, err := host.Tasks(); err == nil {
		all[reserve.PIDs] = *resource.NewQuantity(int64(most), resource.DecimalSI)
	}
	if err := s.Reserves.Check(all); err != nil {
		return nil, err
	}
	allocatable := s.Reserves.Allocatable(capacity)
	warn := func(reason, message string) { events.Node(v1.EventTypeWarning, reason, message) }
	cgroups.Together = cgroup.Together{
		Bound: s.Reserves.Bound(all), Tell: warn,
		Memory: cgroup.MemoryQoS{Factor: s.Throttling, Allocatable: amount.Whole(*allocatable.Memory())},
	}
	if s.Throttling > 0 && !cgroup.Unified() {
		warn("MemoryQoSUnavailable", "memoryQoS has no effect: it needs cgroup v2, and this machine has v1; boot it with systemd.unified_cgroup_hierarchy=1, or leave the setting away")
	}
	claims.Bound(allocate.Room{
		Allocatable: allocatable, Refuse: s.Refuse, Waiting: waiting,
		Told: func(pod *v1.Pod, message string) {
			events.Pod(pod, "", v1.EventTypeWarning, "Overcommitted", "the pod runs all the same (admission: warn): %s", message)
		},
	})
	return &Room{allocatable, claims}, nil
}

// Allocatable is what pods may request of the machine together.
func (r *Room) Allocatable() v1.ResourceList { return r.allocatable.DeepCopy() }

// Requested is what the pods that have begun request together.
func (r *Room) Requested() v1.ResourceList { return r.claims.Requested() }
