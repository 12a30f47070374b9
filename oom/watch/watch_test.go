package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/solopod/solopod/oom/kernel"
	"github.com/solopod/solopod/oom/kmsg"
	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/oom/store"
)

// lines are what Linux 6.18 says of a kill in a container (read from its log), beginning with the number first.
func lines(boot string, first uint64, pid int, at time.Time) (out []kmsg.Entry) {
	for i, text := range []string{
		"java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
		fmt.Sprintf("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=%s,task_memcg=%[1]s,task=java,pid=%d,uid=0", webPath, pid),
		fmt.Sprintf("Memory cgroup out of memory: Killed process %d (java) total-vm:3060kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:48kB oom_score_adj:0", pid),
	} {
		n := first + uint64(i) //nolint:gosec // small
		out = append(out, kmsg.Entry{Sequence: n, Time: at, Text: text, Position: kmsg.Position{Boot: boot, Next: n + 1}})
	}
	return out
}

// noPID is of no process.
const noPID = 1 << 30

func watcher(t *testing.T, path, boot string, mark json.RawMessage) (*Watcher, *store.Store) {
	t.Helper()
	s, _ := store.Open(path)
	return New(Config{Boot: boot, Root: "/solopod", Subjects: &box{}, Store: s, Mark: mark, Machine: func() (uint64, bool) { return 0, false }}), s
}

// announced tells of each record.
type announced struct {
	Keeper
	said chan struct{}
}

func (a announced) Add(r record.Record) {
	a.Keeper.Add(r)
	select {
	case a.said <- struct{}{}:
	default:
	}
}

// hear has a watcher hear entries until it has told that many records.
func hear(t *testing.T, w *Watcher, s *store.Store, entries []kmsg.Entry, want int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	said, ended, added, dry := make(chan kmsg.Entry), make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
	w.mu.Lock()
	w.join.keeper = announced{s, added}
	w.mu.Unlock()
	go func() {
		defer close(ended)
		w.loop(ctx, said, dry)
	}()
	for _, e := range entries {
		said <- e
	}
	close(dry)
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for late := false; len(s.List()) < want && !late; {
		select {
		case <-added:
		case <-deadline.C:
			late = true
		}
	}
	cancel()
	<-ended
	if n := len(s.List()); n != want {
		t.Errorf("there are %d records, not %d: %s", n, want, summary(s.List()))
	}
}

