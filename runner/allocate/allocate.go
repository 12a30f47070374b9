// Package allocate knows what pods compete for, and which pod has what: their names, ports of the host, ranges of user ids, devices,
// SELinux levels. A pod gets all that it asks for, or nothing.
package allocate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/allocate/device"
	"github.com/solopod/solopod/runner/network"
)

// Grant is what a pod was given beside the ports of the host, which its manifest names. It is plain data for the pod's record.
type Grant struct {
	// Devices are the CDI devices that each of the pod's containers has.
	Devices device.Assignment `json:"devices,omitempty"`
	// FirstID is the host's id of the pod's user and group 0, where these are not the host's; zero otherwise.
	FirstID uint32 `json:"firstID,omitempty"`
	// SELinuxLevel is the pod's own, where SELinux confines it; empty otherwise.
	SELinuxLevel string `json:"seLinuxLevel,omitempty"`
}

// Claims knows which pod has what. It is safe for concurrent use, and its lock is held for computing only.
type Claims struct {
	devices *device.Table
	ids     idRanges
	mu      sync.Mutex
	pods    map[string]holding // by UID
	// awaited are the names, as namespace/name, that some pod was refused because another one had it.
	awaited map[string]bool
	room    Room
	// crowded: some pod was refused because there was no room for it.
	crowded bool
	// told are the pods of which it was told that they do not fit, by UID, with what they asked for.
	told map[string]string
}

// holding is what one pod has.
type holding struct {
	pod   string // namespace/name
	ports []network.Port
	// requests are what it asks for of the machine as a whole.
	requests v1.ResourceList
	Grant
}

// onlyName: nothing but its name.
func (h *holding) onlyName() bool {
	return len(h.ports) == 0 && len(h.Devices) == 0 && h.FirstID == 0 && h.SELinuxLevel == ""
}

// New begins with nothing taken. instance tells the daemons of one machine apart.
func New(instance string, devices *device.Table) *Claims {
	return &Claims{devices: devices, ids: newIDRanges(instance), pods: map[string]holding{}, awaited: map[string]bool{}, told: map[string]string{}}
}

// Take gives a pod all that its manifest asks for, in place of what it has, or fails with ErrNameTaken, ErrPortTaken,
// device.ErrTaken, ErrNoIDs, NoRoom or something that the manifest or the machine does not have: then the pod has what it had. had is what it was given
// in an earlier run, and gets again where that is possible. Descriptions of devices are read, from file systems that may not
// answer; when ctx ends before that is done nothing is taken, so who cancels Take and then calls Release leaves nothing behind.
func (c *Claims) Take(ctx context.Context, pod *v1.Pod, had Grant) (Grant, error) {
	var machine *device.Machine
	if device.Wanted(pod) {
		var err error
		if machine, err = c.devices.Read(); err != nil {
			return Grant{}, err
		}
	}
	waiting := c.waiting()
	level, err := chooseLevel(pod, had.SELinuxLevel, c.level(pod))
	if err != nil {
		return Grant{}, err
	}
	grant, over, err := c.take(ctx, pod, had, wishes{machine, level, waiting})
	if over != nil {
		c.room.Told(pod, over.Error())
	}
	return grant, err
}

// wishes is what a pod asks for, as far as it was looked for without the lock. level is reserved.
type wishes struct {
	machine *device.Machine
	level   string
	waiting []*v1.Pod
}

// level is what the pod has already.
func (c *Claims) level(pod *v1.Pod) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pods[string(pod.UID)].SELinuxLevel
}

// take does what needs the lock. The level is given back when the pod does not get it. over is what is to be told of a pod that begins
// without room for it.
func (c *Claims) take(ctx context.Context, pod *v1.Pod, had Grant, w wishes) (g Grant, over *NoRoom, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	uid := string(pod.UID)
	h, err := c.choose(ctx, pod, had, w.machine)
	if err == nil {
		over, err = c.fits(pod, w.waiting)
	}
	if err != nil {
		c.freeLevel(w.level)
		return Grant{}, nil, err
	}
	before := c.pods[uid].SELinuxLevel
	h.SELinuxLevel, h.requests = w.level, manifests.TotalRequests(pod)
	c.pods[uid] = h
	c.freeLevel(before)
	return h.Grant, over, nil
}

