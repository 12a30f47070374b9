// Package total counts kills for memory: of each pod by container and by whose limit was hit, and those of no pod. A kill is counted once and
// for good, as what it was taken for at first; its record may say more later.
package total

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/solopod/solopod/oom/record"
)

// mostPods bounds the pods that are counted. Nobody forgets those of a machine without a runner, or which never come back.
const mostPods = 2000

// Key is what kills of a pod are counted by. Container is empty where it is not known.
type Key struct {
	Container string
	Owner     record.Owner
}

// Pod has a pod's kills.
type Pod struct {
	Name  record.PodName
	Kills map[Key]uint64
}

// Totals counts since Solopod is on the machine. It is not safe for concurrent use.
type Totals struct {
	// Pods are by their UIDs. They are those that had a kill.
	Pods map[string]Pod
	// Node are kills of no pod.
	Node map[record.Owner]uint64
	// Early: Solopod is on the machine for the first time, and what the kernel has said before is not all counted for the node yet.
	Early bool

	// order are the pods' UIDs as they came.
	order []string
	// seen are pods that there were.
	seen map[string]bool
}

// Add counts n kills that are as r says.
func (t *Totals) Add(r record.Record, n uint64) {
	if r.Pod.UID == "" {
		if t.Node == nil {
			t.Node = map[record.Owner]uint64{}
		}
		t.Node[r.Owner] += n
		return
	}
	p := t.pod(r.Pod)
	p.Kills[Key{r.Container, r.Owner}] += n
}

func (t *Totals) pod(name record.PodName) Pod {
	p, ok := t.Pods[name.UID]
	switch {
	case !ok:
		if t.Pods == nil {
			t.Pods = map[string]Pod{}
		}
		if len(t.order) >= mostPods {
			t.drop(t.order[0])
		}
		p = Pod{name, map[Key]uint64{}}
		t.Pods[name.UID], t.order = p, append(t.order, name.UID)
	case p.Name.Name == "" && name.Name != "":
		p.Name = name
		t.Pods[name.UID] = p
	}
	return p
}

func (t *Totals) drop(uid string) {
	delete(t.Pods, uid)
	t.order = slices.DeleteFunc(t.order, func(other string) bool { return other == uid })
}

// Keep forgets the pods that are gone: that were there when Keep was called before, and are not any more. All is true when who asks is sure
// that there are no others. A nil there is of who does not know yet.
func (t *Totals) Keep(there map[string]bool, all bool) {
	if there == nil {
		return
	}
	for uid := range t.Pods {
		if !there[uid] && (all || t.seen[uid]) {
			t.drop(uid)
		}
	}
	t.seen = maps.Clone(there)
}

// Clone is a copy that nobody changes.
func (t *Totals) Clone() Totals {
	out := Totals{Pods: maps.Clone(t.Pods), Node: maps.Clone(t.Node)}
	for uid, p := range out.Pods {
		out.Pods[uid] = Pod{p.Name, maps.Clone(p.Kills)}
	}
	return out
}

// Sum is how many kills there are altogether.
func (t *Totals) Sum() (n uint64) {
	for _, p := range t.Pods {
		for _, kills := range p.Kills {
			n += kills
		}
	}
	for _, kills := range t.Node {
		n += kills
	}
	return n
}

// Kept is the form in which totals are kept.
type Kept struct {
	Pods []KeptPod               `json:"pods,omitempty"`
	Node map[record.Owner]uint64 `json:"node,omitempty"`
}

// KeptPod is a pod's part of that.
type KeptPod struct {
	Name  record.PodName                     `json:"pod"`
	Kills map[string]map[record.Owner]uint64 `json:"kills"` // by container
}

// Kept is what is to be kept; nobody changes it.
func (t *Totals) Kept() Kept {
	out := Kept{Node: maps.Clone(t.Node)}
	for _, uid := range t.order {
		kept := KeptPod{t.Pods[uid].Name, map[string]map[record.Owner]uint64{}}
		for key, n := range t.Pods[uid].Kills {
			if kept.Kills[key.Container] == nil {
				kept.Kills[key.Container] = map[record.Owner]uint64{}
			}
			kept.Kills[key.Container][key.Owner] = n
		}
		out.Pods = append(out.Pods, kept)
	}
	return out
}

// Of takes up what was kept. What makes no sense in it, as after damage, is left out.
func Of(k Kept) (t Totals) {
	good := func(owner record.Owner, n uint64) bool {
		return slices.Contains(record.Owners, owner) && n < math.MaxUint32
	}
	for owner, n := range k.Node {
		if good(owner, n) {
			t.Add(record.Record{Owner: owner}, n)
		}
	}
	for _, p := range k.Pods {
		for container, kills := range p.Kills {
			for owner, n := range kills {
				if p.Name.UID != "" && good(owner, n) {
					t.Add(record.Record{Pod: p.Name, Container: strings.ToValidUTF8(container, ""), Owner: owner}, n)
				}
			}
		}
	}
	return t
}
