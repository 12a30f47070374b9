package machine

import (
	"cmp"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/solopod/solopod/runner/host"
)

// Parts are what a machine consists of. Numbers are zero, and lists empty, where it does not tell.
type Parts struct {
	Processors, Cores, Sockets float64
	Memory, Swap               float64 // bytes
	// Caches, in bytes: of a core, or with an empty core of a node.
	Caches []Part[CacheID]
	// Siblings says how many threads the core of each thread has.
	Siblings []Part[ThreadID]
	// NodeMemory is in bytes, by node.
	NodeMemory []Part[string]
	// Distances of nodes are the firmware's.
	Distances []Part[[2]string]
	// Hugepages are numbers, by node and size in KiB, as they were at the start.
	Hugepages []Part[[2]string]
	// Modules of memory, and their bytes, by type.
	Modules, ModuleBytes []Part[string]
}

// Part is a number of something.
type Part[ID any] struct {
	Of    ID
	Value float64
}

// CacheID names caches that are told together.
type CacheID struct{ Node, Core, Level, Type string }

// ThreadID names a processor.
type ThreadID struct{ Node, Core, Thread string }

// readParts reads what is below /sys/devices/system.
func readParts(root string) Parts {
	memory := ReadMemory()
	p := Parts{Processors: float64(runtime.NumCPU()), Memory: memory.Total, Swap: memory.SwapTotal}
	p.readProcessors(root)
	p.readNodes(root)
	p.readModules(root)
	return p
}

// glob finds what a pattern matches, in order; nothing when there is nothing.
func glob(elem ...string) []string {
	found, err := filepath.Glob(filepath.Join(elem...))
	if err != nil {
		return nil
	}
	return found
}

// idOf is the number at the end of a directory's name.
func idOf(dir, prefix string) string { return strings.TrimPrefix(filepath.Base(dir), prefix) }

// nodeOf is the node of a processor: that of the machine's one memory when it has no others.
func nodeOf(cpu string) string {
	for _, dir := range glob(cpu, "node[0-9]*") {
		return idOf(dir, "node")
	}
	return "0"
}

func (p *Parts) readProcessors(root string) {
	cores, sockets := map[string]bool{}, map[string]bool{}
	siblings := map[ThreadID]float64{}
	caches := map[CacheID]float64{}
	counted := map[string]bool{}
	for _, cpu := range glob(root, "cpu", "cpu[0-9]*") {
		topology := filepath.Join(cpu, "topology")
		socket, core := host.Line(filepath.Join(topology, "physical_package_id")), host.Line(filepath.Join(topology, "core_id"))
		if core == "" {
			continue // it is switched off
		}
		cores[socket+"/"+core], sockets[socket] = true, true
		node, threads := nodeOf(cpu), host.Line(filepath.Join(topology, "thread_siblings_list"))
		siblings[ThreadID{node, core, idOf(cpu, "cpu")}] = size(threads)
		for _, cache := range glob(cpu, "cache", "index[0-9]*") {
			is := func(name string) string { return host.Line(filepath.Join(cache, name)) }
			shared := is("shared_cpu_list")
			id := CacheID{Node: node, Core: core, Level: is("level"), Type: is("type")}
			key := strings.Join([]string{id.Level, id.Type, shared}, "/")
			if counted[key] {
				continue // another processor has it in common
			}
			counted[key] = true
			if size(shared) > size(threads) {
				id.Core = ""
			}
			caches[id] += number(strings.TrimSuffix(is("size"), "K")) * 1024
		}
	}
	p.Cores, p.Sockets = float64(len(cores)), float64(len(sockets))
	p.Caches, p.Siblings = sorted(caches, compareCaches), sorted(siblings, compareThreads)
}

func compareCaches(a, b CacheID) int {
	return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Core, b.Core), strings.Compare(a.Level, b.Level), strings.Compare(a.Type, b.Type))
}

func compareThreads(a, b ThreadID) int {
	return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Core, b.Core), strings.Compare(a.Thread, b.Thread))
}

func sorted[ID comparable](of map[ID]float64, compare func(a, b ID) int) (out []Part[ID]) {
	for _, id := range slices.SortedFunc(maps.Keys(of), compare) {
		out = append(out, Part[ID]{id, of[id]})
	}
	return out
}

// size is how many numbers a list of the kernel's has, as "0-3,8".
func size(list string) (n float64) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, several := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		b := a
		if several && err == nil {
			b, err = strconv.Atoi(last)
		}
		if err == nil && b >= a {
			n += float64(b - a + 1)
		}
	}
	return n
}

func (p *Parts) readNodes(root string) {
	nodes := glob(root, "node", "node[0-9]*")
	slices.SortFunc(nodes, func(a, b string) int { return cmp.Compare(number(idOf(a, "node")), number(idOf(b, "node"))) })
	for _, dir := range nodes {
		node := idOf(dir, "node")
		for line := range strings.Lines(host.Line(filepath.Join(dir, "meminfo"))) { // Node 0 MemTotal:  24576 kB
			if f := strings.Fields(line); len(f) > 3 && f[2] == "MemTotal:" {
				p.NodeMemory = append(p.NodeMemory, Part[string]{node, number(f[3]) * 1024})
			}
		}
		for i, distance := range strings.Fields(host.Line(filepath.Join(dir, "distance"))) { // one for each node that is there
			if i < len(nodes) {
				p.Distances = append(p.Distances, Part[[2]string]{[2]string{node, idOf(nodes[i], "node")}, number(distance)})
			}
		}
		for _, pages := range glob(dir, "hugepages", "hugepages-*kB") {
			kib := strings.TrimSuffix(idOf(pages, "hugepages-"), "kB")
			p.Hugepages = append(p.Hugepages, Part[[2]string]{[2]string{node, kib}, number(host.Line(filepath.Join(pages, "nr_hugepages")))})
		}
	}
}

// readModules reads what the kernel's EDAC drivers know (Documentation/admin-guide/ras.rst); most machines have none.
func (p *Parts) readModules(root string) {
	count, bytes := map[string]float64{}, map[string]float64{}
	for _, dir := range glob(root, "edac", "mc", "mc[0-9]*", "dimm[0-9]*") {
		kind := host.Line(filepath.Join(dir, "dimm_mem_type"))
		count[kind]++
		bytes[kind] += number(host.Line(filepath.Join(dir, "size"))) * (1 << 20)
	}
	p.Modules, p.ModuleBytes = sorted(count, strings.Compare), sorted(bytes, strings.Compare)
}
