package monitor

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/solopod/solopod/monitor/machine"
	"github.com/solopod/solopod/monitor/usage"
	"github.com/solopod/solopod/runner/storage"
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

// firstMeasure is how long the first answer in a while waits for what pods take up on disks, which is measured in the background. Later
// ones wait for nothing.
const firstMeasure = 250 * time.Millisecond

// Summary is the kubelet's /stats/summary. node is the machine's name. Without onlyCPUAndMemory networks and file systems are told
// as well. Nanocores are those since the last time that somebody asked, and absent in the first answer. It fails when ctx ends, or an
// earlier scrape does not end.
func (m *Monitor) Summary(ctx context.Context, node string, onlyCPUAndMemory bool) (*stats.Summary, error) {
	var disks map[string]*usage.Pod
	if !onlyCPUAndMemory && m.usage != nil {
		m.usage.Await(ctx, usage.Everything, firstMeasure)
		disks = m.usage.Pods()
	}
	leave, err := m.turn.Take(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	now := time.Now()
	s := summary{Monitor: m, now: now, at: metav1.NewTime(now), whole: !onlyCPUAndMemory}
	if s.whole {
		s.fileSystems = m.machine.FileSystems()
	}
	out := &stats.Summary{Pods: []stats.PodStats{}}
	for _, p := range m.read(s.whole) {
		if p.pod != nil {
			out.Pods = append(out.Pods, s.pod(&p, disks[p.UID]))
		}
	}
	out.Node = s.node(node)
	return out, nil
}

// summary is one answer that is being made.
type summary struct {
	*Monitor
	now time.Time
	at  metav1.Time
	// whole: more is told than processors and memory.
	whole       bool
	fileSystems []machine.FileSystem // Solopod's root directory comes first: pods and images lie there
}

// pod is what is told of a pod; disk is nil when nothing is known of it.
func (s *summary) pod(p *sample, disk *usage.Pod) stats.PodStats {
	out := stats.PodStats{
		PodRef:    stats.PodReference{Name: p.Pod, Namespace: p.Namespace, UID: p.UID},
		StartTime: metav1.NewTime(p.PodStartedAt), Containers: []stats.ContainerStats{},
		CPU: s.cpu(p.PodCgroup, p.pod, s.now), Memory: memory(p.pod, s.at), IO: io(p.pod, s.at), Swap: swap(p.pod, s.at),
	}
	for _, c := range p.containers {
		if c.stats == nil {
			continue
		}
		container := stats.ContainerStats{
			Name: c.Container, StartTime: metav1.NewTime(c.StartedAt),
			CPU: s.cpu(c.Cgroup, c.stats, s.now), Memory: memory(c.stats, s.at), IO: io(c.stats, s.at), Swap: swap(c.stats, s.at),
		}
		if s.whole && disk != nil {
			container.Rootfs, container.Logs = found(disk.Layers, c.Container), found(disk.Logs, c.Container)
		}
		out.Containers = append(out.Containers, container)
	}
	if !s.whole {
		return out
	}
	out.Network = network(p.network, s.at)
	out.ProcessStats = &stats.ProcessStats{ProcessCount: count(p.pod, processes)}
	if disk == nil {
		return out
	}
	for _, v := range disk.Volumes {
		volume := stats.VolumeStats{Name: v.Name, FsStats: *taken(v.Measured)}
		if v.Claim != "" {
			volume.PVCRef = &stats.PVCReference{Name: v.Claim, Namespace: p.Namespace}
		}
		out.VolumeStats = append(out.VolumeStats, volume)
	}
	if disk.Ephemeral != nil && len(s.fileSystems) > 0 {
		fs := fileSystemStats(s.fileSystems[0], metav1.NewTime(disk.Ephemeral.At))
		fs.UsedBytes, fs.InodesUsed = whole(float64(disk.Ephemeral.Bytes)), whole(float64(disk.Ephemeral.Space.Inodes))
		out.EphemeralStorage = fs
	}
	return out
}

// node is what is told of the machine.
func (s *summary) node(name string) stats.NodeStats {
	root := s.root(s.whole)
	out := stats.NodeStats{
		NodeName: name, StartTime: metav1.NewTime(s.machine.Booted), CPU: s.cpu("/", root, s.now), Memory: memory(root, s.at), IO: io(root, s.at),
	}
	out.Swap = &stats.SwapStats{
		Time: s.at, SwapAvailableBytes: whole(root.values[memorySwapLimit] - root.values[memorySwap]), SwapUsageBytes: whole(root.values[memorySwap]),
	}
	if !s.whole {
		return out
	}
	out.Network = network(s.interfaces(), s.at)
	if len(s.fileSystems) > 0 {
		fs := fileSystemStats(s.fileSystems[0], s.at)
		out.Fs, out.Runtime = fs, &stats.RuntimeStats{ImageFs: fs, ContainerFs: fs}
	}
	if most, ok := root.get(threadsMax); ok {
		most, now := int64(most), int64(root.values[threads])
		out.Rlimit = &stats.RlimitStats{Time: s.at, MaxPID: &most, NumOfRunningProcesses: &now}
	}
	return out
}

func fileSystemStats(f machine.FileSystem, at metav1.Time) *stats.FsStats {
	return &stats.FsStats{
		Time: at, CapacityBytes: whole(f.Capacity), AvailableBytes: whole(f.Available), UsedBytes: whole(f.Capacity - f.Free),
		Inodes: whole(f.Inodes), InodesFree: whole(f.InodesFree), InodesUsed: whole(f.Inodes - f.InodesFree),
	}
}

// taken is what a place takes up, and the file system that it lies on.
func taken(m storage.Measured) *stats.FsStats {
	used, files := uint64(max(m.Bytes, 0)), uint64(max(m.Space.Inodes, 0))
	return &stats.FsStats{
		Time: metav1.NewTime(m.At), CapacityBytes: &m.Capacity, AvailableBytes: &m.Available, UsedBytes: &used,
		Inodes: &m.FileSystem.Inodes, InodesFree: &m.InodesFree, InodesUsed: &files,
	}
}

// found is what of a container has been measured; nil when that is not known.
func found(of map[string]storage.Measured, container string) *stats.FsStats {
	if m, ok := of[container]; ok {
		return taken(m)
	}
	return nil
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
