package watch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/oom/kernel"
	"github.com/solopod/solopod/oom/record"
)

// Paths mean what runner/cgroup lays out, whatever lies around and below.
func TestPlaces(t *testing.T) {
	const slices = "/solopod.slice/solopod-burstable.slice/"
	container := func(inner bool) place { return place{record.Container, "0a-1b", "c1", inner} }
	for _, c := range []struct {
		root, path string
		want       []place
	}{
		{"/solopod", "/solopod/burstable/pod0a-1b/c1", []place{container(false)}},
		{"/solopod", "/solopod/burstable/pod0a-1b/c1/inner/most", []place{container(true)}},
		{"/solopod", "/solopod/burstable/pod0a-1b", []place{{level: record.Pod, uid: "0a-1b"}}},
		{"/solopod", "/solopod/burstable", []place{{level: record.Pods}}},
		{"/solopod", "/solopod", []place{{level: record.Pods}}},
		{"/solopod", "/solopod/shims/pod0a-1b", []place{{level: record.Ancestor}}},
		{"/solopod", "/solopod/shims", []place{{level: record.Ancestor}}},
		{"/solopod", "/solopod-2/burstable/pod0a-1b/c1", nil},
		{"/solopod", "/", nil},
		{"/solopod", "/system.slice/nginx.service", nil},
		{"/solopod", "/solopod/burstable/other/c1", []place{{level: record.Ancestor}}},
		{"/solopod", "/lxc/box/solopod/burstable/pod0a-1b/c1", []place{container(false)}},
		{"/solopod", "/solopod/burstable/podx/y/solopod/burstable/pod0a-1b/c1", []place{{record.Container, "x", "y", true}, container(false)}},
		{"/boxes/one", "/boxes/one/guaranteed/pod0a-1b/c1", []place{container(false)}},
		{"/", "/burstable/pod0a-1b/c1", []place{container(false)}},
		{"/solopod", "/solopod/burstable/../burstable/pod0a-1b/c1", []place{container(false)}},
		{"/solopod.slice", slices + "solopod-burstable-pod0a_1b.slice/solopod-c1.scope", []place{container(false)}},
		{"/solopod.slice", slices + "solopod-burstable-pod0a_1b.slice/solopod-c1.scope/container", []place{container(true)}},
		{"/solopod.slice", slices + "solopod-burstable-pod0a_1b.slice", []place{{level: record.Pod, uid: "0a-1b"}}},
		{"/solopod.slice", slices, []place{{level: record.Pods}}},
		{"/solopod.slice", "/solopod.slice/solopod-shims.scope/pod0a-1b", []place{{level: record.Ancestor}}},
		{"/solopod.slice", slices + "other.slice/c1", []place{{level: record.Ancestor}}},
	} {
		got := placesOf(c.root, c.path)
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s below %s: %+v, want %+v", c.path, c.root, got, c.want)
		}
	}
}

// box has two containers, and keeps what is told.
type box struct {
	records []record.Record
	removed []string
	gone    bool // its pods
	started time.Time
}

func (b *box) Add(r record.Record) {
	if !slices.ContainsFunc(b.records, func(old record.Record) bool { return old.ID == r.ID }) {
		b.records = append(b.records, r)
	}
}

func (b *box) Remove(id string) {
	b.removed = append(b.removed, id)
	b.records = slices.DeleteFunc(b.records, func(r record.Record) bool { return r.ID == id })
}

func (b *box) Container(id string) (Subject, bool) {
	pod, ok := map[string]string{"c1": "web", "c2": "db"}[id]
	s := Subject{Pod: record.PodName{UID: "uid-" + pod, Namespace: "default", Name: pod}, Container: "main", ID: id, Attempt: 2, PID: 17, Limit: 256 << 20, Only: id == "c1", Started: b.started}
	return s, ok && !b.gone
}

