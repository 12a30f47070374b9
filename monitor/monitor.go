// Package monitor turns cgroup and network counters into Prometheus metrics with cAdvisor's and the kubelet's names and labels
// and into the kubelet's stats summary, and the state of pods into metrics with kube-state-metrics' names. It reads when it is
// asked and never acts; between scrapes it does nothing.
package monitor

import (
	"sync"
	"time"

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

	mu       sync.Mutex
	readers  map[string]*reader     // by cgroup
	networks map[string][]Interface // by pod UID
	rates    map[string]rate        // by cgroup
	cadvisor *exposition
	resource *exposition
	forget   *time.Timer
}

// New makes a Monitor. dirs are directories whose file systems count as the machine's.
func New(s Source, dirs []string) *Monitor {
	m := &Monitor{source: s, machine: newMachine(dirs), cadvisor: newExposition(cadvisorFamilies()), resource: newExposition(resourceFamilies)}
	m.reset()
	m.forget = time.AfterFunc(keepOpen, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.reset()
	})
	return m
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
	m.cadvisor.reset()
	m.resource.reset()
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

// read samples all pods, with details or without. m.mu is held, and the samples are good as long.
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
	if r == nil {
		r = openReader(cgroup)
		m.readers[cgroup] = r
	}
	return r.read(details, limits)
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
