package monitor

// key is one number that the kernel counts for a cgroup.
type key int

const (
	cpuUsage key = iota // seconds, as the next ones
	cpuUser
	cpuSystem
	cpuThrottled
	cpuPeriods // count
	cpuThrottledPeriods
	cpuBursts // count
	cpuBurst  // seconds
	cpuShares // in cgroup v1's scale, where 1024 is one processor
	cpuQuota  // microseconds; absent without a limit
	cpuPeriod
	memoryUsage // bytes
	memoryWorkingSet
	memoryRSS
	memoryCache
	memoryMapped
	memorySwap
	memoryMax
	memoryLimit // 0 means none, as for the next ones
	memoryReservation
	memorySwapLimit
	memoryDirty
	memoryWriteback
	memoryInactiveFile
	memoryActiveFile
	memoryKernel
	memoryFailures // count, as all that follow up to the processes
	memoryHighEvents
	memoryMaxEvents
	pageFaults
	majorFaults
	ownPageFaults
	ownMajorFaults
	pageScans
	pageSteals
	refaultsAnon
	refaultsFile
	processes
	threads
	threadsMax // 0 means no limit
	filesOpen
	filesLimit // of the main process, soft; absent without one
	cpuWaiting // seconds
	cpuStalled
	memoryWaiting
	memoryStalled
	ioWaiting
	ioStalled
	keyCount
)

// Stats are what the kernel counts for one cgroup. A value that this kernel does not give is absent, and so is its metric.
type Stats struct {
	values  [keyCount]float64
	present [keyCount]bool
	devices []deviceStats
	huge    []hugeStats
	// averages of pressure: shares of time in percent, over 10, 60 and 300 s; by the key of its total.
	averages [keyCount - cpuWaiting][3]float64
	// pids are the cgroup's own processes.
	pids []uint32
}

// deviceStats are what a cgroup has read from and written to a block device.
type deviceStats struct {
	major, minor                         uint32
	readBytes, writeBytes, reads, writes float64
	// costs are those of the kernel's model of a device, in seconds, where it has one: the use, and the waits for it, because of a debt, and
	// as a delay (Documentation/admin-guide/cgroup-v2.rst, blk-iocost.c).
	costs  [4]float64
	costed bool
}

// hugeStats is what a cgroup has of huge pages of one size, in bytes, and how often it got none. Negative stands for what the kernel does
// not tell.
type hugeStats struct {
	size                string // as 2MB
	usage, most, failed float64
}

// limitKeys are those that come from files of limits.
var limitKeys = [...]key{cpuShares, cpuQuota, cpuPeriod, memoryLimit, memoryReservation, memorySwapLimit, threadsMax}

// reset forgets what was read, limits only where they are read again.
func (s *Stats) reset(again bool) {
	before := s.present
	s.present = [keyCount]bool{}
	if !again {
		for _, k := range limitKeys {
			s.present[k] = before[k]
		}
	}
	s.devices, s.pids, s.huge = s.devices[:0], s.pids[:0], s.huge[:0]
	s.values[filesOpen] = 0
}

func (s *Stats) set(k key, v float64) { s.values[k], s.present[k] = v, true }

// get returns a value and whether there is one.
func (s *Stats) get(k key) (float64, bool) { return s.values[k], s.present[k] }

// device finds a device's counters, or makes them.
func (s *Stats) device(major, minor uint32) *deviceStats {
	for i := range s.devices {
		if d := &s.devices[i]; d.major == major && d.minor == minor {
			return d
		}
	}
	s.devices = append(s.devices, deviceStats{major: major, minor: minor})
	return &s.devices[len(s.devices)-1]
}

// hugepages finds what there is of pages of a size, or makes it.
func (s *Stats) hugepages(size string) *hugeStats {
	for i := range s.huge {
		if s.huge[i].size == size {
			return &s.huge[i]
		}
	}
	s.huge = append(s.huge, hugeStats{size, -1, -1, -1})
	return &s.huge[len(s.huge)-1]
}