// Former: of web's attempts before the last one nothing but their limit is known.
func (b *box) Former(uid, id string) (Subject, bool) {
	s, ok := b.Container("c1")
	if !ok || uid != s.Pod.UID {
		return Subject{}, false
	}
	s.ID, s.Attempt, s.PID = id, 1, 0
	if id != "last" {
		s.Container = ""
	}
	return s, true
}

func (b *box) Pods() map[string]bool { return nil }

func (b *box) Pod(uid string) (record.PodName, bool) {
	name, ok := strings.CutPrefix(uid, "uid-")
	return record.PodName{UID: uid, Namespace: "default", Name: name}, ok && !b.gone
}

const (
	webPath = "/solopod/burstable/poduid-web/c1"
	dbPath  = "/solopod/burstable/poduid-db/c2"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// told is what the log says of a kill, by its number.
func told(n uint64, process, task, limit string) kernel.Report {
	r := kernel.Report{First: n, Last: n + 3, Time: t0, Process: process, PID: 100 + int(n), TaskCgroup: task, Cgroup: limit} //nolint:gosec // small
	if limit != "" {
		r.Constraint = kernel.Memcg
	}
	return r
}

// script is what is heard, and when: seconds after the beginning.
type script struct {
	at     float64
	report *kernel.Report
	path   string // of whom a count is
	count  uint64
	beside beside
}

func said(at float64, r kernel.Report) script { return script{at: at, report: &r} }
func counted(at float64, path string, n uint64) script {
	return script{at: at, path: path, count: n}
}

// play hears a script, and settles each tenth of a second until all is settled.
func play(b *box, nested bool, all []script) *join {
	j := &join{boot: "b", root: "/solopod", nested: nested, subjects: b, keeper: b, tallies: map[string]*tally{}}
	for tenth := range 200 {
		now := t0.Add(time.Duration(tenth) * time.Second / 10)
		for _, s := range all {
			if int(s.at*10) != tenth {
				continue
			}
			if s.report != nil {
				s.report.Time = now
				j.reported(*s.report, s.beside, now)
				continue
			}
			of, _, _ := j.subject(s.path)
			j.counted(of, s.count, now)
		}
		j.settle(now)
	}
	return j
}

// summary has POD/PROCESS/OWNER/SOURCE of each record.
func summary(records []record.Record) string {
	var out []string
	for _, r := range records {
		out = append(out, fmt.Sprintf("%s/%s/%s/%s", r.Pod.Name, r.Process, r.Owner, r.Source))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// One kill is one record, whoever tells of it, and in whatever order.
func TestJoin(t *testing.T) {
	web := func(n uint64) kernel.Report { return told(n, "java", webPath, webPath) }
	loose := func(n uint64, process string) kernel.Report { return told(n, process, "", "") }
	group := func(n uint64, pid int, again bool) kernel.Report {
		r := told(n, "java", "", webPath)
		r.Group, r.GroupCgroup, r.PID, r.Again = true, webPath, pid, again
		return r
	}
	podLimit := func(limit int64) kernel.Report {
		r := told(1, "java", webPath, "/solopod/burstable/poduid-web")
		r.Limit = &limit
		return r
	}
	former := func(id string, limit int64) kernel.Report {
		r := podLimit(limit)
		r.TaskCgroup = "/solopod/burstable/poduid-web/" + id
		return r
	}
	notOnly := podLimit(256 << 20)
	notOnly.TaskCgroup, notOnly.Cgroup = dbPath, "/solopod/burstable/poduid-db"
	machine := web(1)
	machine.Cgroup, machine.Constraint = "", kernel.None
	beyond := make([]script, 0, 50)
	for i := range 50 {
		beyond = append(beyond, said(0.1*float64(i), loose(uint64(i), "hog")), counted(0.1*float64(i)+0.1, webPath, uint64(i+1))) //nolint:gosec // small
	}
	const one = "web/java/container/log"
	for name, c := range map[string]struct {
		nested bool
		script []script
		want   string
	}{
		"log, then counter":                    {false, []script{said(0, web(1)), counted(0.1, webPath, 1)}, one},
		"counter, then log":                    {false, []script{counted(0, webPath, 1), said(1, web(1))}, one},
		"counter, then log, much later":        {false, []script{counted(0, webPath, 1), said(0.5, loose(9, "x")), said(8, web(1))}, "/x"},
		"log alone":                            {false, []script{said(0, web(1))}, one},
		"counter alone":                        {false, []script{counted(0, webPath, 1)}, "web//unknown/counter"},
		"the counter again":                    {false, []script{counted(0, webPath, 1), counted(3, webPath, 1), counted(3, webPath, 1)}, "web//unknown/counter"},
		"two, of which the log has one":        {false, []script{said(0, web(1)), counted(0, webPath, 2)}, "web//unknown/counter " + one},
		"the same twice":                       {false, []script{said(0, web(1)), said(0.1, web(1)), counted(0, webPath, 1)}, one},
		"of the pod's limit":                   {false, []script{said(0, told(1, "java", webPath, "/solopod/burstable/poduid-web")), counted(0, webPath, 1)}, "web/java/pod/log"},
		"of the pod's limit, which is larger":  {false, []script{said(0, podLimit(512<<20))}, "web/java/pod/log"},
		"of the pod's limit, which is its own": {false, []script{said(0, podLimit(256<<20))}, one},
		"of the last attempt's limit":          {false, []script{said(0, former("last", 256<<20))}, one},
		"of an earlier attempt's limit":        {false, []script{said(0, former("first", 256<<20))}, one},
		"of the pod's, at an earlier attempt":  {false, []script{said(0, former("first", 512<<20))}, "web/java/pod/log"},
		"of the pod's limit, of several":       {false, []script{said(0, notOnly)}, "db/java/pod/log"},
		"cut short, counted much later":        {false, []script{said(0, loose(1, "java")), counted(6, webPath, 1)}, "web/java/unknown/log"},
		"below what only begins as ours":       {false, []script{said(0, told(1, "java", "/solopod-2/burstable/podgone/c9", "/solopod-2/burstable/podgone/c9"))}, "/java/ancestor/log"},
		"of all pods' limit":                   {false, []script{said(0, told(1, "java", webPath, "/solopod")), counted(0, webPath, 1)}, "web/java/pods/log"},
		"of a limit above":                     {false, []script{said(0, told(1, "java", webPath, "/"))}, "web/java/ancestor/log"},
		"of the machine":                       {false, []script{said(0, machine), counted(0, webPath, 1)}, "web/java/machine/log"},
		"of no pod":                            {false, []script{said(0, told(1, "nginx", "/system.slice/nginx", "/system.slice"))}, "/nginx/ancestor/log"},
		"of a pod that nobody knows":           {false, []script{said(0, told(1, "java", "/solopod/burstable/podgone/c9", "/solopod/burstable/podgone/c9"))}, "/java/container/log"},
		"of another Solopod's":                 {false, []script{said(0, told(1, "java", "/lxc/solopod/burstable/podgone/c9", "/lxc/solopod/burstable/podgone/c9"))}, "/java/ancestor/log"},
		"a container that is gone":             {false, []script{said(0, told(1, "java", "/solopod/burstable/poduid-web/c0", "/solopod/burstable/poduid-web/c0"))}, one},
		"an inner cgroup with v2":              {true, []script{said(0, told(1, "java", webPath+"/inner", webPath)), counted(0, webPath, 1)}, one},
		"an inner cgroup with v1":              {false, []script{said(0, told(1, "java", webPath+"/inner", webPath)), counted(0, webPath, 1)}, "web//unknown/counter " + one},
		"a storm of one container":             {false, beyond, strings.TrimSpace(strings.Repeat("web/hog/unknown/log ", 50))},
		"cut short, and alone":                 {false, []script{said(0, loose(1, "java")), counted(0.1, webPath, 1)}, "web/java/unknown/log"},
		"cut short, of nobody's":               {false, []script{said(0, loose(1, "java"))}, "/java/unknown/log"},
		"cut short, two containers":            {false, []script{said(0, loose(1, "java")), said(0, loose(2, "mysqld")), counted(0.1, webPath, 1), counted(0.1, dbPath, 1)}, "db//unknown/counter web//unknown/counter"},
		"cut short, two of known names":        {false, []script{said(0, web(1)), said(0, told(2, "mysqld", dbPath, dbPath)), said(0, loose(3, "java")), said(0, loose(4, "mysqld")), counted(0.1, webPath, 2), counted(0.1, dbPath, 2)}, "db/mysqld/container/log db/mysqld/unknown/log " + one + " web/java/unknown/log"},
		"cut short, and one of no pod's":       {false, []script{said(0, web(1)), said(0, loose(3, "java")), said(0, loose(4, "cron")), counted(0.1, webPath, 2)}, "/cron/unknown/log " + one + " web/java/unknown/log"},
		"cut short, but found by number":       {false, []script{{report: ptr(loose(1, "java")), beside: beside{cgroup: webPath}}, counted(0, webPath, 1)}, "web/java/unknown/log"},
		"a group, counted twice":               {true, []script{said(0, group(1, 101, false)), said(0, group(1, 101, true)), said(0, group(1, 102, false)), counted(0, webPath, 3)}, one + " " + one},
		"a group that is of no pod":            {true, []script{said(0, told(1, "x", "/x", "/x")), {report: ptr(kernel.Report{First: 1, Time: t0, PID: 101, Group: true, GroupCgroup: "/x", Again: true})}}, "/x/ancestor/log"},
	} {
		b := &box{}
		play(b, c.nested, c.script)
		got := summary(b.records)
		if c.want == "/x" { // the bare record gave way
			c.want = "/x"
			if len(b.removed) != 0 {
				t.Errorf("%s: removed %v", name, b.removed)
			}
			if got != "web/x/unknown/log "+one && got != one+" web/x/unknown/log" {
				t.Errorf("%s: %s", name, got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// A record that was made of a counter gives way to what the log says late.
func TestLateLog(t *testing.T) {
	b := &box{}
	j := play(b, false, []script{counted(0, webPath, 1)})
	if len(b.records) != 1 || b.records[0].Source != record.Counter {
		t.Fatalf("%+v", b.records)
	}
	late := told(1, "java", webPath, webPath)
	j.reported(late, beside{}, t0.Add(time.Minute))
	if got := summary(b.records); got != "web/java/container/log" {
		t.Error(got)
	}
	// A kill after that is another one.
	b.records = nil
	j = play(b, false, []script{counted(0, webPath, 1)})
	next := told(2, "java", webPath, webPath)
	next.Time = t0.Add(time.Minute)
	j.reported(next, beside{}, next.Time)
	j.counted(j.tallies["c1"].Subject, 2, next.Time)
	j.settle(next.Time.Add(time.Minute))
	if got := summary(b.records); got != "web//unknown/counter web/java/container/log" {
		t.Error(got)
	}
}

// What a container was is known after it is gone, for a while.
func TestGone(t *testing.T) {
	b := &box{}
	j := play(b, false, []script{said(0, told(1, "java", webPath, webPath)), counted(0, webPath, 1)})
	b.gone = true
	j.reported(told(9, "sh", webPath, webPath), beside{}, t0.Add(time.Minute))
	if got := summary(b.records); got != "web/java/container/log web/sh/container/log" {
		t.Error(got)
	}
	j.forget(t0.Add(2 * time.Minute))
	if len(j.tallies) != 1 {
		t.Error("it is forgotten at once")
	}
	j.forget(t0.Add(time.Hour))
	if len(j.tallies) != 0 {
		t.Error("it is never forgotten")
	}
	for _, r := range b.records {
		if r.Attempt != 2 || r.ContainerID != "c1" || r.Container != "main" {
			t.Errorf("%+v", r)
		}
	}
}

// Only the main process is the main process.
func TestMainProcess(t *testing.T) {
	b := &box{}
	first := told(2, "java", webPath, webPath)
	first.PID = 17
	play(b, false, []script{said(0, told(1, "child", webPath, webPath)), said(0, first)})
	for _, r := range b.records {
		if r.Main == nil || *r.Main != (r.Process == "java") {
			t.Errorf("%+v", r)
		}
	}
}

// Whatever comes, memory is bounded.
func TestBounds(t *testing.T) {
	b := &box{}
	j := &join{boot: "b", root: "/solopod", subjects: b, keeper: b, tallies: map[string]*tally{}}
	s, _ := b.Container("c1")
	for i := range 5000 {
		r := told(uint64(i), "x", "", "") //nolint:gosec // small
		j.reported(r, beside{}, t0)
		j.counted(s, uint64(i), t0) //nolint:gosec // small
	}
	if len(j.loose) > mostLoose || len(j.tallies["c1"].steps) > mostSteps {
		t.Errorf("%d wait, with %d steps", len(j.loose), len(j.tallies["c1"].steps))
	}
	j = &join{boot: "b", root: "/solopod", subjects: b, keeper: &box{}, tallies: map[string]*tally{}}
	j.counted(s, 1_000_000, t0)
	if next := j.settle(t0); !next.Equal(t0.Add(patience)) {
		t.Errorf("it is settled at %s", next)
	}
	if next := j.settle(t0.Add(time.Hour)); !next.IsZero() {
		t.Errorf("it is settled again at %s", next)
	}
	if n := len(j.keeper.(*box).records); n != mostBare {
		t.Errorf("there are %d records", n)
	}
}

// Where the log is never read the counter alone tells all kills, and no more is remembered of them than their number. That another counter
// tells the same ones late counts none of them twice.
func TestMany(t *testing.T) {
	b := &box{}
	j := joinOf(b, true, &tally{})
	const most = 1000
	for n := range uint64(most + 1) {
		now := t0.Add(time.Duration(n) * podPatience * 2) //nolint:gosec // small
		j.podCounted("uid-web", n, 1, now)
		j.settle(now)
		j.settle(now.Add(podPatience))
	}
	pod := j.tallies[podKey("uid-web")]
	if len(pod.Bare) != mostBare || pod.bares() != most || len(b.records) != most || j.totals.Sum() != most {
		t.Errorf("%d and %d are remembered, there are %d records, and %d are counted", len(pod.Bare), pod.Rest, len(b.records), j.totals.Sum())
	}
	s, _ := b.Container("c1")
	j.counted(s, most, t0.Add(time.Hour))
	j.settle(t0.Add(2 * time.Hour))
	if c := j.tallies["c1"]; j.totals.Sum() != most || pod.bares() != 0 || len(c.Bare) != mostBare || c.Rest != most-mostBare {
		t.Errorf("after the container's: %d are counted, %d of the pod and %d of the container remembered", j.totals.Sum(), pod.bares(), c.bares())
	}
	again := j.reborn(b, 1)
	if again.tallies["c1"].missing(most) != 0 {
		t.Error("a restart has forgotten some")
	}
}

// What was counted while nobody looked is due when the log has been read to its end, and no sooner.
func TestBehind(t *testing.T) {
	b := &box{}
	j := &join{boot: "b", root: "/solopod", subjects: b, keeper: b, tallies: map[string]*tally{}, behind: true}
	s, _ := b.Container("c1")
	j.counted(s, 2, t0)
	late := t0.Add(5 * time.Second)
	if next := j.settle(late); !next.IsZero() || len(b.records) != 0 {
		t.Errorf("%s, %+v", next, b.records)
	}
	cut := told(1, "java", "", "")
	cut.Time = t0.Add(-time.Hour)
	j.reported(cut, beside{}, late)
	j.caughtUp(late)
	for after := range 100 {
		j.settle(late.Add(time.Duration(after) * time.Second / 10))
	}
	if got := summary(b.records); got != "web//unknown/counter web/java/unknown/log" {
		t.Error(got)
	}
	for _, r := range b.records {
		if r.Before != (r.Source == record.Counter) {
			t.Errorf("%+v", r)
		}
	}
}

// A report is none of a container's that was not there at the time, nor of a kill that had been counted before it.
func TestTimes(t *testing.T) {
	for name, c := range map[string]struct {
		at   time.Duration // of the line, from the start of the container
		want string
	}{
		"before its start": {-10 * time.Second, "/java/unknown/log web//unknown/counter"}, "while it ran": {time.Second, "web/java/unknown/log"}, "after the counting": {time.Minute, "/java/unknown/log web//unknown/counter"},
	} {
		b := &box{started: t0}
		j := &join{boot: "b", root: "/solopod", subjects: b, keeper: b, tallies: map[string]*tally{}}
		r, now := told(1, "java", "", ""), t0.Add(10*time.Second)
		r.Time = t0.Add(c.at)
		j.reported(r, beside{}, now)
		s, _ := b.Container("c1")
		j.counted(s, 1, now)
		for after := range 100 {
			j.settle(now.Add(time.Duration(after) * time.Second / 10))
		}
		if got := summary(b.records); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Whose a process was is seen by its number: after the kill of a group another's kill without a dump is none of the group's.
func TestNotOfTheGroup(t *testing.T) {
	p := kernel.New(4096)
	var reports []kernel.Report
	for i, text := range []string{
		"Memory cgroup out of memory: Killed process 101 (java) total-vm:3060kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:48kB oom_score_adj:0",
		"Tasks in " + webPath + " are going to be killed due to memory.oom.group set",
		"Memory cgroup out of memory: Killed process 102 (java) total-vm:3060kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:48kB oom_score_adj:0",
		"Memory cgroup out of memory: Killed process 103 (mysqld) total-vm:3060kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:48kB oom_score_adj:0",
	} {
		reports = append(reports, p.Line(kernel.Line{Sequence: uint64(i + 1), Time: t0, Text: text})...) //nolint:gosec // small
	}
	b := &box{}
	j := &join{boot: "b", root: "/solopod", subjects: b, keeper: b, tallies: map[string]*tally{}}
	for _, r := range append(reports, p.Flush()...) {
		j.reported(r, beside{cgroup: map[int]string{102: "/below/" + webPath, 103: dbPath}[r.PID]}, t0)
	}
	if got := summary(b.records); got != "db/mysqld/unknown/log web/java/unknown/log web/java/unknown/log" {
		t.Error(got)
	}
	for _, r := range b.records {
		if r.Group != (r.Process == "java") {
			t.Errorf("%+v", r)
		}
	}
}

// A container that was watched is known when it is gone, though nothing was ever counted of it, and its pod.
func TestWatched(t *testing.T) {
	b := &box{}
	j := &join{boot: "b", root: "/solopod", subjects: b, keeper: b, tallies: map[string]*tally{}}
	s, _ := b.Container("c1")
	j.watched(s)
	b.gone = true
	j.reported(told(1, "java", webPath, webPath), beside{}, t0)
	j.reported(told(2, "sh", "/solopod/burstable/poduid-web/c0", "/solopod/burstable/poduid-web"), beside{}, t0)
	if got := summary(b.records); got != "web/java/container/log web/sh/pod/log" {
		t.Error(got)
	}
	for n := range 2 * mostSeen {
		j.watched(Subject{ID: fmt.Sprint(n)})
	}
	if len(j.seen) != mostSeen || len(j.order) != mostSeen {
		t.Errorf("%d are remembered", len(j.seen))
	}
}
