// Package kernel reads what the kernel's log says of processes that it killed for memory. It does nothing else: whoever follows
// the log hands in its lines, and is given a report for each kill.
//
// The lines are those of mm/oom_kill.c, mm/memcontrol.c and mm/show_mem.c of Linux 4.19 to 6.18: a dump (who asked for memory, the
// cgroup or the machine that has none left, and its processes), and then "Killed process". The kernel writes one dump after the
// other, under a lock, but others' lines may come between; and it leaves the dump out when there were ten within five seconds.
// Names of processes are hostile: what is read from a line is found from that end of it where no name is.
package kernel

import (
	"strings"
	"time"

	"github.com/solopod/solopod/oom/record"
)

// Constraint is what bounded the memory that there was none of.
type Constraint string

// Constraints.
const (
	None    Constraint = "none"   // the machine's memory
	Memcg   Constraint = "memcg"  // the limit of a cgroup
	Cpuset  Constraint = "cpuset" // the memory nodes of a cpuset
	Policy  Constraint = "policy" // the memory nodes of a process' own policy
	Unknown Constraint = ""       // the log does not say
)

// Line is one record of the log, as /dev/kmsg gives its text: one line, in which what cannot be printed is written as \x0a.
type Line struct {
	Sequence uint64
	Time     time.Time
	Text     string
	// Caller is the thread or processor that wrote it, as T17 or C1, where the kernel tells it.
	Caller string
	// Continued: the kernel could not add the text to the line before it.
	Continued bool
}

// Report is one process that was killed. What the log does not say is left out.
type Report struct {
	// First and Last are the numbers of the first and of the last line that it was made of.
	First, Last uint64
	Time        time.Time

	// Process is its name as it was, with whatever it has in it, but for what is no UTF-8.
	Process string
	PID     int // as the machine counts
	UID     *uint32
	Victim  record.Victim

	Constraint Constraint
	// Cgroup is the cgroup that hit its limit, and TaskCgroup that of the killed process: paths below the root of the cgroup file
	// system, with v1 of its memory controller. Both are empty where the kernel left out the dump.
	Cgroup     string
	TaskCgroup string
	// Group: the process belongs to GroupCgroup, which was killed as a whole (memory.oom.group).
	Group       bool
	GroupCgroup string
	// Again: the process was in an earlier report of the same group. The kernel kills, and counts, the first one of a group once
	// more with all others when it has not ended by then.
	Again bool

	// Limit and Usage are Cgroup's, or the machine's, in bytes; with v1 those of memory and swap together where that was the limit
	// that was hit. Limit is nil where there is none.
	Limit, Usage *int64
	Split        record.Split
	// Largest are the largest processes below Cgroup, at most ten.
	Largest    []record.Process
	Invoker    string
	InvokerPID int
	// Lost: lines of it were lost.
	Lost bool

	// own is the constraint that its own line says; borrowed: what a group has in common was filled in.
	own      Constraint
	borrowed bool
}

// Alone is the report of a process that, after all, does not belong to the group that the parser took it for a member of: without what it
// was given of that.
func (r Report) Alone() Report {
	if !r.borrowed {
		return r
	}
	return Report{
		First: r.First, Last: r.Last, Time: r.Time, Process: r.Process, PID: r.PID, UID: r.UID, Victim: r.Victim, Constraint: r.own, Lost: r.Lost, own: r.own,
	}
}

// Quiet is how long to wait for more lines before Flush: the kernel writes a kill's lines one after the other.
const Quiet = 100 * time.Millisecond

// longest bounds what is taken of a line: the kernel's have at most 1,024 bytes before they are made printable.
const longest = 8 << 10

// Parser makes reports of lines. Its memory is bounded whatever the lines are. It is not safe for concurrent use.
type Parser struct {
	page int64
	// open is the dump that is being written; nil when none is.
	open *dump
	// held is the last report: the next line may say that it was one of a group's. nil when there is none.
	held *Report
	// group is what the reports of a group's kill have in common; nil when there is none.
	group *group
	// part is a line that its writer has not ended yet.
	part part
	// lost: lines are missing since the last report.
	lost bool
}

// group is a cgroup that is being killed as a whole.
type group struct {
	first Report
	// at is when it began, and caller who writes its lines.
	at     time.Time
	caller string
	// pids are those that were reported, the first ones of them.
	pids []int
}

// mostPids bounds what is kept of a group.
const mostPids = 1024

// New is a Parser for a machine whose pages have so many bytes.
func New(pageSize int) *Parser { return &Parser{page: int64(pageSize)} }

// Line takes the log's next line, and gives the reports that are whole now.
func (p *Parser) Line(l Line) []Report {
	if len(l.Text) > longest {
		l.Text = l.Text[:longest]
	}
	var out []Report
	if p.held != nil && l.Time.Sub(p.held.Time) > gap { // whatever else the kernel has to say meanwhile
		out = p.Flush()
	}
	if p.open != nil && p.open.notOf(l) {
		return out
	}
	if whole, ok := p.part.add(l); ok {
		return append(out, p.whole(whole)...)
	}
	if p.part.text != "" && begins(l.Text) { // the rest of it does not come any more
		out = append(out, p.whole(p.part.take())...)
	}
	if !isMain(l.Text) && p.part.begin(l) {
		return out
	}
	return append(out, p.whole(l)...)
}

