package monitor

import (
	"context"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// rate is the last reading of a cgroup's processor time, and the use that it came to.
type rate struct {
	at    time.Time
	usage float64 // seconds
	cores float64
	known bool
}

// minRate is the shortest time that a rate is computed over, maxRate the longest.
const (
	minRate = time.Second
	maxRate = 5 * time.Minute
)

// cores is how many processors a cgroup uses, since the last time that somebody asked; not known when that was never, or long
// ago.
func (m *Monitor) cores(cgroup string, usage float64, now time.Time) (float64, bool) {
	last := m.rates[cgroup]
	since := now.Sub(last.at)
	switch {
	case since < minRate:
		return last.cores, last.known
	case since > maxRate || usage < last.usage:
		m.rates[cgroup] = rate{at: now, usage: usage}
		return 0, false
	}
	r := rate{at: now, usage: usage, cores: (usage - last.usage) / since.Seconds(), known: true}
	m.rates[cgroup] = r
	return r.cores, true
}

// Summary is the kubelet's /stats/summary. node is the machine's name. Without onlyCPUAndMemory networks and file systems are told
// as well. Nanocores are those since the last time that somebody asked, and absent in the first answer. It fails when ctx ends, or an
// earlier scrape does not end.
func (m *Monitor) Summary(ctx context.Context, node string, onlyCPUAndMemory bool) (*stats.Summary, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	now := time.Now()
	at := metav1.NewTime(now)
	out := &stats.Summary{Pods: []stats.PodStats{}}
	var disks []fileSystem
	if !onlyCPUAndMemory {
		disks = m.machine.fileSystems()
	}
	pods := m.read(!onlyCPUAndMemory)
	var logs map[string]float64
	if len(disks) > 0 {
		logs = m.sizesOfLogs(pods)
	}
	for _, p := range pods {
		if p.pod == nil {
			continue
		}
		pod := stats.PodStats{
			PodRef:    stats.PodReference{Name: p.Pod, Namespace: p.Namespace, UID: p.UID},
			StartTime: metav1.NewTime(p.PodStartedAt), Containers: []stats.ContainerStats{},
			CPU: m.cpu(p.PodCgroup, p.pod, now), Memory: memory(p.pod, at), IO: io(p.pod, at), Swap: swap(p.pod, at),
		}
		for _, c := range p.containers {
			if c.stats == nil {
				continue
			}
			container := stats.ContainerStats{
				Name: c.Container, StartTime: metav1.NewTime(c.StartedAt),
				CPU: m.cpu(c.Cgroup, c.stats, now), Memory: memory(c.stats, at), IO: io(c.stats, at), Swap: swap(c.stats, at),
			}
			if len(disks) > 0 {
				// How much a container has written is not counted here: it would be looked for at every request.
				container.Rootfs, container.Logs = disks[0].stats(at), disks[0].stats(at)
				container.Rootfs.UsedBytes, container.Rootfs.InodesUsed, container.Logs.InodesUsed = nil, nil, nil
				container.Logs.UsedBytes = nil
				if size, ok := logs[c.LogDir]; ok {
					container.Logs.UsedBytes = whole(size)
				}
			}
			pod.Containers = append(pod.Containers, container)
		}
		if !onlyCPUAndMemory {
			pod.Network = network(p.network, at)
			pod.ProcessStats = &stats.ProcessStats{ProcessCount: count(p.pod, processes)}
		}
		out.Pods = append(out.Pods, pod)
	}
	root, machine := m.root(!onlyCPUAndMemory), readMemory()
	out.Node = stats.NodeStats{NodeName: node, StartTime: metav1.NewTime(m.machine.booted), CPU: m.cpu("/", root, now), Memory: memory(root, at), IO: io(root, at)}
	out.Node.Memory.AvailableBytes = whole(machine.total - root.values[memoryWorkingSet])
	out.Node.Swap = &stats.SwapStats{Time: at, SwapAvailableBytes: whole(machine.swapFree), SwapUsageBytes: whole(machine.swapTotal - machine.swapFree)}
	if onlyCPUAndMemory {
		return out, nil
	}
	out.Node.Network = network(readInterfaces(1, nil), at)
	if len(disks) > 0 { // Solopod's root directory comes first: pods and images lie there
		fs := disks[0].stats(at)
		out.Node.Fs, out.Node.Runtime = fs, &stats.RuntimeStats{ImageFs: fs, ContainerFs: fs}
	}
	return out, nil
}

func (f fileSystem) stats(at metav1.Time) *stats.FsStats {
	return &stats.FsStats{
		Time: at, CapacityBytes: whole(f.capacity), AvailableBytes: whole(f.available), UsedBytes: whole(f.capacity - f.free),
		Inodes: whole(f.inodes), InodesFree: whole(f.inodesFree), InodesUsed: whole(f.inodes - f.inodesFree),
	}
}

// sizesOfLogs adds up the files of the directories that hold the logs of running containers; none where the disk does not answer.
func (m *Monitor) sizesOfLogs(pods []sample) map[string]float64 {
	var dirs []string
	for _, p := range pods {
		for _, c := range p.containers {
			if c.stats != nil {
				dirs = append(dirs, c.LogDir)
			}
		}
	}
	sizes, _ := m.logSizes.ask(func() map[string]float64 {
		out := map[string]float64{}
		for _, dir := range dirs {
			if size, err := sizeOf(dir); err == nil {
				out[dir] = size
			}
		}
		return out
	})
	return sizes
}

// sizeOf adds up the files of a directory of logs.
func sizeOf(dir string) (total float64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += float64(info.Size())
		}
	}
	return total, nil
}

