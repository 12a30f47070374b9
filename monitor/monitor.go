// Package monitor turns cgroup and network counters into Prometheus metrics with cAdvisor's and the kubelet's names and labels
// and into the kubelet's stats summary, and the state of pods into metrics with kube-state-metrics' names. It reads when it is
// asked and never acts; between scrapes it does nothing.
package monitor

import (
	"context"
	"errors"
	"time"

	"github.com/solopod/solopod/monitor/exposition"
	"github.com/solopod/solopod/runner"
)

// Source says who runs; the Runner is one.
type Source interface {
	Targets() []runner.Target
}

// Monitor reads the cgroups of containers, of their pods, and of the machine. It is safe for concurrent use.
type Monitor struct {
	source  Source
	machine *machine

	// turn is had by one scrape at a time; what follows is its.
	turn     chan struct{}
	readers  map[string]*reader     // by cgroup
	networks map[string][]Interface // by pod UID
	rates    map[string]rate        // by cgroup
	logSizes aside[map[string]float64]
	cadvisor *exposition.Endpoint[cgroupSource]
	resource *exposition.Endpoint[resourceSource]
	forget   *time.Timer
}

// New makes a Monitor. dirs are directories whose file systems count as the machine's.
func New(s Source, dirs []string) *Monitor {
	m := &Monitor{
		source: s, machine: newMachine(dirs), turn: make(chan struct{}, 1),
		cadvisor: newEndpoint(cadvisorFamilies), resource: newEndpoint(resourceFamilies),
	}
	m.reset()
	m.forget = time.AfterFunc(keepOpen, func() {
		select {
		case m.turn <- struct{}{}:
			m.reset()
			<-m.turn
		default: // a scrape has begun, which sets the timer again
		}
	})
	return m
}

// ErrBusy says that another scrape has not ended for a while.
var ErrBusy = errors.New("an earlier scrape does not end")

// turnLimit is how long a scrape waits for others. One takes milliseconds, but the kernel may hold who asks for a cgroup's
// counters: then others give up.
const turnLimit = 10 * time.Second

// enter waits for the scrape's turn. leave must be called at its end.
func (m *Monitor) enter(ctx context.Context) (leave func(), err error) {
	timer := time.NewTimer(turnLimit)
	defer timer.Stop()
	select {
	case m.turn <- struct{}{}:
		return func() { <-m.turn }, nil
	case <-timer.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keepOpen is how long the kernel's files stay open after a scrape: an open one costs the kernel a page.
const keepOpen = 5 * time.Minute

// reset closes all files and forgets everything.
func (m *Monitor) reset() {
	for _, r := range m.readers {
		r.close()
	}
	m.readers, m.networks = map[string]*reader{}, map[string][]Interface{}
	m.rates = map[string]rate{}
	m.cadvisor.Reset()
	m.resource.Reset()
}

// sample is one pod's: its own cgroup, and its running containers.
type sample struct {
	runner.Target        // of the pod's first container
	pod           *Stats // nil when none runs
	containers    []containerSample
	network       []Interface
}

type containerSample struct {
	*runner.Target
	stats *Stats // nil when it does not run
}

// read samples all pods, with details or without. The scrape has its turn, and the samples are good as long.
func (m *Monitor) read(details bool) []sample {
	m.forget.Reset(keepOpen)
	targets := m.source.Targets()
	var out []sample
	used := map[string]bool{"/": true}
	for i := range targets {
		t := &targets[i]
		if len(out) == 0 || out[len(out)-1].UID != t.UID {
			out = append(out, sample{Target: *t})
		}
		s := &out[len(out)-1]
		c := containerSample{Target: t}
		if t.Running {
			used[t.Cgroup] = true
			c.stats = m.stats(t.Cgroup, details, t.Limits)
			if s.pod == nil {
				used[t.PodCgroup] = true
				s.pod = m.stats(t.PodCgroup, details, t.PodLimits)
				if !t.HostNetwork {
					m.networks[t.UID] = readInterfaces(t.Pid, m.networks[t.UID])
					s.network = m.networks[t.UID]
					used[t.UID] = true
				}
			}
		}
		s.containers = append(s.containers, c)
	}
	for i := range out {
		out[i].sum()
	}
	m.drop(used)
	return out
}

// sum gives the pod what the kernel tells only of the cgroup that a process is in.
func (s *sample) sum() {
	if s.pod == nil {
		return
	}
	for _, k := range []key{processes, filesOpen} {
		total, known := 0.0, false
		for _, c := range s.containers {
			if c.stats == nil {
				continue
			}
			if v, ok := c.stats.get(k); ok {
				total, known = total+v, true
			}
		}
		if known {
			s.pod.set(k, total)
		}
	}
}

func (m *Monitor) stats(cgroup string, details bool, limits string) *Stats {
	r := m.readers[cgroup]
	if r == nil || r.incomplete {
		r = m.reopen(cgroup)
	}
	s := r.read(details, limits)
	if r.gone { // it was removed; it may have been made anew under the same path
		s = m.reopen(cgroup).read(details, limits)
	}
	return s
}

func (m *Monitor) reopen(cgroup string) *reader {
	if old := m.readers[cgroup]; old != nil {
		old.close()
	}
	r := openReader(cgroup)
	m.readers[cgroup] = r
	return r
}

// drop lets go of what is no longer there.
func (m *Monitor) drop(used map[string]bool) {
	for path, r := range m.readers {
		if !used[path] {
			r.close()
			delete(m.readers, path)
			delete(m.rates, path)
		}
	}
	for uid := range m.networks {
		if !used[uid] {
			delete(m.networks, uid)
		}
	}
}
