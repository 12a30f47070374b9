package kernel

import (
	"strconv"
	"strings"

	"github.com/solopod/solopod/oom/record"
)

// longestName is how long a process' name is at most (TASK_COMM_LEN without the end).
const longestName = 15

// killed is what the line of a kill says. name is as the log has it.
type killed struct {
	name       string
	pid        int
	uid        *uint32
	victim     record.Victim
	constraint Constraint
}

// parseKilled reads
//
//	Memory cgroup out of memory: Killed process 17 (name) total-vm:9kB, anon-rss:9kB, file-rss:9kB, shmem-rss:9kB, UID:0 pgtables:9kB oom_score_adj:0
//
// Before 5.1 nothing comes before "Killed", the user from 5.3 on, then the tables, in bytes until 5.4 whatever it says.
func parseKilled(text string) (k killed, ok bool) {
	before, rest, found := strings.Cut(text, "Killed process ")
	if !found || !k.why(before) {
		return k, false
	}
	number, rest, found := strings.Cut(rest, " (")
	pid, err := strconv.Atoi(number)
	if !found || err != nil || pid <= 0 {
		return k, false
	}
	name, sizes, found := cutLast(rest, ") total-vm:") // the name may have this in it, what follows cannot
	if !found || !isName(name) {
		return k, false
	}
	k.name, k.pid = name, pid
	return k, k.sizes("total-vm:" + sizes)
}

// Killed is the process of which a line tells that it was killed.
func Killed(text string) (pid int, ok bool) {
	k, ok := parseKilled(text)
	return k.pid, ok
}

// why reads what stands before a kill.
func (k *killed) why(before string) bool {
	switch before {
	case "":
	case "Memory cgroup out of memory: ":
		k.constraint = Memcg
	case "Out of memory: ", "Out of memory (oom_kill_allocating_task): ":
		k.constraint = None
	default:
		return false
	}
	return true
}

// sizes reads what stands after the name. It is false when that is something else: the log also has lines that begin with a text
// which the rules of a firewall choose.
func (k *killed) sizes(text string) bool {
	if !strings.Contains(text, " anon-rss:") {
		return false
	}
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			return false
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(value, "kB"), 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "anon-rss":
			k.victim.AnonRSS = kilo(n)
		case "file-rss":
			k.victim.FileRSS = kilo(n)
		case "shmem-rss":
			k.victim.ShmemRSS = kilo(n)
		case "pgtables":
			k.victim.PageTables = kilo(n)
		case "oom_score_adj":
			k.victim.Score = score(n)
		case "UID":
			k.uid = user(n)
		}
	}
	return true
}

// parseInvoked reads who asked for memory:
//
//	name invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
func parseInvoked(text string) (name string, ok bool) {
	name, _, ok = cutLast(text, " invoked oom-killer: gfp_mask=0x")
	return name, ok && isName(name)
}

// parseInvoker reads its number: "CPU: 1 UID: 0 PID: 17 Comm: name Not tainted ..."; the user's stands there from 6.11 on.
func parseInvoker(text string) (pid int, ok bool) {
	text, ok = strings.CutPrefix(text, "CPU: ")
	if !ok {
		return 0, false
	}
	text, _, ok = strings.Cut(text, " Comm: ")
	_, number, found := cutLast(text, "PID: ")
	pid, err := strconv.Atoi(number)
	return pid, ok && found && err == nil && pid > 0
}

const groupEnd = " are going to be killed due to memory.oom.group set"

// parseGroup reads of which cgroup all processes are killed.
func parseGroup(text string) (cgroup string, ok bool) {
	text, ok = strings.CutPrefix(text, "Tasks in ")
	cgroup, end := strings.CutSuffix(text, groupEnd)
	return path(cgroup), ok && end
}

const taskMiddle = " killed as a result of limit of "

// parseTask reads, as 4.19 writes it, where the process is that is killed, and whose limit that is for.
func parseTask(text string) (task, limit string, ok bool) {
	text, ok = strings.CutPrefix(text, "Task in ")
	if !ok {
		return "", "", false
	}
	return splitPaths(text, taskMiddle, false)
}

// splitPaths splits two paths of cgroups of which one is below the other: names of cgroups may have any text in them.
func splitPaths(text, middle string, upperFirst bool) (first, second string, ok bool) {
	for from := 0; ; {
		i := strings.Index(text[from:], middle)
		if i < 0 {
			return "", "", false
		}
		first, second = text[:from+i], text[from+i+len(middle):]
		upper, lower := second, first
		if upperFirst {
			upper, lower = first, second
		}
		if isBelow(lower, upper) {
			return path(first), path(second), true
		}
		from += i + 1
	}
}

