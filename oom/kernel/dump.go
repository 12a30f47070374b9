package kernel

import (
	"strconv"
	"strings"
	"time"

	"github.com/solopod/solopod/oom/record"
)

// dump is what the kernel says before it kills.
type dump struct {
	first  uint64
	at     time.Time
	caller string
	page   int64
	lost   bool

	invoker    string
	invokerPID int
	// summary is the line as it is: to read it takes the name that the kill tells.
	summary string
	// task and limit are the cgroups as 4.19 tells them, chosen the process that is to be killed or one of whose children is.
	task, limit string
	chosen      int
	constraint  Constraint

	// ofCgroup: the counters and the split are a cgroup's.
	ofCgroup          bool
	memory, swap, mem counter // mem is of memory and swap together (v1)
	kernel            counter // v1
	split             split
	// inStats: lines with parts of a cgroup's memory follow.
	inStats bool
	machine machine
	tasks   tasks
}

// counter is the usage and the limit of something, in bytes; the limit is nil where there is none.
type counter struct{ usage, limit *int64 }

// full: the limit was hit. What is charged in batches is below it by some pages.
func (c counter) full() bool {
	const slack = 1 << 20
	return c.usage != nil && c.limit != nil && *c.limit > 0 && *c.usage >= *c.limit-min(slack, *c.limit/8)
}

// oldest is how long a dump may take: its lines come at once, behind a slow console in seconds.
const oldest = 30 * time.Second

// notOf: the line has nothing to do with the dump: another thread wrote it. One that begins a dump or tells of a kill is never
// passed over.
func (d *dump) notOf(l Line) bool {
	if d.caller == "" || l.Caller == "" || d.caller == l.Caller {
		return false
	}
	return !isMain(l.Text)
}

// line takes a line of the dump. more is false when the dump has ended without a kill.
func (d *dump) line(text string) (more bool) {
	if d.inStats && d.split.line(text) {
		return true
	}
	switch {
	case strings.HasPrefix(text, "oom-kill:constraint="):
		d.summary, d.inStats = text, false
	case strings.HasPrefix(text, "Out of memory and no killable"), strings.HasPrefix(text, "Memory cgroup out of memory and no killable"),
		strings.Contains(text, ": OOM victim ") && strings.HasSuffix(text, " is already exiting. Skip killing the task"):
		return false
	case strings.HasPrefix(text, "Memory cgroup stats for "):
		d.stats(text)
	case d.tasks.line(text, d.page):
		d.inStats = false
	case d.counters(text), !d.ofCgroup && d.machine.line(text):
	default:
		d.old(text)
	}
	return true
}

// old takes what is only in dumps of one kernel or another.
func (d *dump) old(text string) {
	if pid, ok := parseInvoker(text); ok && d.invokerPID == 0 {
		d.invokerPID = pid
	} else if task, limit, ok := parseTask(text); ok {
		d.task, d.limit = task, limit
	}
}

// counters takes "memory: usage 16384kB, limit 16384kB, failcnt 223".
func (d *dump) counters(text string) bool {
	for name, c := range map[string]*counter{"memory: usage ": &d.memory, "swap: usage ": &d.swap, "memory+swap: usage ": &d.mem, "kmem: usage ": &d.kernel} {
		rest, ok := strings.CutPrefix(text, name)
		usage, rest, found := strings.Cut(rest, "kB, limit ")
		if !ok || !found {
			continue
		}
		limit, _, _ := strings.Cut(rest, "kB")
		c.usage, c.limit = amount(usage, 1<<10), amount(limit, 1<<10)
		d.ofCgroup = true
		return true
	}
	return false
}

// stats takes the heading of what a cgroup's memory consists of. Until 5.2 it is in that line, for each cgroup below the one that
// hit its limit; later it follows once, for all together.
func (d *dump) stats(text string) {
	d.ofCgroup = true
	if at := strings.LastIndex(text, ": cache:"); at >= 0 && !strings.HasSuffix(text, ":") {
		d.split.sum(text[at+2:])
		return
	}
	d.inStats = true
}

// isOf: the dump was for the kill. It is not when that process, after all, had ended, and then another one was killed without a
// dump.
func (d *dump) isOf(k killed, l Line) bool {
	if l.Time.Sub(d.at) > oldest {
		return false
	}
	s, ok := parseSummary(d.summary, k.name)
	switch {
	case ok && s.pid > 0:
		return s.pid == k.pid || s.pid == d.chosen // a child of the one that was chosen
	case d.lost:
		return false
	case d.chosen > 0:
		return true
	}
	return ok && (k.constraint == Memcg) == d.ofCgroup
}

// choose takes the process that is to be killed, or one of whose children is. It is false when that is another one than the dump is of:
// there is no dump for it.
func (d *dump) choose(pid int, constraint Constraint) bool {
	if s, ok := parseSummary(d.summary, ""); d.chosen > 0 || ok && s.pid > 0 && s.pid != pid {
		return false
	}
	d.chosen, d.constraint = pid, constraint
	return true
}

