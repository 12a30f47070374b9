package machine

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
)

func TestParseDisks(t *testing.T) {
	text := " 254       0 vda 100 2 3000 40 500 6 7000 80 9 1000 1100 0 0 0 0 12 13\n 254       1 vda1 1 1 1 1 1 1 1 1 1 1 1\n   7 0 loop0 0 0 0\n 8 0 sda x 2 3 4 5 6 7 8 9 10 11\n"
	want := []Disk{{"/dev/vda", [11]float64{100, 2, 3000, 40, 500, 6, 7000, 80, 9, 1000, 1100}}}
	if got := parseDisks([]byte(text), []string{"/dev/vda", "/dev/sda", "/dev/none"}); !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// A file system that does not answer costs one scrape a moment, the next ones nothing, and answers again when it does.
func TestAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a aside[int]
		hangs, begun := make(chan struct{}), time.Now()
		for n, want := range []time.Duration{asideLimit, 0, 0} {
			before := time.Now()
			if _, answered := a.ask(func() int { <-hangs; return 1 }); answered || time.Since(before) != want {
				t.Errorf("question %d is answered %v after %s", n, answered, time.Since(before))
			}
		}
		close(hangs)
		synctest.Wait()
		if n, answered := a.ask(func() int { return 2 }); !answered || n != 2 {
			t.Errorf("the answer is %d, %v", n, answered)
		}
		if _, answered := a.ask(func() int { panic("over a file") }); answered {
			t.Error("a question whose code fails is answered")
		}
		if n, answered := a.ask(func() int { return 3 }); !answered || n != 3 {
			t.Errorf("the answer is then %d, %v", n, answered)
		}
		if took := time.Since(begun); took != asideLimit {
			t.Errorf("it all took %s", took)
		}
	})
}