func isBelow(lower, upper string) bool {
	return strings.HasPrefix(upper, "/") && strings.HasPrefix(lower, "/") && (upper == "/" || lower == upper || strings.HasPrefix(lower, upper+"/"))
}

// parseChosen reads, as up to 5.0, which process is to be killed, or a child of it: "Kill process 17 (name) score 9 or sacrifice child".
func parseChosen(text string) (pid int, constraint Constraint, ok bool) {
	before, rest, found := strings.Cut(text, "Kill process ")
	var k killed
	if !found || before == "" || !k.why(before) {
		return 0, Unknown, false
	}
	number, _, found := strings.Cut(rest, " (")
	pid, err := strconv.Atoi(number)
	return pid, k.constraint, found && err == nil
}

// summary is the line that sums up a dump from 5.0 on.
type summary struct {
	constraint Constraint
	cgroup     string
	task       string
	pid        int
}

// parseSummary reads
//
//	oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=name,pid=17,uid=0
//
// The line may be cut off. name is that of the killed process, as the line of the kill has it: nothing else says where it ends.
func parseSummary(text, name string) (s summary, ok bool) {
	text, ok = strings.CutPrefix(text, "oom-kill:constraint=CONSTRAINT_")
	if !ok {
		return s, false
	}
	word, rest, _ := strings.Cut(text, ",")
	s.constraint = constraints[word]
	end := strings.LastIndex(rest, ",task="+name+",pid=")
	if end < 0 {
		end = strings.LastIndex(rest, ",task=")
	}
	if _, number, found := cutLast(rest, ",pid="); found {
		number, _, _ = strings.Cut(number, ",")
		s.pid, _ = strconv.Atoi(number) // 0 where it is cut off
	}
	whole := end >= 0
	if whole {
		rest = rest[:end]
	}
	s.paths(rest, whole)
	return s, true
}

var constraints = map[string]Constraint{"NONE": None, "MEMCG": Memcg, "CPUSET": Cpuset, "MEMORY_POLICY": Policy}

// paths reads the cgroups. The last one is not known where the line is cut off.
func (s *summary) paths(text string, whole bool) {
	if _, task, ok := strings.Cut(text, ",global_oom,task_memcg="); ok {
		if whole {
			s.task = path(task)
		}
		return
	}
	_, both, ok := strings.Cut(text, ",oom_memcg=")
	if !ok {
		return
	}
	limit, task, ok := splitPaths(both, ",task_memcg=", true)
	if !ok { // the second one is cut off, or elsewhere
		limit, _, ok = strings.Cut(both, ",task_memcg=")
		limit, whole = path(limit), false
	}
	if ok {
		s.cgroup = limit
	}
	if whole {
		s.task = task
	}
}

// isName: the text, as the log has it, may be a process' name.
func isName(text string) bool { return len(unescape(text)) <= longestName }

// cutLast cuts around the last occurrence.
func cutLast(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// unescape gives the bytes that /dev/kmsg writes as \x0a: all that cannot be printed, and the backslash.
func unescape(text string) string {
	if !strings.Contains(text, `\x`) {
		return text
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, `\x`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n, err := strconv.ParseUint(after[:min(2, len(after))], 16, 8)
		if err != nil || len(after) < 2 { // cut off
			b.WriteString(`\x`)
			text = after
			continue
		}
		b.WriteByte(byte(n))
		text = after[2:]
	}
}

// readable is a name or path that JSON can hold.
func readable(text string) string { return strings.ToValidUTF8(unescape(text), "\uFFFD") }

// longestPath bounds a cgroup's path (PATH_MAX).
const longestPath = 4096

// path is a cgroup's path; empty when it is none.
func path(text string) string {
	text = readable(text)
	if !strings.HasPrefix(text, "/") || len(text) > longestPath {
		return ""
	}
	return text
}

// most bounds sizes that are calculated with: 2^53 bytes and more is no memory, but how the kernel writes that there is no limit.
const most = 1 << 53

// kilo are bytes, of what the log has in KiB; 0 for what cannot be.
func kilo(n int64) int64 {
	if n < 0 || n >= most>>10 {
		return 0
	}
	return n << 10
}

func score(n int64) int {
	if n < -1000 || n > 1000 {
		return 0
	}
	return int(n)
}

func user(n int64) *uint32 {
	if n < 0 || n > 1<<32-1 {
		return nil
	}
	u := uint32(n)
	return &u
}
