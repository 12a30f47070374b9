package allocate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
)

// Room is what pods may request of the machine together, and what becomes of one that does not fit beside the others.
type Room struct {
	// Allocatable is what there is for pods. What it does not name is not looked at.
	Allocatable v1.ResourceList
	// Refuse: a pod that does not fit does not begin. Otherwise it does, and that is told.
	Refuse bool
	// Waiting are the pods that are about to ask for room, or were refused for want of it; nil for none.
	Waiting func() []*v1.Pod
	// Told is told of a pod that begins though it does not fit, once for what it requests.
	Told func(pod *v1.Pod, message string)
}

// counted are the resources whose requests are summed up.
var counted = []v1.ResourceName{v1.ResourceMemory, v1.ResourceCPU, v1.ResourceEphemeralStorage}

// Bound sets what there is for pods. It is called before the first claim.
func (c *Claims) Bound(r Room) { c.room = r }

// NoRoom says of which resource there is too little for a pod: milliCPUs or bytes.
type NoRoom struct {
	Resource                     v1.ResourceName
	Requested, Used, Allocatable int64
	// promised is what pods have that are first in turn and have not begun yet.
	promised int64
}

// Reason is the kubelet's (pkg/kubelet/lifecycle/predicate.go).
func (n *NoRoom) Reason() string { return manifests.ReasonNoRoom + string(n.Resource) }

// Error begins with the kubelet's words.
func (n *NoRoom) Error() string {
	text := fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", n.Resource, n.Requested, n.Used, n.Allocatable)
	text += fmt.Sprintf(": it asks for %s, other pods have %s of the %s that there are for pods", n.amount(n.Requested), n.amount(n.Used), n.amount(n.Allocatable))
	if n.promised > 0 {
		text += fmt.Sprintf(", and %s are for pods that come first", n.amount(n.promised))
	}
	return text + "; request less, or remove a pod"
}

func (n *NoRoom) amount(value int64) string {
	if n.Resource == v1.ResourceCPU {
		return resource.NewMilliQuantity(value, resource.DecimalSI).String()
	}
	return resource.NewQuantity(value, resource.BinarySI).String()
}

// amountOf is a request as NoRoom counts it.
func amountOf(list v1.ResourceList, name v1.ResourceName) int64 {
	q := list[name]
	if name == v1.ResourceCPU {
		return amount.Milli(q)
	}
	return amount.Whole(q)
}

// waiting are the pods that wait for room; nobody looks at them where none is refused.
func (c *Claims) waiting() []*v1.Pod {
	if !c.room.Refuse || c.room.Waiting == nil {
		return nil
	}
	return c.room.Waiting()
}

// fits says why a pod must not begin, or what is to be told of it when it does all the same. The lock is held.
func (c *Claims) fits(pod *v1.Pod, waiting []*v1.Pod) (over *NoRoom, err error) {
	first := slices.DeleteFunc(slices.Clone(waiting), func(p *v1.Pod) bool {
		_, has := c.pods[string(p.UID)]
		return has || p.UID == pod.UID || order(p, pod) >= 0
	})
	lacks := c.room.lacks(pod, c.heldByOthers(pod), first)
	if lacks != nil && c.room.Refuse {
		c.crowded = true
		return nil, lacks
	}
	return c.untold(pod, lacks), nil
}

func (c *Claims) heldByOthers(pod *v1.Pod) (held []v1.ResourceList) {
	for uid, h := range c.pods {
		if uid != string(pod.UID) {
			held = append(held, h.requests)
		}
	}
	return held
}

// untold is what is to be told of a pod: nothing that was told of what it requests.
func (c *Claims) untold(pod *v1.Pod, lacks *NoRoom) *NoRoom {
	uid, asks := string(pod.UID), fmt.Sprint(manifests.TotalRequests(pod))
	switch {
	case lacks == nil:
		delete(c.told, uid)
	case c.room.Told == nil || c.told[uid] == asks:
		return nil
	default:
		c.told[uid] = asks
	}
	return lacks
}

// order is that in which pods get room: by priority, then by name. So a reboot gives the same choice, however fast each of them is.
func order(a, b *v1.Pod) int {
	return cmp.Or(-cmp.Compare(manifests.Priority(a), manifests.Priority(b)), strings.Compare(manifests.Key(a), manifests.Key(b)), cmp.Compare(a.UID, b.UID))
}

// lacks is the first resource of which there is too little for a pod: others hold some of it already, and those that wait before it get
// theirs first, as far as they fit.
func (r *Room) lacks(pod *v1.Pod, held []v1.ResourceList, waiting []*v1.Pod) *NoRoom {
	used, promised := map[v1.ResourceName]int64{}, map[v1.ResourceName]int64{}
	for _, list := range held {
		add(used, list)
	}
	slices.SortFunc(waiting, order)
	for _, p := range waiting {
		if requests := manifests.TotalRequests(p); r.short(requests, used, promised) == nil {
			add(promised, requests)
		}
	}
	return r.short(manifests.TotalRequests(pod), used, promised)
}

func (r *Room) short(requests v1.ResourceList, used, promised map[v1.ResourceName]int64) *NoRoom {
	for _, name := range counted {
		if _, known := r.Allocatable[name]; !known {
			continue
		}
		asks, has := amountOf(requests, name), amountOf(r.Allocatable, name)
		if asks > 0 && amount.Sum(amount.Sum(asks, used[name]), promised[name]) > has {
			return &NoRoom{name, asks, used[name], has, promised[name]}
		}
	}
	return nil
}

func add(sum map[v1.ResourceName]int64, list v1.ResourceList) {
	for _, name := range counted {
		sum[name] = amount.Sum(sum[name], amountOf(list, name))
	}
}

// Resize notes what a pod that runs requests from now on, and says whether others may have waited for that. It is not refused: the pod
// would have to end.
func (c *Claims) Resize(pod *v1.Pod) (freed bool) {
	over, freed := c.resize(pod)
	if over != nil {
		c.room.Told(pod, over.Error())
	}
	return freed
}

func (c *Claims) resize(pod *v1.Pod) (over *NoRoom, freed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	uid, requests := string(pod.UID), manifests.TotalRequests(pod)
	h, has := c.pods[uid]
	if !has || equality.Semantic.DeepEqual(h.requests, requests) {
		return nil, false
	}
	h.requests = requests
	c.pods[uid] = h
	freed, c.crowded = c.crowded, false
	return c.untold(pod, c.room.lacks(pod, c.heldByOthers(pod), nil)), freed
}

// Requested is what the pods that have begun request together.
func (c *Claims) Requested() v1.ResourceList {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := map[v1.ResourceName]int64{}
	for _, h := range c.pods {
		add(sum, h.requests)
	}
	return v1.ResourceList{
		v1.ResourceMemory:           *resource.NewQuantity(sum[v1.ResourceMemory], resource.BinarySI),
		v1.ResourceCPU:              *resource.NewMilliQuantity(sum[v1.ResourceCPU], resource.DecimalSI),
		v1.ResourceEphemeralStorage: *resource.NewQuantity(sum[v1.ResourceEphemeralStorage], resource.BinarySI),
	}
}