// whole takes a line that is all there.
func (p *Parser) whole(l Line) []Report {
	if k, ok := parseKilled(l.Text); ok {
		return p.killed(l, k)
	}
	if name, ok := parseInvoked(l.Text); ok {
		out := p.Flush()
		p.group, p.open = nil, &dump{first: l.Sequence, at: l.Time, caller: l.Caller, page: p.page, invoker: name}
		p.lost = false
		return out
	}
	if cgroup, ok := parseGroup(l.Text); ok {
		p.begin(l, cgroup)
		return nil
	}
	if pid, constraint, ok := parseChosen(l.Text); ok {
		if p.open == nil || !p.open.choose(pid, constraint) {
			p.open = &dump{first: l.Sequence, at: l.Time, caller: l.Caller, page: p.page, chosen: pid, constraint: constraint}
		}
		return nil
	}
	if p.open != nil && !p.open.line(l.Text) {
		p.open = nil // nobody was killed
	}
	return nil
}

// killed makes the report of a kill.
func (p *Parser) killed(l Line, k killed) []Report {
	r := Report{
		First: l.Sequence, Last: l.Sequence, Time: l.Time, Process: readable(k.name), PID: k.pid, UID: k.uid, Victim: k.victim,
		Constraint: k.constraint, Lost: p.lost, own: k.constraint,
	}
	switch {
	case p.open != nil && p.open.isOf(k, l):
		p.open.fill(&r, k)
	case p.group != nil && p.open == nil && p.group.isOf(k, l):
		p.group.fill(&r)
	default:
		p.group = nil
	}
	out := p.Flush()
	p.open, p.held, p.lost = nil, &r, false
	return out
}

// begin begins a group with the report that is held.
func (p *Parser) begin(l Line, cgroup string) {
	g := &group{at: l.Time, caller: l.Caller, first: Report{First: l.Sequence, Constraint: Memcg}}
	if p.held != nil && p.held.GroupCgroup != cgroup { // a kill without a dump, right after another group's
		*p.held = p.held.Alone()
	}
	if p.held != nil && l.Time.Sub(p.held.Time) <= gap && p.held.mayBeOf(cgroup) {
		p.held.Group, p.held.GroupCgroup, p.held.Last = true, cgroup, l.Sequence
		g.first, g.pids = *p.held, []int{p.held.PID}
	}
	g.first.Group, g.first.GroupCgroup = true, cgroup
	p.group = g
}

// mayBeOf: a group that is killed has the process in it, and lies at or below the cgroup that hit its limit.
func (r *Report) mayBeOf(group string) bool {
	return (r.Cgroup == "" || Below(group, r.Cgroup)) && (r.TaskCgroup == "" || Below(r.TaskCgroup, group))
}

// Below says whether a cgroup is another one, or lies below it.
func Below(cgroup, other string) bool {
	return strings.HasPrefix(strings.TrimSuffix(cgroup, "/")+"/", strings.TrimSuffix(other, "/")+"/")
}

// gap is how long after its beginning a group's lines may come. Behind a slow console they are no faster. Later ones do not make it longer:
// in a storm others' kills would go on and on to be taken for the group's.
const gap = time.Second

// isOf: nothing in the line of a kill says that it is one of a group's. It comes at once, and from the same writer.
func (g *group) isOf(k killed, l Line) bool {
	return l.Time.Sub(g.at) <= gap && g.caller == l.Caller && (k.constraint == g.first.Constraint || k.constraint == Unknown)
}

// fill fills in what a group's reports have in common.
func (g *group) fill(r *Report) {
	own := *r
	*r = g.first
	r.First, r.Last, r.Time, r.Lost = own.First, own.Last, own.Time, own.Lost
	r.Process, r.PID, r.UID, r.Victim = own.Process, own.PID, own.UID, own.Victim
	r.own, r.borrowed = own.own, true
	if r.PID != g.first.PID {
		r.TaskCgroup = "" // it may be another one below the group's
	}
	for _, pid := range g.pids {
		r.Again = r.Again || pid == r.PID
	}
	if len(g.pids) < mostPids {
		g.pids = append(g.pids, r.PID)
	}
}

// Lost says that lines are missing before the next one, and gives what there is of a report before them.
func (p *Parser) Lost() []Report {
	out := p.Flush()
	p.group, p.part, p.lost = nil, part{}, true
	if p.open != nil {
		p.open.lost = true
	}
	return out
}

// Held is the first line of the report that waits for the next line; ok is false when there is none.
func (p *Parser) Held() (sequence uint64, ok bool) {
	if p.held == nil {
		return 0, false
	}
	return p.held.First, true
}

// Waiting says that there is a report that the next line may add to. When none comes for a moment (Quiet), call Flush.
func (p *Parser) Waiting() bool { return p.held != nil }

// Flush gives the report that waits for more lines.
func (p *Parser) Flush() []Report {
	if p.held == nil {
		return nil
	}
	r := *p.held
	p.held = nil
	return []Report{r}
}

// Begun is the first of the lines that a report will be made of that is not given yet; ok is false when there is none. Whoever reads
// the log later has to begin with it.
func (p *Parser) Begun() (sequence uint64, ok bool) {
	switch {
	case p.held != nil:
		return p.held.First, true
	case p.open != nil:
		return p.open.first, true
	case p.part.text != "":
		return p.part.line.Sequence, true
	}
	return 0, false
}
