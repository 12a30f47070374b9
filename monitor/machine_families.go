package monitor

import (
	"github.com/solopod/solopod/monitor/exposition"
	"github.com/solopod/solopod/monitor/machine"
)

// ofMachine takes a number of the machine's; zero where the machine does not tell it.
func ofMachine(value func(*machine.Parts) float64) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		if s.parts == nil {
			return
		}
		if v := value(s.parts); v > 0 {
			to.Add(v)
		}
	}
}

// ofParts takes a number of each of some parts of the machine.
func ofParts[ID any](parts func(*machine.Parts) []machine.Part[ID], labels func(ID) []string) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		if s.parts == nil {
			return
		}
		for _, p := range parts(s.parts) {
			to.Add(p.Value, labels(p.Of)...)
		}
	}
}

func one(id string) []string     { return []string{id} }
func both(id [2]string) []string { return id[:] }

var machineFamilies = []cgroupRow{
	{"machine_cpu_cores", "Number of logical CPU cores", false, nil, ofMachine(func(p *machine.Parts) float64 { return p.Processors })},
	{"machine_cpu_physical_cores", "Number of physical CPU cores", false, nil, ofMachine(func(p *machine.Parts) float64 { return p.Cores })},
	{"machine_cpu_sockets", "Number of CPU sockets", false, nil, ofMachine(func(p *machine.Parts) float64 { return p.Sockets })},
	{"machine_memory_bytes", "Amount of memory installed on the machine", false, nil, ofMachine(func(p *machine.Parts) float64 { return p.Memory })},
	{"machine_swap_bytes", "Amount of swap memory available on the machine", false, nil, func(s *cgroupSource, to *exposition.Samples) {
		if s.parts != nil {
			to.Add(s.parts.Swap)
		}
	}},
	{"machine_cpu_cache_capacity_bytes", "Size of caches of a core, or with an empty core of a NUMA node, in bytes", false, []string{"node_id", "core_id", "level", "type"},
		ofParts(func(p *machine.Parts) []machine.Part[machine.CacheID] { return p.Caches }, func(id machine.CacheID) []string {
			return []string{id.Node, id.Core, id.Level, id.Type}
		})},
	{"machine_thread_siblings_count", "Number of threads of a processor's core", false, []string{"node_id", "core_id", "thread_id"},
		ofParts(func(p *machine.Parts) []machine.Part[machine.ThreadID] { return p.Siblings }, func(id machine.ThreadID) []string {
			return []string{id.Node, id.Core, id.Thread}
		})},
	{"machine_node_memory_capacity_bytes", "Amount of memory of a NUMA node in bytes", false, []string{"node_id"},
		ofParts(func(p *machine.Parts) []machine.Part[string] { return p.NodeMemory }, one)},
	{"machine_node_distance", "Distance between a NUMA node and another", false, []string{"node_id", "target_node_id"},
		ofParts(func(p *machine.Parts) []machine.Part[[2]string] { return p.Distances }, both)},
	{"machine_node_hugepages_count", "Number of huge pages of a NUMA node, by size in KiB, when Solopod started", false, []string{"node_id", "page_size"},
		ofParts(func(p *machine.Parts) []machine.Part[[2]string] { return p.Hugepages }, both)},
	{"machine_dimm_count", "Number of memory modules by type, where the kernel knows them", false, []string{"type"},
		ofParts(func(p *machine.Parts) []machine.Part[string] { return p.Modules }, one)},
	{"machine_dimm_capacity_bytes", "Capacity of memory modules by type in bytes, where the kernel knows them", false, []string{"type"},
		ofParts(func(p *machine.Parts) []machine.Part[string] { return p.ModuleBytes }, one)},
}
