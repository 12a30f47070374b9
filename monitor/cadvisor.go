package monitor

import (
	"bytes"
	"context"
	"time"

	"github.com/solopod/solopod/monitor/exposition"
	"github.com/solopod/solopod/monitor/machine"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/storage"
)

// WriteContainers writes what stands behind /metrics/cadvisor. It fails when ctx ends, or an earlier scrape does not end.
func (m *Monitor) WriteContainers(ctx context.Context, w *bytes.Buffer) error {
	leave, err := m.turn.Take(ctx)
	if err != nil {
		return err
	}
	defer leave()
	e := m.cadvisor
	e.Begin()
	now := float64(time.Now().Unix())
	disks := m.fileSystems()
	layers := m.layers()
	for _, p := range m.read(true) {
		for _, c := range p.containers {
			if c.stats != nil {
				o := cgroupOwner(e, c.Cgroup, c.Cgroup, c.Container, c.Image, c.ID, c.Namespace, c.Pod)
				from := &cgroupSource{stats: c.stats, machine: m.machine, started: float64(c.StartedAt.UnixNano()) / 1e9, seen: now}
				if layer, ok := layers[c.ID]; ok && len(disks) > 0 {
					from.fileSystems = []fileSystem{{
						disks[0].device, float64(layer.Capacity), float64(layer.Bytes), float64(layer.FileSystem.Inodes), float64(layer.InodesFree),
					}}
				}
				e.Add(o, from)
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
	if all := m.together(true); all != nil {
		e.Add(cgroupOwner(e, m.pods, m.pods, "", "", "", "", ""), &cgroupSource{stats: all, machine: m.machine, seen: now})
	}
	m.addMachine(e, now, disks)
	e.Write(w)
	return nil
}

// cgroupOwner has the labels that cAdvisor's families share.
func cgroupOwner(e *exposition.Endpoint[cgroupSource], key, id, container, image, name, namespace, pod string) *exposition.Owner {
	return e.Owner(key, "container", container, "id", id, "image", image, "name", name, "namespace", namespace, "pod", pod)
}

// layers are what containers have written, by their IDs, as far as that is known: it is measured in the background.
func (m *Monitor) layers() map[string]storage.Measured {
	if m.usage == nil {
		return nil
	}
	return m.usage.Layers()
}

// fileSystems are those of the machine; Solopod's root directory, where containers' layers lie, comes first.
func (m *Monitor) fileSystems() (out []fileSystem) {
	for _, f := range m.machine.FileSystems() {
		out = append(out, fileSystem{f.Device, f.Capacity, f.Capacity - f.Free, f.Inodes, f.InodesFree})
	}
	return out
}

// addMachine adds what is told of the whole machine: its root cgroup, its network, its file systems, its hardware.
func (m *Monitor) addMachine(e *exposition.Endpoint[cgroupSource], now float64, disks []fileSystem) {
	s := &cgroupSource{
		stats: m.root(true), machine: m.machine, seen: now, started: float64(m.machine.Booted.Unix()), fileSystems: disks, network: m.interfaces(),
	}
	var devices []string
	for _, f := range disks {
		devices = append(devices, f.device)
	}
	s.disks = machine.ReadDisks(devices)
	e.Add(cgroupOwner(e, "/", "/", "", "", "", "", ""), s)
	e.Add(m.owner, &cgroupSource{parts: &m.machine.Parts})
}

// root samples the machine's root cgroup. It has no limits but the machine's own, and where it does not count memory, as in cgroup v2,
// the kernel's own figures stand in.
func (m *Monitor) root(details bool) *Stats {
	s := m.stats("/", details, "")
	memory := machine.ReadMemory()
	if _, ok := s.get(memoryUsage); !ok {
		s.set(memoryUsage, memory.Total-memory.Free)
		s.set(memoryWorkingSet, memory.Total-memory.Available)
	}
	s.set(memoryLimit, memory.Total)
	s.set(memorySwap, memory.SwapTotal-memory.SwapFree)
	s.set(memorySwapLimit, memory.SwapTotal)
	if details {
		s.set(cpuShares, 1024) // the kernel's default, which nothing competes with
		if now, most, err := host.Tasks(); err == nil {
			s.set(threads, float64(now))
			s.set(threadsMax, float64(most))
		}
	}
	return s
}

// interfaces are those of the machine, without those whose other end is in a pod.
func (m *Monitor) interfaces() []Interface {
	m.hosts = readInterfaces(1, m.hosts, machineInterfaces)
	out := m.own[:0]
	for _, i := range m.hosts {
		if !m.machine.LeadsToPod(i.Name) {
			out = append(out, i)
		}
	}
	m.own = out
	return out
}
