// Package monitor turns cgroup and network counters into Prometheus metrics with cAdvisor's and the kubelet's names and labels
// and into the kubelet's stats summary, and the state of pods into metrics with kube-state-metrics' names. It reads when it is
// asked and never acts; between scrapes it does nothing but let go of files. Only what takes a walk through files is measured in the background
// (monitor/usage), while somebody asks for it.
package monitor

import (
	"errors"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/monitor/exposition"
	"github.com/solopod/solopod/monitor/machine"
	"github.com/solopod/solopod/monitor/usage"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/turn"
)

// Source says who runs; the Runner is one.
type Source interface {
	Targets() []runner.Target
}

// Monitor reads the cgroups of containers, of their pods, and of the machine. It is safe for concurrent use.
type Monitor struct {
	source Source
	// pods is the cgroup of all pods together.
	pods string
	// usage is what pods take up on disks, which it measures in the background; nil when nobody does.
	usage   *usage.Meter
	machine *machine.Machine
	owner   *exposition.Owner // of the machine's parts

	// turn is had by one scrape at a time; what follows is its.
	turn     turn.Turn
	readers  map[string]*reader // by cgroup
	open     int                // files of theirs
	mostOpen int
	networks map[string][]Interface // by pod UID
	rates    map[string]rate        // by cgroup
	hosts    []Interface            // of the machine, as they were read last
	own      []Interface            // those of them that do not lead to pods
	cadvisor *exposition.Endpoint[cgroupSource]
	resource *exposition.Endpoint[resourceSource]
	forget   *time.Timer
	// resting: nobody has asked for a while, and what was gone by then was let go of.
	resting bool
}

// New makes a Monitor. pods is the cgroup of all pods together; dirs are directories whose file systems count as the machine's; u, which
// may be nil, knows what pods take up on disks.
func New(s Source, pods string, dirs []string, u *usage.Meter) *Monitor {
	m := &Monitor{
		source: s, pods: pods, usage: u, machine: machine.New(dirs), turn: turn.New(turnLimit, ErrBusy), mostOpen: mostOpen(),
		cadvisor: newEndpoint(cadvisorFamilies), resource: newEndpoint(resourceFamilies),
	}
	m.owner = exposition.NewOwner("machine", "boot_id", m.machine.BootID, "machine_id", m.machine.ID, "system_uuid", m.machine.SystemUUID)
	m.reset()
	m.forget = time.AfterFunc(dropAfter, m.rest)
	m.forget.Stop() // nothing is open before the first scrape
	return m
}

// ErrBusy says that another scrape has not ended for a while.
var ErrBusy = errors.New("an earlier scrape does not end")

// turnLimit is how long a scrape waits for others. One takes milliseconds, but the kernel may hold who asks for a cgroup's
// counters: then others give up.
const turnLimit = 10 * time.Second

// openShare is the part of the files that the process may have open which stay open from one scrape to the next: without the others it
// can start no container.
const openShare = 4

func mostOpen() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur/openShare, math.MaxInt32))
}

// keepOpen is how long the kernel's files stay open after a scrape: an open one costs the kernel a page. Those of cgroups that are gone are
// let go of by the next scrape, or after dropAfter when there is none: after a storm of pods there may be thousands.
const keepOpen, dropAfter = 5 * time.Minute, 90 * time.Second

// rest closes files when nobody asks any more.
func (m *Monitor) rest() {
	leave, ok := m.turn.Try()
	if !ok { // a scrape goes on, or hangs
		m.forget.Reset(dropAfter)
		return
	}
	defer leave()
	if m.resting {
		m.reset()
		return
	}
	m.resting = true
	m.drop(m.used(m.source.Targets()))
	m.forget.Reset(keepOpen - dropAfter)
}

// used is what is read of these: cgroups, and networks by their pods' UIDs.
func (m *Monitor) used(targets []runner.Target) map[string]bool {
	used := map[string]bool{"/": true, m.pods: true}
	for i := range targets {
		if t := &targets[i]; t.Running {
			used[t.Cgroup], used[t.PodCgroup] = true, true
			used[t.UID] = used[t.UID] || !t.HostNetwork
		}
	}
	return used
}

// reset closes all files and forgets everything.
func (m *Monitor) reset() {
	for _, r := range m.readers {
		m.close(r)
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
	m.resting = false
	m.forget.Reset(dropAfter)
	targets := m.source.Targets()
	var out []sample
	for i := range targets {
		t := &targets[i]
		if len(out) == 0 || out[len(out)-1].UID != t.UID {
			out = append(out, sample{Target: *t})
		}
		s := &out[len(out)-1]
		c := containerSample{Target: t}
		if t.Running {
			c.stats = m.stats(t.Cgroup, details, t.Limits)
			if s.pod == nil {
				s.pod = m.stats(t.PodCgroup, details, t.PodLimits)
				if !t.HostNetwork {
					m.networks[t.UID] = readInterfaces(t.Pid, m.networks[t.UID], podInterfaces)
					s.network = m.networks[t.UID]
				}
			}
		}
		s.containers = append(s.containers, c)
	}
	for i := range out {
		out[i].sum()
	}
	m.drop(m.used(targets))
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

// together samples the cgroup of all pods; nil before the first one.
func (m *Monitor) together(details bool) *Stats {
	if r := m.readers[m.pods]; r != nil {
		r.limited = false // nobody says when its limits change
	}
	s := m.stats(m.pods, details, "")
	if _, ok := s.get(memoryUsage); !ok {
		return nil
	}
	return s
}

func (m *Monitor) stats(cgroup string, details bool, limits string) *Stats {
	r := m.readers[cgroup]
	if r == nil || r.incomplete {
		r = m.reopen(cgroup)
	}
	s := r.read(details, limits)
	if r.gone { // it was removed; it may have been made anew under the same path
		r = m.reopen(cgroup)
		s = r.read(details, limits)
	}
	if m.open > m.mostOpen {
		m.close(r)
		r.incomplete = true // the next scrape opens its files again
	}
	return s
}

func (m *Monitor) reopen(cgroup string) *reader {
	if old := m.readers[cgroup]; old != nil {
		m.close(old)
	}
	r := openReader(cgroup)
	m.readers[cgroup] = r
	m.open += len(r.files)
	return r
}

func (m *Monitor) close(r *reader) {
	m.open -= len(r.files)
	r.close()
}

// drop lets go of what is no longer there.
func (m *Monitor) drop(used map[string]bool) {
	for path, r := range m.readers {
		if !used[path] {
			m.close(r)
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
