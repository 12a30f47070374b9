package kernel

import (
	"strconv"
	"strings"

	"github.com/solopod/solopod/oom/record"
)

// machine is what a dump says of the machine's memory as a whole, in pages.
type machine struct {
	// parts are the machine's totals by the kernel's names.
	parts         map[string]int64
	ram, reserved *int64
	inTotals      bool
	// stacks are the nodes' kernel stacks, in KiB; nil where no node tells.
	stacks *int64
}

// totals are the names that are of use.
var totals = map[string]bool{
	"active_anon": true, "inactive_anon": true, "active_file": true, "inactive_file": true, "slab_reclaimable": true, "slab_unreclaimable": true,
	"shmem": true, "pagetables": true, "sec_pagetables": true, "free": true,
}

// line takes a line of what mm/show_mem.c writes; it is false for others.
func (m *machine) line(text string) bool {
	switch {
	case strings.HasPrefix(text, "Mem-Info:"):
		m.inTotals = true
	case strings.HasPrefix(text, "Node "):
		m.inTotals = false
		m.node(text)
	case m.inTotals && strings.Contains(text, ":"):
		m.total(text)
	default:
		return m.count(text)
	}
	return true
}

// total takes the totals: one record with several lines in it.
func (m *machine) total(text string) {
	for _, field := range strings.Fields(strings.ReplaceAll(text, `\x0a`, " ")) {
		name, value, _ := strings.Cut(field, ":")
		n := amount(value, 1)
		if n == nil || !totals[name] {
			continue
		}
		if m.parts == nil {
			m.parts = map[string]int64{}
		}
		m.parts[name] = *n
	}
}

// node takes the stacks of "Node 0 active_anon:9kB ... kernel_stack:9kB ...".
func (m *machine) node(text string) {
	_, rest, ok := strings.Cut(text, " kernel_stack:")
	value, _, unit := strings.Cut(rest, "kB")
	if n := amount(value, 1); ok && unit && n != nil {
		m.stacks = sum(n, m.stacks)
	}
}

// count takes "2097022 pages RAM".
func (m *machine) count(text string) bool {
	number, what, _ := strings.Cut(text, " pages ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return false
	}
	switch what {
	case "RAM":
		m.ram = &n
	case "reserved":
		m.reserved = &n
	}
	return true
}

// limit is the memory that there is.
func (m *machine) limit(page int64) *int64 {
	return m.bytes(less(m.ram, m.reserved), page)
}

// usage is all that is not free.
func (m *machine) usage(page int64) *int64 {
	free := m.pages("free")
	if free == nil {
		return nil
	}
	return m.bytes(less(less(m.ram, m.reserved), free), page)
}

func (m *machine) pages(name string) *int64 {
	if n, ok := m.parts[name]; ok {
		return &n
	}
	return nil
}

func (m *machine) bytes(pages *int64, page int64) *int64 {
	if pages == nil || *pages >= most/page {
		return nil
	}
	n := *pages * page
	return &n
}

// split: shared memory is in the lists of anonymous pages.
func (m *machine) split(page int64) record.Split {
	anon := less(sum(m.pages("active_anon"), m.pages("inactive_anon")), m.pages("shmem"))
	out := record.Split{
		Anon: m.bytes(anon, page), File: m.bytes(sum(m.pages("active_file"), m.pages("inactive_file")), page), Shmem: m.bytes(m.pages("shmem"), page),
		Slab:       m.bytes(sum(m.pages("slab_reclaimable"), m.pages("slab_unreclaimable")), page),
		PageTables: m.bytes(sum(m.pages("pagetables"), m.pages("sec_pagetables")), page),
	}
	if m.stacks != nil {
		out.Stacks = m.bytes(m.stacks, 1<<10)
	}
	return out
}
