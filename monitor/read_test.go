package monitor

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// files writes a small tree below a temporary directory.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range content {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// readFiles samples a cgroup of a written tree once.
func readFiles(t *testing.T, root, path string, list []file) *Stats {
	t.Helper()
	r := openFiles(root, path, list)
	t.Cleanup(r.close)
	return r.read(true, "")
}

func (s *Stats) all() map[key]float64 {
	out := map[key]float64{}
	for k := range keyCount {
		if v, ok := s.get(k); ok {
			out[k] = v
		}
	}
	return out
}

// The files are those of a 6.18 kernel, shortened.
func TestReadLegacy(t *testing.T) {
	root := files(t, map[string]string{
		"cpuacct/a/cpuacct.usage":                           "1500000000\n",
		"cpuacct/a/cpuacct.stat":                            "user 120\nsystem 30\n",
		"cpu/a/cpu.stat":                                    "nr_periods 10\nnr_throttled 4\nthrottled_time 2500000000\nwait_sum 7\nnr_bursts 2\nburst_time 500000000\n",
		"cpu/a/cpu.shares":                                  "512\n",
		"cpu/a/cpu.cfs_quota_us":                            "-1\n",
		"cpu/a/cpu.cfs_period_us":                           "100000\n",
		"memory/a/memory.usage_in_bytes":                    "8192000\n",
		"memory/a/memory.limit_in_bytes":                    "9223372036854771712\n",
		"memory/a/memory.failcnt":                           "3\n",
		"memory/a/memory.kmem.usage_in_bytes":               "77\n",
		"memory/a/memory.stat":                              "cache 1\nrss 2\npgfault 9\ntotal_cache 4096\ntotal_rss 8192\ntotal_mapped_file 512\ntotal_inactive_file 192000\ntotal_active_file 64\ntotal_workingset_refault_file 6\ntotal_pgfault 10\n",
		"pids/a/pids.current":                               "5\n",
		"pids/a/pids.max":                                   "max\n",
		"pids/a/cgroup.procs":                               "4194303\n4194302\n",
		"memory/b/memory.limit_in_bytes":                    "67108864\n",
		"memory/b/memory.usage_in_bytes":                    "not a number\n",
		"memory/b/memory.max_usage_in_bytes":                "",
		"blkio/a/blkio.throttle.io_service_bytes_recursive": "8:16 Read 4096\n8:16 Write 512\n8:16 Sync 0\n8:16 Total 4608\nTotal 4608\n",
		"blkio/a/blkio.throttle.io_serviced_recursive":      "8:16 Read 2\n8:16 Write 1\nTotal 3\n",
	})
	s := readFiles(t, root, "/a", legacyFiles)
	want := map[key]float64{
		cpuUsage: 1.5, cpuUser: 1.2, cpuSystem: 0.3, cpuPeriods: 10, cpuThrottledPeriods: 4, cpuThrottled: 2.5, cpuShares: 512, cpuPeriod: 100000,
		memoryUsage: 8192000, memoryWorkingSet: 8000000, memoryLimit: 0, memoryFailures: 3, memoryCache: 4096, memoryRSS: 8192, memoryMapped: 512,
		memoryInactiveFile: 192000, ownPageFaults: 9, pageFaults: 10, threads: 5, threadsMax: 0, processes: 2,
		cpuBursts: 2, cpuBurst: 0.5, memoryKernel: 77, memoryActiveFile: 64, refaultsFile: 6,
	}
	if got := s.all(); !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if want := []deviceStats{{major: 8, minor: 16, readBytes: 4096, writeBytes: 512, reads: 2, writes: 1}}; !slices.Equal(s.devices, want) {
		t.Errorf("devices: %v, want %v", s.devices, want)
	}
	if got := readFiles(t, root, "/b", legacyFiles).all(); !maps.Equal(got, map[key]float64{memoryLimit: 64 << 20}) {
		t.Errorf("what is not there is not absent: %v", got)
	}
}

func TestReadUnified(t *testing.T) {
	root := files(t, map[string]string{
		"cpu.stat": "usage_usec 1500000\nuser_usec 1200000\nsystem_usec 300000\nnice_usec 0\nnr_periods 10\nnr_throttled 4\n" +
			"throttled_usec 2500000\nnr_bursts 3\nburst_usec 250000\n",
		"cpu.weight": "39\n", "cpu.max": "50000 100000\n",
		"memory.current": "8192000\n", "memory.peak": "9000000\n", "memory.swap.current": "0\n", "memory.max": "max\n",
		"memory.stat":   "anon 8192\nfile 4096\nkernel 100\nfile_mapped 512\ninactive_file 192000\nactive_file 1\npgfault 7\n",
		"memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
		"pids.current":  "5\n",
		"cpu.pressure":  "some avg10=0.00 avg60=1.50 avg300=12.10 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n",
		"io.pressure":   "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 total=many\n",
		"io.stat":       "254:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0 cost.usage=3000000 cost.wait=500000\n8:0 \n7:0 rbytes=1\n",
		"cgroup.procs":  "", "container/cgroup.procs": "4194303\n",
	})
	s := readFiles(t, root, "/", unifiedFiles)
	want := map[key]float64{
		cpuUsage: 1.5, cpuUser: 1.2, cpuSystem: 0.3, cpuPeriods: 10, cpuThrottledPeriods: 4, cpuThrottled: 2.5, cpuShares: 998, cpuQuota: 50000, cpuPeriod: 100000,
		memoryUsage: 8192000, memoryWorkingSet: 8000000, memoryMax: 9000000, memorySwap: 0, memoryLimit: 0, memoryFailures: 3, memoryCache: 4096,
		memoryRSS: 8192, memoryMapped: 512, memoryInactiveFile: 192000, pageFaults: 7, threads: 5, processes: 1,
		cpuBursts: 3, cpuBurst: 0.25, memoryKernel: 100, memoryActiveFile: 1, memoryHighEvents: 0, memoryMaxEvents: 3,
		cpuWaiting: 2.5, cpuStalled: 0.5, ioWaiting: 0,
	}
	if got := s.all(); !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if got := s.averages[0]; got != [3]float64{0, 1.5, 12.1} {
		t.Errorf("averages of pressure: %v", got)
	}
	if want := []deviceStats{
		{254, 0, 4096, 512, 2, 1, [4]float64{3, 0.5}, true}, {major: 8}, {major: 7, readBytes: 1},
	}; !slices.Equal(s.devices, want) {
		t.Errorf("devices: %v, want %v", s.devices, want)
	}
}