func whole(v float64) *uint64 {
	n := uint64(max(v, 0))
	return &n
}

// count is a number, or nil where the kernel does not tell it.
func count(s *Stats, k key) *uint64 {
	if v, ok := s.get(k); ok {
		return whole(v)
	}
	return nil
}

func (m *Monitor) cpu(cgroup string, s *Stats, now time.Time) *stats.CPUStats {
	out := &stats.CPUStats{Time: metav1.NewTime(now), PSI: psi(s, cpuWaiting, cpuStalled)}
	if usage, ok := s.get(cpuUsage); ok {
		out.UsageCoreNanoSeconds = whole(usage * 1e9)
		if cores, known := m.cores(cgroup, usage, now); known {
			out.UsageNanoCores = whole(cores * 1e9)
		}
	}
	return out
}

func memory(s *Stats, at metav1.Time) *stats.MemoryStats {
	out := &stats.MemoryStats{
		Time: at, UsageBytes: count(s, memoryUsage), WorkingSetBytes: count(s, memoryWorkingSet), RSSBytes: count(s, memoryRSS),
		PageFaults: count(s, pageFaults), MajorPageFaults: count(s, majorFaults), PSI: psi(s, memoryWaiting, memoryStalled),
	}
	limit, _ := s.get(memoryLimit)
	if used, ok := s.get(memoryWorkingSet); ok && limit > 0 {
		out.AvailableBytes = whole(limit - used)
	}
	return out
}

func io(s *Stats, at metav1.Time) *stats.IOStats {
	if p := psi(s, ioWaiting, ioStalled); p != nil {
		return &stats.IOStats{Time: at, PSI: p}
	}
	return nil
}

func swap(s *Stats, at metav1.Time) *stats.SwapStats {
	if used := count(s, memorySwap); used != nil {
		return &stats.SwapStats{Time: at, SwapUsageBytes: used}
	}
	return nil
}

func psi(s *Stats, some, full key) *stats.PSIStats {
	data := func(k key) stats.PSIData {
		average := s.averages[k-cpuWaiting]
		return stats.PSIData{Total: uint64(s.values[k] * 1e9), Avg10: average[0], Avg60: average[1], Avg300: average[2]}
	}
	if _, ok := s.get(some); !ok {
		return nil
	}
	out := &stats.PSIStats{Some: data(some)}
	if _, ok := s.get(full); ok {
		out.Full = data(full)
	}
	return out
}

func network(list []Interface, at metav1.Time) *stats.NetworkStats {
	if len(list) == 0 {
		return nil
	}
	out := &stats.NetworkStats{Time: at}
	for _, i := range list {
		out.Interfaces = append(out.Interfaces, stats.InterfaceStats{
			Name: i.Name, RxBytes: whole(i.Receive[0]), RxErrors: whole(i.Receive[2]), TxBytes: whole(i.Transmit[0]), TxErrors: whole(i.Transmit[2]),
		})
	}
	out.InterfaceStats = out.Interfaces[0]
	for _, i := range out.Interfaces {
		if i.Name == "eth0" { // the kubelet's default interface
			out.InterfaceStats = i
		}
	}
	return out
}
