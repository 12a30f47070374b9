package kernel

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/oom/kmsg"
	"github.com/solopod/solopod/oom/record"
)

var update = flag.Bool("update", false, "write the golden files anew")

// boot is when the machines of the golden files were booted.
var boot = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

const pageSize = 4096

// lines reads records as /dev/kmsg gives them. A line that begins with # is a comment; "#lost" stands for lines that were lost.
func lines(t testing.TB, text string) (out []Line) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "#lost" {
			out = append(out, Line{})
		}
		if line == "" || line[0] == '#' || line[0] == ' ' {
			continue
		}
		r, err := kmsg.Parse([]byte(line + "\n"))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, Line{Sequence: r.Sequence, Time: boot.Add(r.Uptime), Text: r.Text, Caller: r.Caller, Continued: r.Continued})
	}
	return out
}

// parse gives what comes of lines.
func parse(p *Parser, lines []Line) (out []Report) {
	for _, l := range lines {
		if l.Text == "" && l.Sequence == 0 {
			out = append(out, p.Lost()...)
			continue
		}
		out = append(out, p.Line(l)...)
	}
	return append(out, p.Flush()...)
}

// Each file of testdata has records of a kernel of the version in its name: as it gave them where its first line says so, else written
// after that version's mm/oom_kill.c and mm/memcontrol.c.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.kmsg")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(parse(New(pageSize), lines(t, string(text))), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			path := strings.TrimSuffix(file, ".kmsg") + ".json"
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is otherwise (go test ./oom/kernel -update writes it anew); got:\n%s", path, got)
			}
		})
	}
}

// dumpOf is what a kernel of 6.x says of a kill at the limit of a cgroup.
func dumpOf(limit, task, name string, pid int) []string {
	return []string{
		name + " invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
		fmt.Sprintf("CPU: 0 UID: 0 PID: %d Comm: %s Not tainted 6.12.0 #1", pid, name),
		"memory: usage 65536kB, limit 65536kB, failcnt 7",
		"swap: usage 0kB, limit 9007199254740988kB, failcnt 0",
		"Memory cgroup stats for " + limit + ":",
		"anon 60000000", "file 4096", "shmem 4096", "kernel 1000",
		"Tasks state (memory values in pages):",
		"[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name",
		fmt.Sprintf("[%7d]     0 %5d     8255     6703     5788      915         0   106496        0           -17 %s", pid, pid, name),
		fmt.Sprintf("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=%s,task_memcg=%s,task=%s,pid=%d,uid=0", limit, task, name, pid),
		killedLine(name, pid),
	}
}

func killedLine(name string, pid int) string {
	return fmt.Sprintf("Memory cgroup out of memory: Killed process %d (%s) total-vm:33020kB, anon-rss:23152kB, file-rss:3660kB, shmem-rss:0kB, UID:0 pgtables:104kB oom_score_adj:-17", pid, name)
}

// log numbers texts, a millisecond apart.
func log(texts ...string) (out []Line) {
	for i, text := range texts {
		out = append(out, Line{Sequence: uint64(i + 100), Time: boot.Add(time.Duration(i) * time.Millisecond), Text: text})
	}
	return out
}

// Whatever a process calls itself, its kill is told, with its name and the cgroups, and no other is.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{
		"plain", "", " ", "a b", ") total-vm:1kB", "x) total-vm:", "(a)", `"quoted"`, "a,task=b", ",pid=1,uid=0", ",task=x,pid=2", "oom-kill:constr", "Killed process ",
		"Out of memory: ", "Tasks in /x are", `\x1b[31mred`, `two\x0alines`, `\x0aanon 0`, `back\x5cslash`, `\xff\xfe`, `h\xc3\xa9`, " invoked oom-ki", "Mem-Info:", "[1] 2 3",
		" Comm: PID: 9", "invoked oom-kil", ",task_memcg=/a", "/x", ":", "Killed process",
	} {
		got := parse(New(pageSize), log(dumpOf("/pods/p", "/pods/p/c", name, 4711)...))
		want := strings.ToValidUTF8(unescape(name), "\uFFFD")
		if len(got) != 1 {
			t.Errorf("%q: %d reports", name, len(got))
			continue
		}
		r := got[0]
		if r.Process != want || r.PID != 4711 || r.Cgroup != "/pods/p" || r.TaskCgroup != "/pods/p/c" || r.Invoker != want || r.InvokerPID != 4711 || r.Constraint != Memcg {
			t.Errorf("%q: %+v", name, r)
		}
		if len(r.Largest) != 1 || r.Largest[0] != (record.Process{Name: want, PID: 4711, RSS: 6703 * pageSize, Score: -17}) {
			t.Errorf("%q: %+v", name, r.Largest)
		}
		if r.Victim != (record.Victim{AnonRSS: 23152 << 10, FileRSS: 3660 << 10, PageTables: 106496, Score: -17}) || r.UID == nil || *r.UID != 0 {
			t.Errorf("%q: %+v", name, r.Victim)
		}
	}
}