// Huge pages are told of where the machine has some.
func TestReadHugepages(t *testing.T) {
	root := files(t, map[string]string{
		"sizes/hugepages-2048kB/nr_hugepages": "4\n", "sizes/hugepages-1048576kB/nr_hugepages": "0\n", "sizes/hugepages-64kB/nr_hugepages": "9\n",
		"hugetlb/a/hugetlb.2MB.usage_in_bytes": "2097152\n", "hugetlb/a/hugetlb.2MB.max_usage_in_bytes": "4194304\n", "hugetlb/a/hugetlb.2MB.failcnt": "3\n",
		"hugetlb/a/hugetlb.1GB.usage_in_bytes": "1\n",
		"b/hugetlb.64KB.current":               "65536\n", "b/hugetlb.64KB.events": "max 5\n",
	})
	for _, c := range []struct {
		path    string
		unified bool
		want    []hugeStats
	}{
		{"/a", false, []hugeStats{{"2MB", 2097152, 4194304, 3}}},
		{"/b", true, []hugeStats{{"64KB", 65536, -1, 5}}},
	} {
		for range 2 {
			if got := readFiles(t, root, c.path, hugepageFiles(filepath.Join(root, "sizes"), c.unified)).huge; !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.path, got, c.want)
			}
		}
	}
	if got := hugepageFiles(filepath.Join(root, "none"), true); len(got) > 0 {
		t.Errorf("without huge pages: %v", got)
	}
}

func TestParseInterfaces(t *testing.T) {
	text := `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 1000 20 3 4 0 0 0 0 500 6 7 8 0 0 0 0
tap0:1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0
  bad0: x 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0
  cut0: 1 2
`
	want := []Interface{
		{"eth0", [4]float64{1000, 20, 3, 4}, [4]float64{500, 6, 7, 8}}, {"tap0", [4]float64{1, 2, 3, 4}, [4]float64{5, 6, 7, 8}},
	}
	var list []Interface
	for range 2 { // the second time into what the first made
		list = parseInterfaces([]byte(text), list, 10)
		if !slices.Equal(list, want) {
			t.Errorf("got %v\nwant %v", list, want)
		}
	}
	if got := parseInterfaces([]byte("  tap0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"), list, 10); len(got) != 1 || got[0].Name != "tap0" {
		t.Errorf("after another interface went: %v", got)
	}
	if got := parseInterfaces([]byte(text), nil, 1); !slices.Equal(got, want[:1]) {
		t.Errorf("of more than there may be: %v", got)
	}
}

// The machine's own counters can be read: the root cgroup's processor time, an interface, the processor's cores.
func TestReal(t *testing.T) {
	m := New(nil, "/none", []string{"/", t.TempDir()}, nil)
	s := m.root(true)
	cpu, _ := s.get(cpuUsage)
	memory, _ := s.get(memoryWorkingSet)
	if cpu <= 0 || memory <= 0 {
		t.Errorf("the machine has used %v s and uses %v bytes", cpu, memory)
	}
	if _, err := os.Stat("/sys/class/net/eth0"); err == nil && len(readInterfaces(uint32(os.Getpid()), nil, 10)) == 0 {
		t.Error("no interface is found")
	}
	if c := m.machine.Parts; c.Cores < 1 || c.Sockets < 1 || c.Memory < 1<<24 {
		t.Errorf("the machine is %v", c)
	}
	if fs := m.machine.FileSystems(); len(fs) == 0 || fs[0].Capacity <= 0 {
		t.Errorf("file systems: %v", fs)
	}
}

// A sample of a living cgroup costs no allocation.
func TestAllocations(t *testing.T) {
	r := openReader("/")
	defer r.close()
	r.read(true, "")
	if n := testing.AllocsPerRun(100, func() { r.read(true, "") }); n > 0 {
		t.Errorf("a sample of %d files makes %v allocations", len(r.files), n)
	}
}

// A file may be longer than the buffer, and the next one shorter.
func TestReadAll(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 1000)
	root := files(t, map[string]string{"long": long, "short": "x", "empty": ""})
	buf := make([]byte, 16)
	for _, name := range []string{"short", "long", "short", "empty", "long"} {
		f, err := os.Open(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(int(f.Fd()), &buf); err != nil || string(got) != string(want) {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readAll(-1, &buf); err != unix.EBADF { //nolint:errorlint // a plain number
		t.Errorf("no file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a 1\nb 2\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12\n8:1 Read 5\n8:1 rbytes=1 wbytes=\nsome avg10=0.11 total=5"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		for _, list := range [][]file{legacyFiles, unifiedFiles} {
			s := Stats{}
			for _, file := range list {
				file.parse(&s, b)
			}
		}
		parseInterfaces(b, nil, podInterfaces)
	})
}