// choose finds what a pod can have, and notes nothing. The lock is held.
func (c *Claims) choose(ctx context.Context, pod *v1.Pod, had Grant, machine *device.Machine) (h holding, err error) {
	uid := string(pod.UID)
	if err := ctx.Err(); err != nil {
		return h, err
	}
	h.pod, h.ports = manifests.Key(pod), wantedPorts(pod)
	if err := c.nameFree(uid, h.pod); err != nil {
		return h, err
	}
	if err := c.portsFree(uid, h.ports); err != nil {
		return h, err
	}
	if machine != nil {
		if h.Devices, err = machine.Assign(pod, had.Devices, c.deviceHolder(uid)); err != nil {
			return h, err
		}
	}
	if manifests.OwnUsers(pod) {
		h.FirstID, err = c.ids.choose(had.FirstID, c.idsTaken(uid))
	}
	return h, err
}

// Adopt notes what a pod has from an earlier run, and may be using: also what another pod has as well, which the error tells of.
func (c *Claims) Adopt(pod *v1.Pod, has Grant) error {
	levelErr := keepLevel(has.SELinuxLevel, c.level(pod))
	c.mu.Lock()
	defer c.mu.Unlock()
	uid := string(pod.UID)
	h := holding{pod: manifests.Key(pod), ports: wantedPorts(pod), requests: manifests.TotalRequests(pod), Grant: has}
	errs := []error{c.nameFree(uid, h.pod), c.portsFree(uid, h.ports), levelErr}
	holder := c.deviceHolder(uid)
	for name := range exclusiveDevices(pod, has.Devices) {
		if other := holder(name); other != "" {
			errs = append(errs, fmt.Errorf("%w: %s is also used by %s", device.ErrTaken, name, other))
		}
	}
	if has.FirstID != 0 && c.idsTaken(uid)[has.FirstID] {
		errs = append(errs, fmt.Errorf("another pod has the user ids from %d on as well", has.FirstID))
	}
	c.pods[uid] = h
	return errors.Join(errs...)
}

// Release gives back all that the pod has and says whether others may wait for it.
func (c *Claims) Release(uid string) (freed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, had := c.pods[uid]
	delete(c.pods, uid)
	delete(c.told, uid)
	c.freeLevel(h.SELinuxLevel)
	awaited := c.awaited[h.pod] || c.crowded && len(h.requests) > 0
	c.crowded = c.crowded && !awaited
	delete(c.awaited, h.pod)
	return had && (awaited || !h.onlyName())
}

// freeLevel gives a level back, unless some pod has it: two that were adopted may have the same.
func (c *Claims) freeLevel(level string) {
	for _, h := range c.pods {
		if h.SELinuxLevel == level {
			return
		}
	}
	releaseLevel(level)
}

// deviceHolder says which pod but this one has a device of its own, or shares it.
func (c *Claims) deviceHolder(uid string) func(name string) string {
	return func(name string) string {
		for other, h := range c.pods {
			if other == uid {
				continue
			}
			for _, names := range h.Devices {
				if slices.Contains(names, name) {
					return h.pod
				}
			}
		}
		return ""
	}
}

// exclusiveDevices are those of an assignment that limits ask for, and so nobody else has.
func exclusiveDevices(pod *v1.Pod, a device.Assignment) map[string]bool {
	out := map[string]bool{}
	for _, c := range manifests.AllContainers(pod) {
		for _, name := range a[c.Name] {
			kind, _, _ := strings.Cut(name, "=")
			if _, limited := c.Resources.Limits[v1.ResourceName(kind)]; limited {
				out[name] = true
			}
		}
	}
	return out
}