// Names of cgroups may have any text in them: one is below the other.
func TestHostileCgroups(t *testing.T) {
	for _, c := range [][2]string{
		{"/", "/a"}, {"/a", "/a"}, {"/a,task_memcg=/a", "/a,task_memcg=/a/b"}, {"/a", "/a/b,task=x,pid=1,uid=0"}, {"/a", "/a/b,task_memcg=/a/c"},
		{`/a\x0ab`, `/a\x0ab/c d`}, {"/a: cache:7KB", "/a: cache:7KB/b"}, {"/a:", "/a:/b"},
	} {
		got := parse(New(pageSize), log(dumpOf(c[0], c[1], "name", 17)...))
		if len(got) != 1 || got[0].Cgroup != unescape(c[0]) || got[0].TaskCgroup != unescape(c[1]) || *got[0].Limit != 64<<20 || *got[0].Split.Anon != 60000000 {
			t.Errorf("%q: %+v", c, got)
		}
	}
}

// What other processors say between a dump's lines, and lines that come in pieces because of it, change nothing.
func TestInterleaved(t *testing.T) {
	dump := dumpOf("/pods/p", "/pods/p/c", "name", 17)
	want := parse(New(pageSize), log(dump...))
	noise := []string{"eth0: link up", "memory: usage of something else", "Tasks are fine", "[drm] 1 2", "anonymous 12x", "", "17", "Task in a hurry", "name[17]: segfault at 0 ip 0"}
	for _, n := range noise {
		var mixed []string
		for _, line := range dump {
			mixed = append(mixed, line, n)
		}
		got := parse(New(pageSize), log(mixed...))
		if len(got) != 1 {
			t.Errorf("%q: %d reports", n, len(got))
			continue
		}
		got[0].First, got[0].Last, got[0].Time = want[0].First, want[0].Last, want[0].Time
		equal(t, fmt.Sprintf("with %q between", n), got, want)
	}
}

func TestPieces(t *testing.T) {
	dump := dumpOf("/pods/p", "/pods/p/c", "name", 17)
	want := parse(New(pageSize), log(dump...))
	for _, marked := range []bool{true, false} {
		var got []Line
		for _, line := range dump {
			pieces := []string{line}
			if rest, ok := strings.CutPrefix(line, "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)"); ok {
				pieces = []string{strings.TrimSuffix(line, rest), ",cpuset=", "/", ",mems_allowed=0", ",oom_memcg=", "/pods/p", ",task_memcg=", "/pods/p/c", ",task=name,pid=17,uid=0"}
			}
			if strings.HasPrefix(line, "Memory cgroup stats for ") {
				pieces = []string{"Memory cgroup stats for ", "/pods/p", ":"}
			}
			for i, text := range pieces {
				got = append(got, Line{Text: text, Continued: marked && i > 0}, Line{Text: "usb 1-1: new device"})
			}
		}
		for i := range got {
			got[i].Sequence, got[i].Time = uint64(i+100), boot.Add(time.Duration(i)*time.Millisecond)
		}
		reports := parse(New(pageSize), got)
		if len(reports) != 1 {
			t.Fatalf("%d reports", len(reports))
		}
		reports[0].First, reports[0].Last, reports[0].Time = want[0].First, want[0].Last, want[0].Time
		equal(t, fmt.Sprintf("in pieces, marked %t", marked), reports, want)
	}
}

// A kernel that says who writes a line: another thread's is none of the dump's.
func TestCallers(t *testing.T) {
	var mixed []Line
	for _, l := range log(dumpOf("/a", "/a/b", "name", 17)...) {
		l.Caller = "T17"
		mixed = append(mixed, l, Line{Sequence: l.Sequence, Time: l.Time, Caller: "T9", Text: "anon 1"}, Line{Sequence: l.Sequence, Time: l.Time, Caller: "C1", Text: "memory: usage 1kB, limit 2kB, failcnt 0"})
	}
	got := parse(New(pageSize), mixed)
	if len(got) != 1 || *got[0].Usage != 64<<20 || *got[0].Split.Anon != 60000000 {
		t.Errorf("%+v", got)
	}
}

