// Package pressure says what the machine runs short of, as the conditions of a Kubernetes node have it: memory, disks, processes, and
// whether pods' network can be used.
//
// Nothing is measured while nobody asks. What is measured may never answer, a disk above all: who asks waits a moment at most, and gets
// what was known before.
package pressure

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/eviction/threshold"
)

const (
	// fresh is for how long a measurement is good enough.
	fresh = 10 * time.Second
	// limit is how long a disk may take to tell of itself; it takes microseconds.
	limit = time.Second
)

// Machine tells how much there is. Its methods may hang.
type Machine interface {
	// Memory is that of the machine in bytes, and what programs can still have of it.
	Memory() (total, available uint64, err error)
	// Disk is the file system that a directory lies on.
	Disk(dir string) (Disk, error)
	// Processes is how many there are, threads counted, and how many there can be.
	Processes() (count, most uint64, err error)
	// Network says why pods' network cannot be used; nil means that it can.
	Network() error
}

// Disk is what a file system has, in bytes and in files. Files is 0 where it has no bound of them.
type Disk struct {
	Size, Available  uint64
	Files, FilesFree uint64
}

// Config says what is measured, and what of it is too little.
type Config struct {
	// Root is the directory of pods' own data, Images that of containerd's; empty where an outside containerd keeps them.
	Root, Images string
	Thresholds   []threshold.Threshold
	// Hold is for how long a condition of something that was short goes on when it is no more, so that it does not come and go.
	Hold time.Duration
}

// Conditions are those of a node. They are safe for concurrent use.
type Conditions struct {
	machine Machine
	config  Config
	report  func(eventType, reason, message string)
	places  aside.Places
	turn    chan struct{}
	now     func() time.Time

	mu       sync.Mutex
	known    []v1.NodeCondition
	measured time.Time
	// short is what was short last, by condition.
	short map[v1.NodeConditionType]shortage
}

// shortage is that something was short at a time.
type shortage struct {
	finding
	at time.Time
}

// New makes the conditions of a machine. report is told, without a lock held, when a condition has changed.
func New(m Machine, c Config, report func(eventType, reason, message string)) *Conditions {
	return &Conditions{machine: m, config: c, report: report, turn: make(chan struct{}, 1), now: time.Now, short: map[v1.NodeConditionType]shortage{}}
}

// Note takes it that somebody who watches has found a condition to hold. It returns whether that was not known: then the next Get
// measures anew.
func (c *Conditions) Note(kind v1.NodeConditionType, message string) bool {
	for _, w := range []words{memoryPressure, diskPressure, pidPressure} {
		if w.kind == kind {
			return c.note(w.is(true, message, ""))
		}
	}
	return false
}

func (c *Conditions) note(f finding) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.short[f.kind] = shortage{f, c.now()}
	if slices.ContainsFunc(c.known, func(k v1.NodeCondition) bool { return k.Type == f.kind && k.Status == v1.ConditionTrue }) {
		return false
	}
	c.measured = time.Time{}
	return true
}

// hold has conditions go on that held a short while ago.
func (c *Conditions) hold(found []finding) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, f := range found {
		last, known := c.short[f.kind]
		since := now.Sub(last.at)
		switch {
		case f.kind == networkUnavailable.kind:
		case f.status == v1.ConditionTrue:
			c.short[f.kind] = shortage{f, now}
		case f.status == v1.ConditionFalse && known && since >= 0 && since < c.config.Hold:
			found[i] = last.finding
			found[i].message += fmt.Sprintf("; that was so %s ago, and it counts as over after %s", since.Round(time.Second), c.config.Hold)
		}
	}
}