func marked(t *testing.T, w *Watcher) json.RawMessage {
	t.Helper()
	out, err := json.Marshal(w.mark())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What was told is not told again after a restart, wherever the first one was killed, nor what was counted.
func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ooms.jsonl")
	w, s := watcher(t, path, "boot-1-and-more", nil)
	s.Begin(w.mark, nil)
	begun := marked(t, w)
	w.counted(webPath, 1)
	w.counted("/system.slice/nginx.service", 7)
	hear(t, w, s, lines("boot-1-and-more", 5, noPID, time.Now()), 1)
	first := s.List()[0]
	if first.Owner != record.Container || first.Pod.Name != "web" || first.Process != "java" || first.Victim.AnonRSS != 2<<20 || first.Source != record.Log {
		t.Errorf("%+v", first)
	}
	last := marked(t, w)
	if w.position != (kmsg.Position{Boot: "boot-1-and-more", Next: 8}) {
		t.Errorf("it goes on at %+v", w.position)
	}
	s.Close()
	for name, mark := range map[string]json.RawMessage{"with its last mark": last, "killed before it had marked": begun, "without a mark": nil, "with a damaged one": json.RawMessage(`{"boot":7}`)} {
		w, s := watcher(t, path, "boot-1-and-more", mark)
		var again []kmsg.Entry
		for _, e := range lines("boot-1-and-more", 5, noPID, time.Now()) {
			if e.Sequence >= w.position.Next {
				again = append(again, e)
			}
		}
		w.counted(webPath, 1)
		hear(t, w, s, append(again, lines("boot-1-and-more", 20, noPID+1, time.Now())...), 2)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	// With the next boot numbers and counters begin anew.
	w, s = watcher(t, path, "boot-2-and-more", last)
	if w.position != (kmsg.Position{}) || len(w.join.tallies) != 0 {
		t.Errorf("after a boot: %+v, %v", w.position, w.join.tallies)
	}
	hear(t, w, s, lines("boot-2-and-more", 5, noPID, time.Now()), 2)
}

// The wait grows while the log cannot be followed, and begins anew when it could be.
func TestBackOff(t *testing.T) {
	for _, c := range []struct{ before, followed, want time.Duration }{
		{0, 0, time.Second}, {time.Second, time.Second, 2 * time.Second}, {32 * time.Second, time.Millisecond, time.Minute}, {time.Minute, time.Minute, time.Minute},
		{time.Minute, time.Minute + 1, time.Second}, {0, time.Hour, time.Second},
	} {
		if got := backOff(c.before, c.followed); got != c.want {
			t.Errorf("after %s, followed for %s: %s, not %s", c.before, c.followed, got, c.want)
		}
	}
}

// A report that is half read at a kill of Solopod is read again.
func TestHalfRead(t *testing.T) {
	w, s := watcher(t, filepath.Join(t.TempDir(), "ooms.jsonl"), "boot-1", nil)
	hear(t, w, s, lines("boot-1", 5, noPID, time.Now())[:2], 0)
	if w.position.Next != 5 {
		t.Errorf("it goes on at %+v", w.position)
	}
}

// counter counts two kills.
type counter struct{}

func (counter) Watch(_ string, report func(uint64)) (func(), error) {
	report(2)
	return func() {}, nil
}

func (counter) Kills(string) (uint64, error) { return 2, nil }

func (counter) WatchLimit(string, func()) (func(), error) { return func() {}, nil }

// What others are told of kills is heard.
func TestHeard(t *testing.T) {
	for name, ask := range map[string]func(Counter, func(uint64)) error{
		"Watch": func(c Counter, told func(uint64)) error {
			stop, err := c.Watch(webPath, told)
			if err == nil {
				stop()
			}
			return err
		},
		"Kills": func(c Counter, told func(uint64)) error {
			n, err := c.Kills(webPath)
			told(n)
			return err
		},
	} {
		w, s := watcher(t, filepath.Join(t.TempDir(), "ooms.jsonl"), "boot-1", nil)
		told := uint64(0)
		if err := ask(w.Heard(counter{}), func(n uint64) { told = n }); err != nil || told != 2 {
			t.Errorf("%s: %d, %v", name, told, err)
		}
		hear(t, w, s, nil, 2)
		if got := summary(s.List()); got != "web//unknown/counter web//unknown/counter" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Others' lines, however close together, do not have a report wait.
func TestNoise(t *testing.T) {
	w, s := watcher(t, filepath.Join(t.TempDir(), "ooms.jsonl"), "boot-1", nil)
	ctx, cancel := context.WithCancel(t.Context())
	said, ended, added := make(chan kmsg.Entry), make(chan struct{}), make(chan struct{}, 1)
	w.join.keeper = announced{s, added}
	go func() {
		defer close(ended)
		w.loop(ctx, said, nil)
	}()
	at := time.Now()
	for _, e := range lines("boot-1", 5, noPID, at) {
		said <- e
	}
	noise, limit := time.NewTicker(kernel.Quiet/5), time.NewTimer(10*time.Second)
	defer noise.Stop()
	defer limit.Stop()
	for n, heard := uint64(8), false; !heard; n++ {
		select {
		case <-noise.C: // all of the log's time, so that this is not the parser's own limit
			said <- kmsg.Entry{Sequence: n, Time: at, Text: "IN=eth0 OUT=", Position: kmsg.Position{Boot: "boot-1", Next: n + 1}}
		case <-added:
			heard = true
		case <-limit.C:
			t.Error("the report is held for ever")
			heard = true
		}
	}
	cancel()
	<-ended
}

// A report that waits for a counter is neither lost nor told twice when Solopod ends, nor is what came after it.
func TestWaitingAtTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ooms.jsonl")
	w, s := watcher(t, path, "boot-1", nil)
	s.Begin(w.mark, nil)
	cut := kmsg.Entry{Sequence: 5, Time: time.Now(), Text: fmt.Sprintf("Memory cgroup out of memory: Killed process %d (cut) total-vm:3060kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:48kB oom_score_adj:0", noPID), Position: kmsg.Position{Boot: "boot-1", Next: 6}}
	all := append([]kmsg.Entry{cut}, lines("boot-1", 6, noPID+1, time.Now())...)
	w.counted(webPath, 1)
	for _, e := range all {
		w.take(e)
	}
	w.report(w.parser.Flush())
	w.caughtUp()
	w.join.end()
	if got := summary(s.List()); got != "/cut/unknown/log web/java/container/log" {
		t.Error(got)
	}
	last := marked(t, w)
	s.Close()
	w, s = watcher(t, path, "boot-1", last)
	if w.position.Next != 5 || w.join.until != 9 {
		t.Errorf("it goes on at %d, until %d", w.position.Next, w.join.until)
	}
	if ids, first := w.join.waiting(w.position.Next); len(ids) != 1 || first != 5 {
		t.Errorf("before anything was read %v wait from %d on", ids, first)
	}
	for _, e := range all {
		w.take(e)
	}
	w.report(w.parser.Flush())
	w.caughtUp()
	w.counted(webPath, 2)
	w.join.settle(time.Now().Add(patience))
	w.join.settle(time.Now().Add(time.Minute))
	if got := summary(s.List()); got != "web/cut/unknown/log web/java/container/log" || w.join.tallies["c1"].Told != 2 {
		t.Errorf("%s, %+v", got, w.join.tallies["c1"])
	}
}

// Lines from before Solopod was on the machine are early until the last of them is counted; later ones, and those that a restart finds, are not.
func TestEarly(t *testing.T) {
	dir := t.TempDir()
	w, _ := watcher(t, filepath.Join(dir, "ooms"), "boot", nil)
	w.mu.Lock()
	w.join.loose = []loose{{record: record.Record{Time: w.begun.Add(-time.Hour)}}}
	w.mu.Unlock()
	for i, step := range []struct {
		do    func()
		early bool
	}{
		{func() {}, true},
		{func() { w.join.caughtUp(time.Now()) }, true},
		{func() { w.join.loose[0].record.Time = w.begun.Add(time.Second) }, false},
		{func() { w.join.loose[0].record.Time = w.begun.Add(-time.Hour) }, false},
	} {
		w.mu.Lock()
		step.do()
		w.mu.Unlock()
		if got := w.Totals().Early; got != step.early {
			t.Errorf("step %d: %v", i, got)
		}
	}
	mark, err := json.Marshal(w.mark())
	if err != nil {
		t.Fatal(err)
	}
	if w, _ := watcher(t, filepath.Join(dir, "others"), "boot", mark); w.Totals().Early {
		t.Error("it is here for the second time")
	}
}