// However much of a dump is missing, the kill is told, and nothing that belongs to another one.
func TestTruncated(t *testing.T) {
	dump := dumpOf("/a", "/a/b", "name", 17)
	for from := range dump {
		for to := from; to < len(dump); to++ {
			texts := append(append([]string{}, dump[:from]...), dump[to:]...)
			got := parse(New(pageSize), log(texts...))
			if len(got) != 1 || got[0].PID != 17 || got[0].Process != "name" || got[0].Constraint != Memcg || got[0].Cgroup != "" && got[0].Cgroup != "/a" {
				t.Errorf("without lines %d to %d: %+v", from, to, got)
			}
		}
	}
	for cut := range len(dump[12]) { // the line that sums up
		texts := append([]string{}, dump...)
		texts[12] = texts[12][:cut]
		got := parse(New(pageSize), log(texts...))
		if len(got) != 1 || got[0].PID != 17 || got[0].Cgroup != "" && got[0].Cgroup != "/a" || got[0].TaskCgroup != "" && got[0].TaskCgroup != "/a/b" {
			t.Errorf("%q: %+v", texts[12], got)
		}
	}
}

// A dump is for the process that it names: what is killed without one afterwards has none.
func TestStaleDump(t *testing.T) {
	dump := dumpOf("/a", "/a/b", "name", 17)
	without := dump[:len(dump)-1]
	for name, between := range map[string][]string{
		"it had ended":  {"Memory cgroup out of memory: OOM victim 17 (name) is already exiting. Skip killing the task"},
		"nothing said":  nil,
		"no one to end": {"Memory cgroup out of memory and no killable processes..."},
	} {
		texts := append(append(append([]string{}, without...), between...), killedLine("other", 18))
		got := parse(New(pageSize), log(texts...))
		if len(got) != 1 || got[0].PID != 18 || got[0].Cgroup != "" || got[0].Usage != nil || got[0].Largest != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	late := log(append(append([]string{}, without...), dump[len(dump)-1])...)
	late[len(late)-1].Time = boot.Add(time.Minute)
	if got := parse(New(pageSize), late); len(got) != 1 || got[0].Cgroup != "" {
		t.Errorf("a minute later: %+v", got)
	}
}

// Lost lines: what was read of a dump counts only if the rest says that it belongs to the kill.
func TestLost(t *testing.T) {
	dump := dumpOf("/a", "/a/b", "name", 17)
	for at := range dump {
		p := New(pageSize)
		var got []Report
		for i, l := range log(dump...) {
			if i == at {
				got = append(got, p.Lost()...)
			}
			got = append(got, p.Line(l)...)
		}
		got = append(got, p.Flush()...)
		if len(got) != 1 || got[0].PID != 17 || got[0].Lost != (at > 0) || got[0].Cgroup != "/a" {
			t.Errorf("before line %d: %+v", at, got)
		}
	}
	p := New(pageSize)
	l := log(append(dump[:11:11], killedLine("other", 18))...)
	parse(p, l[:11])
	p.Lost()
	if got := parse(p, l[11:]); len(got) != 1 || got[0].Cgroup != "" || got[0].Usage != nil || !got[0].Lost {
		t.Errorf("the dump of another one: %+v", got)
	}
}

// The line that says that a group is killed comes after the first of its kills: that one waits for it. The first may be killed twice.
func TestGroup(t *testing.T) {
	texts := append(dumpOf("/a", "/a/b", "first", 17), "Tasks in /a/b are going to be killed due to memory.oom.group set",
		killedLine("second", 18), killedLine("first", 17), "eth0: link up", killedLine("third", 19))
	p := New(pageSize)
	in := log(texts...)
	var got []Report
	for i, l := range in {
		got = append(got, p.Line(l)...)
		if waits := i >= 13; p.Waiting() != waits {
			t.Errorf("after %q it waits: %t", l.Text, !waits)
		}
		if seq, ok := p.Begun(); !ok || len(got) == 0 && seq != in[0].Sequence {
			t.Errorf("after %q it has begun with %d, %t", l.Text, seq, ok)
		}
	}
	got = append(got, p.Flush()...)
	if _, ok := p.Begun(); ok || p.Waiting() {
		t.Error("something is left")
	}
	if len(got) != 4 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []struct {
		pid   int
		again bool
		task  string
	}{{17, false, "/a/b"}, {18, false, ""}, {17, true, "/a/b"}, {19, false, ""}} {
		r := got[i]
		if r.PID != want.pid || r.Again != want.again || !r.Group || r.GroupCgroup != "/a/b" || r.Cgroup != "/a" || *r.Limit != 64<<20 || r.TaskCgroup != want.task {
			t.Errorf("%d: %+v", i, r)
		}
	}
	later := Line{Sequence: 200, Time: boot.Add(time.Minute), Text: killedLine("other", 20)}
	if got := parse(p, []Line{later}); len(got) != 1 || got[0].Group || got[0].Cgroup != "" {
		t.Errorf("a minute later: %+v", got)
	}
}

// In a storm one group is killed after the other, and most dumps are left out: each kill is of the group that is named after it, or of the
// one before it for a second, which others' kills do not make longer.
func TestGroups(t *testing.T) {
	texts := append(dumpOf("/a", "/a/b", "web", 17), "Tasks in /a/b are going to be killed due to memory.oom.group set", killedLine("web", 18),
		killedLine("db", 19), "Tasks in /c/d are going to be killed due to memory.oom.group set", killedLine("db", 20))
	got := parse(New(pageSize), log(texts...))
	if len(got) != 4 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []string{"/a/b", "/a/b", "/c/d", "/c/d"} {
		r := got[i]
		if ofWeb := i < 2; !r.Group || r.GroupCgroup != want || (r.Cgroup == "/a") != ofWeb || (r.Limit != nil) != ofWeb || (r.Largest != nil) != ofWeb || (r.Split.Anon != nil) != ofWeb {
			t.Errorf("%d: %+v", i, r)
		}
	}
	texts = append(dumpOf("/a", "/a/b", "web", 17), "Tasks in /c/d are going to be killed due to memory.oom.group set") // that one's own kill was not heard
	if got := parse(New(pageSize), log(texts...)); len(got) != 1 || got[0].Group || got[0].Cgroup != "/a" {
		t.Errorf("another's group: %+v", got)
	}
	in := log(append(dumpOf("/a", "/a/b", "web", 17), "Tasks in /a/b are going to be killed due to memory.oom.group set", killedLine("db", 19), killedLine("db", 20), killedLine("db", 21))...)
	for i := range 3 {
		in[len(in)-3+i].Time = boot.Add(time.Duration(i+1) * 600 * time.Millisecond)
	}
	if got := parse(New(pageSize), in); len(got) != 4 || !got[1].Group || got[2].Group || got[3].Group || got[2].Cgroup != "" {
		t.Errorf("it goes on and on: %+v", got)
	}
}

// Others' lines do not keep a report back.
func TestNotHeld(t *testing.T) {
	p := New(pageSize)
	var got []Report
	in := log(dumpOf("/a", "/a/b", "web", 17)...)
	for _, l := range in {
		got = append(got, p.Line(l)...)
	}
	for i := range 30 {
		got = append(got, p.Line(Line{Sequence: uint64(200 + i), Time: boot.Add(time.Duration(i) * 50 * time.Millisecond), Text: "IN=eth0 OUT="})...)
	}
	if len(got) != 1 || p.Waiting() {
		t.Errorf("%+v", got)
	}
}

// The process of a report is told by the line of its kill alone, and of no other line one is told.
func TestKilled(t *testing.T) {
	for text, want := range map[string]int{
		"Memory cgroup out of memory: Killed process 22065 (sleep) total-vm:420kB, anon-rss:0kB": 22065,
		"Out of memory: Killed process 7 (a b) c) total-vm:1kB, anon-rss:1kB":                    7,
		"Killed process 7 (x) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB":           7,
		"Killed process 7, UID 0, (x) total-vm:1kB, anon-rss:1kB":                                0, // no report is made of it
		"Killed process x (7) total-vm:1kB, anon-rss:1kB":                                        0,
		"Killed process -3 (x) total-vm:1kB, anon-rss:1kB":                                       0,
		"Killed process ": 0,
		"cat invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0": 0,
		"": 0,
	} {
		pid, ok := Killed(text)
		if ok != (want != 0) || ok && pid != want {
			t.Errorf("%q: %d, %t", text, pid, ok)
		}
		if got := parse(New(pageSize), log(text)); (len(got) == 1) != ok || ok && got[0].PID != pid {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Lines that are no kill.
func TestNoKill(t *testing.T) {
	for _, text := range []string{
		"", "Killed process", "Killed process 17 (a)", "Killed process x (a) total-vm:1kB", "Killed process -1 (a) total-vm:1kB, anon-rss:1kB", "a: Killed process 17 (a) total-vm:1kB, anon-rss:1kB", "Killed process 17 (a) total-vm:1kB",
		"Killed process 17 (a name that no process has) total-vm:1kB, anon-rss:1kB", "oom_reaper: reaped process 17 (a), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
		"Memory cgroup out of memory: Killed process 17 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB IN=eth0 OUT= MAC=00:00 SRC=192.0.2.1",
		"Out of memory and no killable processes...", "Memory cgroup out of memory: Killed process 99999999999999999999 (a) total-vm:1kB, anon-rss:1kB",
	} {
		p := New(pageSize)
		if got := parse(p, log(text)); len(got) != 0 || p.Waiting() {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Numbers that cannot be are left out.
func TestAbsurdNumbers(t *testing.T) {
	texts := dumpOf("/a", "/a", "name", 17)
	for i, line := range texts {
		texts[i] = strings.NewReplacer("65536kB", "99999999999999999kB", "60000000", "18446744073709551615", "6703", "9223372036854775807", "23152", "18446744073709551").Replace(line)
	}
	got := parse(New(pageSize), log(texts...))
	if len(got) != 1 || got[0].Usage != nil || got[0].Limit != nil || got[0].Split.Anon != nil || got[0].Victim.AnonRSS != 0 || got[0].Largest[0].RSS != 0 {
		t.Errorf("%+v", got)
	}
}

// The memory that a parser holds is bounded, also of processes in one dump.
func TestBounded(t *testing.T) {
	p := New(pageSize)
	dump := dumpOf("/a", "/a", "name", 17)
	n := uint64(0)
	line := func(text string) {
		n++
		p.Line(Line{Sequence: n, Text: text})
	}
	for _, text := range dump[:11] {
		line(text)
	}
	for i := range 100_000 {
		line(fmt.Sprintf("[%7d]     0 %5d     8255  %5d     5788      915         0   106496        0             0 name", i+1, i+1, i))
	}
	line("oom-kill:constraint=CONSTRAINT_MEMCG,")
	for range 100_000 {
		line(",cpuset=" + strings.Repeat("x", 1000))
	}
	if len(p.part.text) > longest || len(p.open.tasks.list) != mostTasks {
		t.Errorf("%d bytes of a line, %d processes", len(p.part.text), len(p.open.tasks.list))
	}
	for i, task := range p.open.tasks.list {
		if task.process.RSS != int64(99_999-i)*pageSize {
			t.Errorf("%d: %+v", i, task)
		}
	}
	line(killedLine("name", 17))
	line("Tasks in /a are going to be killed due to memory.oom.group set")
	for i := range 10_000 {
		line(killedLine("name", i+1))
	}
	if len(p.group.pids) != mostPids {
		t.Errorf("%d processes of a group", len(p.group.pids))
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g, w) {
		t.Errorf("%s:\n%s\nnot\n%s", what, g, w)
	}
}

// Any text: no panic, reports that make sense, bounded memory, and the same reports when the log is read from Begun on.
func FuzzLine(f *testing.F) {
	files, err := filepath.Glob("testdata/*.kmsg")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var texts []string
		for _, l := range lines(f, string(text)) {
			texts = append(texts, l.Text)
		}
		f.Add(strings.Join(texts, "\n"))
	}
	f.Add(strings.Join(dumpOf("/a", "/a/b", "a,task=b", 17), "\n"))
	f.Fuzz(func(t *testing.T, text string) {
		p, last := New(pageSize), uint64(0)
		for i, line := range strings.Split(text, "\n") {
			l := Line{Sequence: uint64(i + 1), Time: boot.Add(time.Duration(i) * time.Millisecond), Text: line}
			for _, r := range p.Line(l) {
				if r.PID <= 0 || r.First > r.Last || r.Last > l.Sequence || r.Last <= last && !r.Group || len(r.Largest) > mostTasks {
					t.Errorf("%+v after %d", r, last)
				}
				if _, err := json.Marshal(r); err != nil {
					t.Error(err)
				}
				for _, n := range []*int64{r.Limit, r.Usage, r.Split.Anon, r.Split.File, r.Split.Shmem, r.Split.Slab, r.Split.PageTables, r.Split.Kernel} {
					if n != nil && *n < 0 {
						t.Errorf("%+v", r)
					}
				}
				last = r.Last
			}
			if seq, ok := p.Begun(); ok && (seq <= last || seq > l.Sequence) {
				t.Errorf("begun with %d after a report to %d", seq, last)
			}
			if len(p.part.text) > longest {
				t.Errorf("%d bytes are kept", len(p.part.text))
			}
		}
		p.Lost()
	})
}
