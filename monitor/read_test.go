package monitor

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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

// The files are those of a 6.18 kernel, shortened.
func TestReadLegacy(t *testing.T) {
	root := files(t, map[string]string{
		"cpuacct/a/cpuacct.usage":          "1500000000\n",
		"cpuacct/a/cpuacct.stat":           "user 120\nsystem 30\n",
		"cpu/a/cpu.stat":                   "nr_periods 10\nnr_throttled 4\nthrottled_time 2500000000\nwait_sum 7\n",
		"memory/a/memory.usage_in_bytes":   "8192000\n",
		"memory/a/memory.limit_in_bytes":   "9223372036854771712\n",
		"memory/a/memory.failcnt":          "3\n",
		"memory/a/memory.stat":             "cache 1\nrss 2\ntotal_cache 4096\ntotal_rss 8192\ntotal_mapped_file 512\ntotal_inactive_file 192000\n",
		"pids/a/pids.current":              "5\n",
		"memory/b/memory.limit_in_bytes":   "67108864\n",
		"memory/b/memory.usage_in_bytes":   "not a number\n",
		"memory/b/memory.max_usage_in_byt": "",
	})
	s := Stats{}
	readLegacy(s, root, "/a")
	want := Stats{
		cpuUsage: 1.5, cpuUser: 1.2, cpuSystem: 0.3, cpuPeriods: 10, cpuThrottledPeriods: 4, cpuThrottled: 2.5,
		memoryUsage: 8192000, memoryLimit: 0, memoryFailures: 3, memoryCache: 4096, memoryRSS: 8192, memoryMapped: 512,
		inactiveFile: 192000, processes: 5,
	}
	if !maps.Equal(s, want) {
		t.Errorf("got %v\nwant %v", s, want)
	}
	s = Stats{}
	readLegacy(s, root, "/b")
	if !maps.Equal(s, Stats{memoryLimit: 64 << 20}) {
		t.Errorf("what is not there is not absent: %v", s)
	}
}

func TestReadUnified(t *testing.T) {
	root := files(t, map[string]string{
		"cpu.stat": "usage_usec 1500000\nuser_usec 1200000\nsystem_usec 300000\nnice_usec 0\nnr_periods 10\nnr_throttled 4\n" +
			"throttled_usec 2500000\nnr_bursts 0\n",
		"memory.current": "8192000\n", "memory.peak": "9000000\n", "memory.swap.current": "0\n", "memory.max": "max\n",
		"memory.stat":   "anon 8192\nfile 4096\nkernel 100\nfile_mapped 512\ninactive_file 192000\nactive_file 1\n",
		"memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
		"pids.current":  "5\n",
		"cpu.pressure":  "some avg10=0.00 avg60=1.50 avg300=0.10 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n",
		"io.pressure":   "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 total=many\n",
	})
	s := Stats{}
	readUnified(s, root)
	want := Stats{
		cpuUsage: 1.5, cpuUser: 1.2, cpuSystem: 0.3, cpuPeriods: 10, cpuThrottledPeriods: 4, cpuThrottled: 2.5,
		memoryUsage: 8192000, memoryMax: 9000000, memorySwap: 0, memoryLimit: 0, memoryFailures: 3, memoryCache: 4096,
		memoryRSS: 8192, memoryMapped: 512, inactiveFile: 192000, processes: 5,
		cpuWaiting: 2.5, cpuStalled: 0.5, ioWaiting: 0,
	}
	if !maps.Equal(s, want) {
		t.Errorf("got %v\nwant %v", s, want)
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
	got := parseInterfaces([]byte(text))
	want := []Interface{
		{"eth0", [4]float64{1000, 20, 3, 4}, [4]float64{500, 6, 7, 8}}, {"tap0", [4]float64{1, 2, 3, 4}, [4]float64{5, 6, 7, 8}},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// The machine's own counters can be read: the root cgroup's processor time, and an interface of this process.
func TestReal(t *testing.T) {
	if s := Read("/"); s[cpuUsage] <= 0 && s[memoryUsage] <= 0 {
		t.Errorf("the root cgroup has %v", s)
	}
	if _, err := os.Stat("/sys/class/net/eth0"); err == nil && len(ReadInterfaces(uint32(os.Getpid()))) == 0 {
		t.Error("no interface is found")
	}
}

// A file may be longer than the buffer, and the next one shorter.
func TestWithFile(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 1000)
	root := files(t, map[string]string{"long": long, "short": "x", "empty": ""})
	for _, name := range []string{"short", "long", "short", "empty", "long"} {
		want, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		called := false
		withFile(filepath.Join(root, name), func(b []byte) {
			called = true
			if string(b) != string(want) {
				t.Errorf("%s: %d bytes, want %d", name, len(b), len(want))
			}
		})
		if !called {
			t.Errorf("%s was not read", name)
		}
	}
	for _, name := range []string{"none", "."} {
		withFile(filepath.Join(root, name), func([]byte) { t.Errorf("%q was read", name) })
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a 1\nb 2\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		parseTable(Stats{}, b, map[string]target{"a": {cpuUser, 1}})
		parseInterfaces(b)
	})
}