// fill fills in a report.
func (d *dump) fill(r *Report, k killed) {
	r.First, r.Lost = d.first, r.Lost || d.lost
	r.Invoker, r.InvokerPID = readable(d.invoker), d.invokerPID
	r.Cgroup, r.TaskCgroup = d.limit, d.task
	if d.constraint != Unknown {
		r.Constraint = d.constraint
	}
	if s, ok := parseSummary(d.summary, k.name); ok {
		r.Cgroup, r.TaskCgroup = s.cgroup, s.task
		if s.constraint != Unknown {
			r.Constraint = s.constraint
		}
	}
	r.Largest = d.tasks.largest()
	if size := d.tasks.tables(k.pid); size > 0 {
		r.Victim.PageTables = size
	}
	if r.Constraint != Memcg && !d.ofCgroup {
		r.Limit, r.Usage, r.Split = d.machine.limit(d.page), d.machine.usage(d.page), d.machine.split(d.page)
		return
	}
	d.fillCgroup(r)
}

func (d *dump) fillCgroup(r *Report) {
	r.Split = d.split.result()
	if r.Split.Kernel == nil {
		r.Split.Kernel = d.kernel.usage
	}
	if d.swap.usage != nil {
		r.Split.Swap = d.swap.usage
	}
	hit := d.memory
	switch {
	case hit.full():
	case d.mem.full():
		hit = d.mem
	case d.kernel.full():
		hit = d.kernel
	}
	r.Usage, r.Limit = hit.usage, hit.limit
}

// amount is a number of so many bytes each, as bytes; nil when the text is none, or is no amount that memory can have.
func amount(text string, unit int64) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || unit <= 0 || n >= most/unit {
		return nil
	}
	n *= unit
	return &n
}

// split gathers the parts of a cgroup's memory by the names that the kernel gives them, in bytes.
type split struct {
	values map[string]int64
}

// kept are the names that are of use: those of v2, and those of v1, where total_ is with the cgroups below.
var kept = map[string]bool{
	"anon": true, "file": true, "shmem": true, "kernel": true, "kernel_stack": true, "pagetables": true, "sec_pagetables": true, "sock": true,
	"slab": true, "slab_reclaimable": true, "slab_unreclaimable": true,
	"cache": true, "rss": true, "swap": true, "total_cache": true, "total_rss": true, "total_shmem": true, "total_swap": true,
}

// cutOff is from where on a record may have been cut off by the kernel (LOG_LINE_MAX).
const cutOff = 900

// line takes "anon 98742272", of which 5.x writes many as one record. It is false for a line of something else.
func (s *split) line(text string) bool {
	lines := strings.Split(text, `\x0a`)
	if len(lines) > 1 && len(text)-3*(len(lines)-1) > cutOff {
		lines = lines[:len(lines)-1]
	}
	for i, line := range lines {
		if !s.part(line) && i == 0 {
			return false
		}
	}
	return true
}

func (s *split) part(text string) bool {
	name, value, ok := strings.Cut(text, " ")
	n := amount(value, 1)
	if !ok || n == nil || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return false
	}
	if kept[name] {
		s.set(name, *n)
	}
	return true
}

// sum adds "cache:0KB rss:512KB ..." of one cgroup of several.
func (s *split) sum(text string) {
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, ":")
		if n := amount(strings.TrimSuffix(value, "KB"), 1<<10); n != nil && kept[name] && s.values[name] < most {
			s.set(name, s.values[name]+*n)
		}
	}
}

func (s *split) set(name string, n int64) {
	if s.values == nil {
		s.values = map[string]int64{}
	}
	s.values[name] = n
}

// first is the value of the first name that there is.
func (s *split) first(names ...string) *int64 {
	for _, name := range names {
		if n, ok := s.values[name]; ok {
			return &n
		}
	}
	return nil
}

func (s *split) result() record.Split {
	out := record.Split{
		Anon: s.first("anon", "total_rss", "rss"), Shmem: s.first("total_shmem", "shmem"), Kernel: s.first("kernel"),
		Slab: s.first("slab"), Sockets: s.first("sock"), Stacks: s.first("kernel_stack"), Swap: s.first("total_swap", "swap"),
		PageTables: sum(s.first("pagetables"), s.first("sec_pagetables")),
	}
	if out.Slab == nil {
		out.Slab = sum(s.first("slab_reclaimable"), s.first("slab_unreclaimable"))
	}
	out.File = less(s.first("file", "total_cache", "cache"), out.Shmem) // cached files: shared memory counts as such
	return out
}

// sum adds b to a, if there is an a.
func sum(a, b *int64) *int64 {
	if a == nil || b == nil {
		return a
	}
	n := *a + *b
	return &n
}

// less takes b from a, if there is an a.
func less(a, b *int64) *int64 {
	if a == nil || b == nil {
		return a
	}
	n := max(*a-*b, 0)
	return &n
}
