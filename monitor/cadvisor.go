package monitor

import (
	"bytes"
	"context"
	"time"

	"github.com/solopod/solopod/monitor/exposition"
)

// WriteContainers writes what stands behind /metrics/cadvisor. It fails when ctx ends, or an earlier scrape does not end.
func (m *Monitor) WriteContainers(ctx context.Context, w *bytes.Buffer) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	e := m.cadvisor
	e.Begin()
	now := float64(time.Now().Unix())
	for _, p := range m.read(true) {
		for _, c := range p.containers {
			if c.stats != nil {
				o := cgroupOwner(e, c.Cgroup, c.Cgroup, c.Container, c.Image, c.ID, c.Namespace, c.Pod)
				e.Add(o, &cgroupSource{stats: c.stats, machine: m.machine, started: float64(c.StartedAt.UnixNano()) / 1e9, seen: now})
			}
			// Over all attempts, and with labels that stay, so that a kill is not lost between two scrapes.
			o := cgroupOwner(e, "oom "+c.UID+" "+c.Container+" "+c.Image, "", c.Container, c.Image, "", c.Namespace, c.Pod)
			e.Add(o, &cgroupSource{kills: c.OOMKills, counted: true})
		}
		if p.pod == nil {
			continue
		}
		o := cgroupOwner(e, p.PodCgroup, p.PodCgroup, "", "", "", p.Namespace, p.Pod)
		e.Add(o, &cgroupSource{stats: p.pod, machine: m.machine, seen: now, network: p.network})
	}
	m.addMachine(e, now)
	e.Write(w)
	return nil
}

// cgroupOwner has the labels that cAdvisor's families share.
func cgroupOwner(e *exposition.Endpoint[cgroupSource], key, id, container, image, name, namespace, pod string) *exposition.Owner {
	return e.Owner(key, "container", container, "id", id, "image", image, "name", name, "namespace", namespace, "pod", pod)
}

// addMachine adds what is told of the whole machine: its root cgroup, its file systems, its hardware.
func (m *Monitor) addMachine(e *exposition.Endpoint[cgroupSource], now float64) {
	s := &cgroupSource{
		stats: m.root(true), machine: m.machine, seen: now, started: float64(m.machine.booted.Unix()), fileSystems: m.machine.fileSystems(),
	}
	var devices []string
	for _, f := range s.fileSystems {
		devices = append(devices, f.device)
	}
	s.disks = readDisks(devices)
	e.Add(cgroupOwner(e, "/", "/", "", "", "", "", ""), s)
	e.Add(m.machine.owner, &cgroupSource{constants: &m.machine.constants})
}

// root samples the machine's root cgroup. Where that does not count memory, as in cgroup v2, the kernel's own figures stand in.
func (m *Monitor) root(details bool) *Stats {
	s := m.stats("/", details, "")
	if _, ok := s.get(memoryUsage); !ok {
		memory := readMemory()
		s.set(memoryUsage, memory.total-memory.free)
		s.set(memoryWorkingSet, memory.total-memory.available)
	}
	return s
}