// Get are the conditions, measured some seconds ago at most, where the machine answers. Each says since when it is as it is. What is measured
// is for all: it has limits of its own, and does not end with who asks, which would leave that it is not known.
func (c *Conditions) Get() []v1.NodeCondition {
	known, good := c.last()
	if good {
		return known
	}
	if known == nil { // there is nothing to answer before it is measured
		c.turn <- struct{}{} // who has it is done within the limits
	} else {
		select {
		case c.turn <- struct{}{}:
		default: // somebody measures
			return known
		}
	}
	defer func() { <-c.turn }()
	if known, good = c.last(); good { // somebody has measured meanwhile
		return known
	}
	c.measure()
	known, _ = c.last()
	return known
}

// last are the conditions that were measured last, and whether they are good enough.
func (c *Conditions) last() (known []v1.NodeCondition, good bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := c.now().Sub(c.measured)
	return c.known, c.known != nil && since < fresh && since >= 0
}

// measure is called by one at a time.
func (c *Conditions) measure() {
	found := make([]finding, 4)
	var wg sync.WaitGroup
	for i, look := range []func() finding{
		func() finding {
			return c.ask("memory", memoryPressure, func() (finding, error) {
				total, available, err := c.machine.Memory()
				return judgeMemory(c.config.Thresholds, total, available), err
			})
		},
		func() finding { return c.disks() },
		func() finding {
			return c.ask("processes", pidPressure, func() (finding, error) {
				count, most, err := c.machine.Processes()
				return judgeProcesses(c.config.Thresholds, count, most), err
			})
		},
		func() finding {
			return c.ask("the network's configuration", networkUnavailable, func() (finding, error) {
				return judgeNetwork(c.machine.Network()), nil
			})
		},
	} {
		wg.Go(func() { found[i] = look() })
	}
	wg.Wait()
	c.hold(found)
	before, _ := c.last()
	after, changed := merge(before, found, c.now())
	c.mu.Lock()
	c.known, c.measured = after, c.now()
	c.mu.Unlock()
	for _, f := range changed {
		eventType := v1.EventTypeNormal
		if f.status != v1.ConditionFalse {
			eventType = v1.EventTypeWarning
		}
		c.report(eventType, f.reason, f.message)
	}
}

// disks is the worst of what the disks say.
func (c *Conditions) disks() finding {
	worst := finding{kind: v1.NodeDiskPressure}
	for _, d := range []disk{
		{"nodefs", c.config.Root, threshold.NodeSpace, threshold.NodeFiles}, {"imagefs", c.config.Images, threshold.ImageSpace, threshold.ImageFiles},
	} {
		if d.dir == "" {
			continue
		}
		f := c.ask(d.dir, diskPressure, func() (finding, error) {
			found, err := c.machine.Disk(d.dir)
			return judgeDisk(c.config.Thresholds, d, found), err
		})
		if worst.status == "" || severity(f) > severity(worst) {
			worst = f
		}
	}
	return worst
}

// ask has something measured, and says Unknown where it does not answer.
func (c *Conditions) ask(place string, kind words, measure func() (finding, error)) finding {
	f, err := aside.Do(context.Background(), &c.places, place, limit, measure)
	if err != nil {
		return finding{kind: kind.kind, status: v1.ConditionUnknown, reason: kind.unknown, message: fmt.Sprintf("it could not be measured: %v", err)}
	}
	return f
}

// merge are the conditions after what was found, and which of them have changed since before; none has at the first time, unless
// something is wrong.
func merge(before []v1.NodeCondition, found []finding, now time.Time) (after []v1.NodeCondition, changed []finding) {
	at := metav1.NewTime(now.Truncate(time.Second))
	for _, f := range found {
		c := v1.NodeCondition{Type: f.kind, Status: f.status, Reason: f.reason, Message: f.message, LastHeartbeatTime: at, LastTransitionTime: at}
		known := false
		for _, b := range before {
			if b.Type != f.kind {
				continue
			}
			known = true
			if b.Status == f.status {
				c.LastTransitionTime = b.LastTransitionTime
			} else {
				changed = append(changed, f)
			}
		}
		if !known && f.status != v1.ConditionFalse {
			changed = append(changed, f)
		}
		after = append(after, c)
	}
	return after, changed
}
