package cli

import (
	"fmt"
	"slices"

	"github.com/solopod/solopod/runner/reserve"
	"github.com/solopod/solopod/runner/room"
)

// What becomes of a pod whose requests do not fit beside those of others.
const (
	admissionWarn   = "warn"
	admissionRefuse = "refuse"
)

// reservePods is what enforceNodeAllocatable has by default, as the kubelet's.
const reservePods = "pods"

const aReserve = "an object of quantities, in quotes where they are numbers, like {cpu: 500m, memory: 256Mi, ephemeral-storage: 1Gi, pid: '1000'}"

// reserves is what is kept of the machine.
func (c *config) reserves() (out reserve.Reserves, err error) {
	if out.System, err = reserve.Parse("systemReserved", c.SystemReserved); err != nil {
		return out, err
	}
	if out.Kube, err = reserve.Parse("kubeReserved", c.KubeReserved); err != nil {
		return out, err
	}
	out.Enforced, err = reserve.ParseEnforced(c.EnforceNodeAllocatable)
	return out, err
}

// room is what pods have of the machine.
func (c *config) room() (room.Settings, error) {
	reserves, err := c.reserves()
	s := room.Settings{Reserves: reserves, Refuse: c.Admission == admissionRefuse}
	if c.MemoryQoS {
		s.Throttling = c.MemoryThrottlingFactor
	}
	return s, err
}

// validateReserves says what is wrong with the settings of reserves, admission and memory.
func (c *config) validateReserves(add func(key string, err error)) {
	_, err := c.reserves()
	add(firstKey(err, "systemReserved", "kubeReserved", "enforceNodeAllocatable"))
	if !slices.Contains([]string{admissionWarn, admissionRefuse}, c.Admission) {
		add("admission", fmt.Errorf("%q is not %s", c.Admission, settingForms["admission"]))
	}
	if f := c.MemoryThrottlingFactor; f <= 0 || f > 1 {
		add("memoryThrottlingFactor", fmt.Errorf("%v is not %s", f, settingForms["memoryThrottlingFactor"]))
	}
}