// write makes files below a directory; a name that ends in a slash is a directory.
func write(t *testing.T, root string, content map[string]string) {
	t.Helper()
	for name, text := range content {
		path := filepath.Join(root, name)
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir != path {
			if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Two nodes with two cores of two threads each, and a processor that is switched off.
func TestParts(t *testing.T) {
	root := t.TempDir()
	content := map[string]string{"cpu/cpu8/online": "0", "cpu/cpufreq/policy": "", "node/possible": "0-1"}
	for cpu, c := range map[string]struct{ node, core, threads, all string }{
		"0": {"0", "0", "0,4", "0-1,4-5"}, "1": {"0", "1", "1,5", "0-1,4-5"}, "4": {"0", "0", "0,4", "0-1,4-5"}, "5": {"0", "1", "1,5", "0-1,4-5"},
		"2": {"1", "0", "2,6", "2-3,6-7"}, "3": {"1", "1", "3,7", "2-3,6-7"}, "6": {"1", "0", "2,6", "2-3,6-7"}, "7": {"1", "1", "3,7", "2-3,6-7"},
	} {
		at := "cpu/cpu" + cpu
		content[at+"/node"+c.node+"/"] = ""
		content[at+"/topology/physical_package_id"], content[at+"/topology/core_id"], content[at+"/topology/thread_siblings_list"] = c.node, c.core, c.threads
		for i, cache := range [][4]string{{"1", "Data", "32K", c.threads}, {"1", "Instruction", "64K", c.threads}, {"3", "Unified", "8192K", c.all}} {
			index := at + "/cache/index" + string(rune('0'+i))
			content[index+"/level"], content[index+"/type"], content[index+"/size"], content[index+"/shared_cpu_list"] = cache[0], cache[1], cache[2], cache[3]
		}
	}
	for _, node := range []string{"0", "1"} {
		at := "node/node" + node
		content[at+"/meminfo"] = "Node " + node + " MemTotal:       1024 kB\nNode " + node + " MemFree:        512 kB"
		content[at+"/distance"] = map[string]string{"0": "10 21", "1": "21 10"}[node]
		content[at+"/hugepages/hugepages-2048kB/nr_hugepages"] = "3"
		content["edac/mc/mc"+node+"/dimm0/dimm_mem_type"], content["edac/mc/mc"+node+"/dimm0/size"] = "Unbuffered-DDR4", "16"
	}
	write(t, root, content)
	p := readParts(root)
	if p.Cores != 4 || p.Sockets != 2 || p.Processors < 1 || p.Memory < 1<<24 {
		t.Errorf("%v cores, %v sockets, %v processors, %v bytes", p.Cores, p.Sockets, p.Processors, p.Memory)
	}
	var caches []Part[CacheID]
	for _, node := range []string{"0", "1"} {
		caches = append(caches, Part[CacheID]{CacheID{node, "", "3", "Unified"}, 8 << 20})
		for _, core := range []string{"0", "1"} {
			caches = append(caches, Part[CacheID]{CacheID{node, core, "1", "Data"}, 32 << 10}, Part[CacheID]{CacheID{node, core, "1", "Instruction"}, 64 << 10})
		}
	}
	if !slices.Equal(p.Caches, caches) {
		t.Errorf("caches: %v\nwant %v", p.Caches, caches)
	}
	if len(p.Siblings) != 8 || p.Siblings[0] != (Part[ThreadID]{ThreadID{"0", "0", "0"}, 2}) {
		t.Errorf("siblings: %v", p.Siblings)
	}
	p.Caches, p.Siblings, p.Processors, p.Memory, p.Swap = nil, nil, 0, 0, 0
	pair := func(a, b string, v float64) Part[[2]string] { return Part[[2]string]{[2]string{a, b}, v} }
	want := Parts{
		Cores: 4, Sockets: 2,
		NodeMemory: []Part[string]{{"0", 1 << 20}, {"1", 1 << 20}},
		Distances:  []Part[[2]string]{pair("0", "0", 10), pair("0", "1", 21), pair("1", "0", 21), pair("1", "1", 10)},
		Hugepages:  []Part[[2]string]{pair("0", "2048", 3), pair("1", "2048", 3)},
		Modules:    []Part[string]{{"Unbuffered-DDR4", 2}}, ModuleBytes: []Part[string]{{"Unbuffered-DDR4", 32 << 20}},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v\nwant %+v", p, want)
	}
	if p := readParts(filepath.Join(root, "none")); p.Cores != 0 || p.Caches != nil || p.Hugepages != nil {
		t.Errorf("where nothing is told: %+v", p)
	}
}

func TestListSize(t *testing.T) {
	for list, want := range map[string]float64{"": 0, "3": 1, "0-3": 4, "0-1,4-5,8": 5, "x": 0, "3-1": 0} {
		if got := size(list); got != want {
			t.Errorf("%q has %v numbers, not %v", list, got, want)
		}
	}
}

func TestMemory(t *testing.T) {
	if m := ReadMemory(); m.Total < 1<<24 || m.Available > m.Total || m.Free > m.Total {
		t.Errorf("memory: %+v", m)
	}
}

// Interfaces that lead to pods are known by their names, or as ports of a bridge; what leads elsewhere is the machine's, a card that is
// a port too.
func TestLinks(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"eth0/ifindex": "2", "eth0/iflink": "2", "eth0/uevent": "INTERFACE=eth0",
		"eth1/ifindex": "3", "eth1/iflink": "3", "eth1/brport/": "", "eth1/uevent": "INTERFACE=eth1",
		"lan.5/ifindex": "4", "lan.5/iflink": "2", "lan.5/brport/": "", "lan.5/uevent": "DEVTYPE=vlan\nINTERFACE=lan.5",
		"pair/ifindex": "5", "pair/iflink": "9", "pair/uevent": "INTERFACE=pair",
		"port/ifindex": "6", "port/iflink": "9", "port/brport/": "", "port/uevent": "INTERFACE=port",
	})
	l := links{root: root}
	got := map[string]bool{}
	for _, name := range []string{"eth0", "eth1", "lan.5", "pair", "port", "veth12ab", "cali0123", "lxc42", "docker0", "sp0123abcd", "sp0", "spare", "gone", "solopod0"} {
		if l.leadToPod(name) {
			got[name] = true
		}
	}
	if want := map[string]bool{"port": true, "veth12ab": true, "cali0123": true, "lxc42": true, "docker0": true, "sp0123abcd": true}; !maps.Equal(got, want) {
		t.Errorf("these lead to pods: %v, not %v", got, want)
	}
}

// The kernel's own files say of a real pair and a real bridge what they are.
func TestRealLinks(t *testing.T) {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "sptestbr"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(bridge) //nolint:errcheck // it goes with the test
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "sptesta", MasterIndex: bridge.Index}, PeerName: "sptestb"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(pair) //nolint:errcheck // it goes with the test
	m := New(nil)
	for name, want := range map[string]bool{"sptestbr": false, "sptesta": true, "sptestb": false} {
		if got := m.LeadsToPod(name); got != want {
			t.Errorf("%s leads to a pod: %t", name, got)
		}
	}
}
