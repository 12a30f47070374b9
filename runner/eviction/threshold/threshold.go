// Package threshold has what must be left of the machine before pods are evicted, in the kubelet's terms
// (pkg/kubelet/eviction/helpers.go, and "Node-pressure Eviction" in Kubernetes' documentation): signals, thresholds, their grace periods
// and what is to be reclaimed at least. It is pure.
package threshold

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests/amount"
)

// Signal is something that a machine can run short of.
type Signal string

// The signals. nodefs is the file system of pods' data, imagefs that of images and of what containers write into their root file systems.
const (
	Memory     Signal = "memory.available"
	NodeSpace  Signal = "nodefs.available"
	NodeFiles  Signal = "nodefs.inodesFree"
	ImageSpace Signal = "imagefs.available"
	ImageFiles Signal = "imagefs.inodesFree"
	Processes  Signal = "pid.available"
)

// Signals are all there are, in the order in which they are dealt with: memory first, as the kubelet does.
var Signals = []Signal{Memory, NodeSpace, NodeFiles, ImageSpace, ImageFiles, Processes}

// Resource is what the kubelet calls in its messages what is short (signalToResource).
func (s Signal) Resource() string {
	switch s {
	case Memory:
		return "memory"
	case NodeSpace, ImageSpace:
		return "ephemeral-storage"
	case NodeFiles, ImageFiles:
		return "inodes"
	default:
		return "pids"
	}
}

// Condition is the node's condition that tells of the signal.
func (s Signal) Condition() v1.NodeConditionType {
	switch s {
	case Memory:
		return v1.NodeMemoryPressure
	case Processes:
		return v1.NodePIDPressure
	default:
		return v1.NodeDiskPressure
	}
}

// counted: the signal's amounts are numbers of files or processes, not bytes.
func (s Signal) counted() bool { return s == NodeFiles || s == ImageFiles || s == Processes }

// Format writes an amount of the signal, as people read it.
func (s Signal) Format(n uint64) string {
	value := resource.NewQuantity(int64(min(n, math.MaxInt64)), resource.BinarySI) //nolint:gosec // bounded
	if s.counted() {
		return strconv.FormatUint(n, 10)
	}
	if n >= 1<<20 { // more than that is not told apart
		value.Set(value.Value() >> 20 << 20)
	}
	return value.String()
}

// Amount is so many bytes, files or processes, or a part of the capacity.
type Amount struct {
	// Quantity counts where Part is zero.
	Quantity uint64
	// Part is of the capacity: 0.1 is 10 %.
	Part float64
}

// Of is how much the amount is of a capacity.
func (a Amount) Of(capacity uint64) uint64 {
	if a.Part == 0 {
		return a.Quantity
	}
	return min(uint64(a.Part*float64(capacity)), capacity)
}

// much is more than there is of anything that a part is taken of.
const much = 1 << 50

// none says that it is nothing: also a part of which nothing comes, whatever it is of.
func (a Amount) none() bool { return a.Of(much) == 0 }

// Text is the amount, of a signal, as people read it.
func (a Amount) Text(s Signal) string {
	if a.Part != 0 {
		return strconv.FormatFloat(100*a.Part, 'f', -1, 64) + "%"
	}
	return s.Format(a.Quantity)
}

// Threshold is what must be left of a signal.
type Threshold struct {
	Signal Signal
	Least  Amount
	// Soft ones must have been crossed for Grace, and pods get time to end; others take effect at once.
	Soft  bool
	Grace time.Duration
	// Reclaim is what must be had beyond Least, once the threshold has been crossed, for it to count as not crossed any more.
	Reclaim Amount
}

// Level is what there is of a signal. Capacity is 0 where there is no bound of it.
type Level struct{ Available, Capacity uint64 }

// Crossed says whether too little is left; met, that it was too little before, and less than Reclaim has been had since.
func (t Threshold) Crossed(l Level, met bool) bool {
	if l.Capacity == 0 {
		return false
	}
	least := t.Least.Of(l.Capacity)
	if met {
		least += t.Reclaim.Of(l.Capacity)
	}
	return l.Available < least
}

// Missing is how much would have to be had for the threshold to count as not crossed.
func (t Threshold) Missing(l Level) uint64 {
	wanted := t.Least.Of(l.Capacity) + t.Reclaim.Of(l.Capacity)
	return wanted - min(wanted, l.Available)
}

// Left is how much of a signal there is beyond the nearest of its thresholds that is not crossed: none where all are. bounded is false
// where it has none, or no bound.
func Left(list []Threshold, s Signal, l Level) (left uint64, bounded bool) {
	for _, t := range list {
		if t.Signal != s || l.Capacity == 0 {
			continue
		}
		bounded = true
		if least := t.Least.Of(l.Capacity); l.Available > least && (left == 0 || l.Available-least < left) {
			left = l.Available - least
		}
	}
	return left, bounded
}

// Kept is what hard thresholds keep off pods, of what a machine has: of memory and of the disk of pods' data, as in a kubelet's allocatable.
func Kept(list []Threshold, capacity v1.ResourceList) v1.ResourceList {
	out := v1.ResourceList{}
	for _, t := range list {
		name := v1.ResourceMemory
		if t.Signal == NodeSpace {
			name = v1.ResourceEphemeralStorage
		}
		of, ok := capacity[name]
		if t.Soft || t.Signal != Memory && t.Signal != NodeSpace || !ok || of.Sign() <= 0 {
			continue
		}
		least := t.Least.Of(uint64(amount.Whole(of)))                                          //nolint:gosec // above zero
		out[name] = *resource.NewQuantity(int64(min(least, math.MaxInt64)), resource.BinarySI) //nolint:gosec // bounded
	}
	return out
}

// parseAmount reads 100Mi, or 10%.
func parseAmount(text string) (Amount, error) {
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		n, err := strconv.ParseFloat(percent, 64)
		switch {
		case err != nil || math.IsNaN(n) || n < 0:
			return Amount{}, fmt.Errorf("%q is no part: write one like 10%%", text)
		case n > 100:
			return Amount{}, fmt.Errorf("%q is more than 100 %%, which there cannot be", text)
		}
		return Amount{Part: n / 100}, nil
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return Amount{}, fmt.Errorf("%q is neither a quantity like 100Mi nor a part like 10%%", text)
	}
	if q.Sign() < 0 {
		return Amount{}, fmt.Errorf("%q cannot be negative", text)
	}
	return Amount{Quantity: uint64(amount.Whole(q))}, nil //nolint:gosec // not negative
}
