package event

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/internal/stuck"
)

// said are the messages of a log, with how often each was.
func said(l *Log) string {
	var out []string
	for _, e := range l.List() {
		out = append(out, fmt.Sprintf("%s x%d", e.Message, e.Count))
	}
	return strings.Join(out, ", ")
}

// written waits until what was reported is in memory, or with flush on the disk.
func written(t *testing.T, l *Log, flush bool) {
	t.Helper()
	over := time.After(20 * time.Second)
	flushed := make(chan struct{})
	if flush {
		select {
		case l.store.flushes <- flushed:
		case <-over:
			t.Fatal("no flush begins in time")
		}
		select {
		case <-flushed:
		case <-over:
			t.Fatal("the events are not flushed in time")
		}
		return
	}
	_, memory := filepath.Split(l.store.memory)
	for last := l.List()[len(l.List())-1]; ; time.Sleep(time.Millisecond) { //nolint:forbidigo // a poll with a deadline
		events, _, err := read(l.store.memory)
		if err == nil && len(events) > 0 && events[len(events)-1].Name == last.Name && events[len(events)-1].Count == last.Count {
			return
		}
		select {
		case <-over:
			t.Fatal("the events are not in time in ", memory)
		default:
		}
	}
}

// Events are there again after a kill, and after a power cut those that were worth a write.
func TestLogIsKept(t *testing.T) {
	state, root := t.TempDir(), t.TempDir()
	l := New("node", state, root)
	l.Manifest("a", v1.EventTypeNormal, "R", "first")
	l.Manifest("a", v1.EventTypeWarning, "R", "second")
	l.Manifest("a", v1.EventTypeNormal, "R", "first") // again: it is the latest now
	const want = "second x1, first x2"
	if got := said(l); got != want {
		t.Errorf("the log: %s", got)
	}
	written(t, l, false)
	killed := New("node", state, root) // nobody closed the first
	if got := said(killed); got != want {
		t.Errorf("after a kill: %s", got)
	}
	if got := said(New("node", t.TempDir(), root)); got != "" {
		t.Errorf("the disk has, before its time: %s", got)
	}
	killed.Manifest("a", v1.EventTypeNormal, "R", "third")
	killed.Close()
	if got := said(New("node", t.TempDir(), root)); got != "third x1" { // what the killed run had not written is lost with the memory
		t.Errorf("after a reboot: %s", got)
	}
	l.Close()
	l.Close() // nothing is written twice
	again := New("node", t.TempDir(), root)
	if got := said(again); got != want+", third x1" && got != "third x1, "+want { // as their seconds are
		t.Errorf("after both ended well: %s", got)
	}
	// The line that a power cut tears is left out, and the rest is not.
	f, err := os.OpenFile(filepath.Join(root, "events.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"metadata":{"name":"torn`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := said(New("node", t.TempDir(), root)); got != said(again) {
		t.Errorf("with a torn line: %s", got)
	}
	info, err := os.Stat(filepath.Join(root, "events.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
}

// The log is bounded, in memory and on the disk.
func TestLogIsBounded(t *testing.T) {
	state, root := t.TempDir(), t.TempDir()
	l := New("node", state, root)
	for i := range 4000 {
		l.Manifest("a", v1.EventTypeNormal, "R", fmt.Sprintf("%04d %s", i, strings.Repeat("x", 200)))
	}
	l.Close()
	list := l.List()
	if len(list) != maxEvents || !strings.HasPrefix(list[0].Message, "3000 ") || len(l.ofBoot) != maxEvents {
		t.Errorf("%d events, the oldest %.4s; %d of this boot", len(list), list[0].Message, len(l.ofBoot))
	}
	for _, dir := range []string{state, root} {
		if info, err := os.Stat(filepath.Join(dir, "events.jsonl")); err != nil || info.Size() > maxFile {
			t.Errorf("%s: %v, %v", dir, info.Size(), err)
		}
	}
	if again := New("node", state, root).List(); len(again) != maxEvents || again[0].Message != list[0].Message {
		t.Errorf("read again: %d", len(again))
	}
}

// What is worth no write of its own does not pile up, not even while the disk takes nothing.
func TestPendingIsBounded(t *testing.T) {
	state, root := t.TempDir(), t.TempDir()
	l := New("node", state, root)
	round := func() {
		for i := range 2 * maxPending {
			l.Manifest("a", v1.EventTypeNormal, "R", fmt.Sprintf("%d %s", i%7, strings.Repeat("x", 600)))
		}
		written(t, l, true)
	}
	for range 3 {
		round()
	}
	l.Close()
	if len(l.store.pending) != 0 {
		t.Errorf("%d are pending", len(l.store.pending))
	}
	l = New("node", state, root)
	away := root + ".away" // a file is where the directory should be
	if err := errors.Join(os.Rename(root, away), os.WriteFile(root, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		round()
	}
	l.Close()
	if n := len(l.store.pending); n != 7 {
		t.Errorf("%d are pending when they cannot be written, and there are 7 events", n)
	}
	if err := errors.Join(os.Remove(root), os.Rename(away, root)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{state, root} {
		if info, err := os.Stat(filepath.Join(dir, "events.jsonl")); err != nil || info.Size() > maxFile {
			t.Errorf("%s: %v, %v", dir, info.Size(), err)
		}
	}
}

// Watchers see everything, and one that sleeps holds nobody up.
func TestWatch(t *testing.T) {
	l := New("node", "", "")
	events, cancel := l.Watch()
	defer cancel()
	_, sleeper := l.Watch()
	for range 1000 {
		l.Manifest("a", v1.EventTypeNormal, "R", "again")
		if e := <-events; e.Message != "again" {
			t.Fatalf("%+v", e)
		}
	}
	sleeper() // which was dropped already
	if len(l.watchers) != 1 {
		t.Errorf("%d watch", len(l.watchers))
	}
}

// When the clock is set what happened since the boot is moved, what came before it is not.
func TestMove(t *testing.T) {
	state, root := t.TempDir(), t.TempDir()
	l := New("node", state, root)
	l.Manifest("a", v1.EventTypeNormal, "R", "before")
	l.Close()
	state = t.TempDir() // as after a reboot
	l = New("node", state, root)
	before := l.List()[0].LastTimestamp
	l.Manifest("a", v1.EventTypeNormal, "R", "now")
	now := l.List()[1].LastTimestamp
	l.Move(time.Hour)
	if list := l.List(); !list[0].LastTimestamp.Equal(&before) || list[1].LastTimestamp.Sub(now.Time) != time.Hour {
		t.Errorf("times: %v and %v", list[0].LastTimestamp.Sub(before.Time), list[1].LastTimestamp.Sub(now.Time))
	}
	// So much that the files are written anew; what is of another boot remains so.
	for i := range 500 {
		l.Manifest("a", v1.EventTypeNormal, "R", fmt.Sprintf("%d %s", i, strings.Repeat("x", maxFile/400)))
	}
	l.Close()
	l = New("node", state, root)
	if list := l.List(); len(list) != 502 || list[0].Message != "before" || l.ofBoot[list[0].Name] || len(l.ofBoot) != 501 {
		t.Errorf("%d events, %d of this boot", len(list), len(l.ofBoot))
	}
}

// Nothing in the place of a file of events keeps Solopod from its start, or from keeping events.
func TestDamagedFiles(t *testing.T) {
	good := func(t *testing.T) []byte {
		state, root := t.TempDir(), t.TempDir()
		l := New("node", state, root)
		l.Manifest("a", v1.EventTypeNormal, "R", "first")
		l.Close()
		b, err := os.ReadFile(filepath.Join(root, "events.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}(t)
	write := func(b ...byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, b, 0o600) }
	}
	for name, c := range map[string]struct {
		damage func(path string) error
		want   string
	}{
		"empty":         {write(), "after x1"},
		"zeros":         {write(make([]byte, 5000)...), "after x1"},
		"garbage":       {write([]byte("garbage\n{}\nnull\n[]\n")...), "after x1"},
		"a long line":   {write(append(append(bytes.Repeat([]byte("x"), 3<<20), '\n'), good...)...), "first x1, after x1"},
		"much":          {write(append(bytes.Repeat([]byte("x\n"), maxRead), good...)...), "first x1, after x1"},
		"nulls between": {write([]byte("null\n{\"metadata\":null}\n" + string(good))...), "first x1, after x1"},
		"torn":          {write(append(bytes.Clone(good), good[:20]...)...), "first x1, after x1"},
		"other version": {write(bytes.ReplaceAll(good, []byte(`"v1"`), []byte(`"v2"`))...), "after x1"},
		"a directory":   {func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) }, "after x1"},
		"a FIFO":        {func(path string) error { return unix.Mkfifo(path, 0o600) }, "after x1"},
		"a link":        {func(path string) error { return os.Symlink("/dev/zero", path) }, "after x1"},
	} {
		for _, where := range []string{"state", "root"} {
			state, root := t.TempDir(), t.TempDir()
			if err := c.damage(filepath.Join(map[string]string{"state": state, "root": root}[where], "events.jsonl")); err != nil {
				t.Fatal(err)
			}
			l := New("node", state, root)
			l.Manifest("a", v1.EventTypeNormal, "R", "after")
			l.Close()
			if got := said(New("node", state, root)); got != c.want {
				t.Errorf("%s in %s: %s", name, where, got)
			}
			if where == "state" {
				continue
			}
			if got := said(New("node", t.TempDir(), root)); got != c.want {
				t.Errorf("%s in %s, after a reboot: %s", name, where, got)
			}
		}
	}
}

// While the disk does not answer events are reported, watched and listed, and Solopod ends.
func TestStuckDisk(t *testing.T) {
	root := t.TempDir()
	freeze, _ := stuck.Disk(t, root)
	freeze()
	l := New("node", t.TempDir(), root)
	l.Manifest("a", v1.EventTypeWarning, "R", "first")
	stands := make(chan struct{})
	go func() {
		l.store.flushes <- make(chan struct{})
		close(stands)
	}()
	<-stands
	began := time.Now()
	for i := range 3 * maxPending {
		l.Manifest("a", v1.EventTypeNormal, "R", fmt.Sprint(i))
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	l.store.mu.Lock()
	if n := len(l.store.noted); n > 2*maxPending {
		t.Errorf("%d events are noted", n)
	}
	l.store.mu.Unlock()
	began = time.Now()
	l.Close()
	if took := time.Since(began); took > 2*closeLimit {
		t.Errorf("the end took %s", took)
	}
}

// What a full disk has taken a part of costs no event when there is room again, and each time that a disk fills up is told, once.
func TestFullDisk(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	root := stuck.Small(t, 256)
	l := New("node", t.TempDir(), root)
	defer l.Close()
	n := 0
	report := func() {
		n++
		l.Manifest("a", v1.EventTypeWarning, "R", fmt.Sprintf("%d %s", n, strings.Repeat("x", 3000)))
	}
	for round := 1; round <= 2; round++ {
		report()
		written(t, l, true) // there is a file
		fill, err := os.Create(filepath.Join(root, "fill"))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = fill.Write(make([]byte, 4096))
		}
		if err := errors.Join(fill.Truncate(fillTo(t, fill)), fill.Close()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for range 3 {
				report()
			}
			written(t, l, true)
		}
		if got := strings.Count(log.String(), "cannot keep events"); got != round {
			t.Errorf("the full disk was told %d times of %d:\n%s", got, round, log.String())
		}
		if err := os.Remove(filepath.Join(root, "fill")); err != nil {
			t.Fatal(err)
		}
		report()
		written(t, l, true)
		if got := New("node", t.TempDir(), root).List(); len(got) != n {
			t.Errorf("%d of %d events are on the disk", len(got), n)
		}
	}
}

// fillTo is the size at which a file leaves room for one page.
func fillTo(t *testing.T, f *os.File) int64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return max(info.Size()-4096, 0)
}

// A storm of one pod takes nobody else's history: neither a thousand repetitions, nor a thousand different events.
func TestStormOfOnePod(t *testing.T) {
	state, root := t.TempDir(), t.TempDir()
	l := New("node", state, root)
	t.Cleanup(l.Close)
	storm := &v1.Pod{}
	storm.Namespace, storm.Name, storm.UID = "default", "storm", "uid"
	for n := range 300 {
		l.Object("Pod", "default", fmt.Sprint("other-", n), v1.EventTypeNormal, "R", "first")
	}
	others := func(l *Log) (n int) {
		for _, e := range l.List() {
			if strings.HasPrefix(e.InvolvedObject.Name, "other-") {
				n++
			}
		}
		return n
	}
	for n := range 1000 {
		l.PodTotal(storm, "c", v1.EventTypeWarning, "OOMKilling", "killed", n+1)
	}
	if list := l.List(); len(list) != 301 || others(l) != 300 || list[300].Count != 1000 || list[300].FirstTimestamp.After(list[300].LastTimestamp.Time) {
		t.Errorf("after 1000 kills there are %d events, %d of others, and the last is %+v", len(list), others(l), list[len(list)-1])
	}
	for n := range 2 * maxEvents {
		l.Pod(storm, fmt.Sprint("c", n%7), v1.EventTypeWarning, "R", "%d", n)
	}
	for name, l := range map[string]*Log{"at once": l, "after a restart": reopened(t, l, state, root)} {
		list := l.List()
		if len(list) != maxEvents || others(l) != 300 || list[maxEvents-1].Message != fmt.Sprint(2*maxEvents-1) {
			t.Errorf("%s there are %d events, %d of others, and the last is %+v", name, len(list), others(l), list[len(list)-1])
		}
	}
}

// reopened is a log after a kill, when all had been written.
func reopened(t *testing.T, l *Log, state, root string) *Log {
	t.Helper()
	written(t, l, false)
	again := New("node", state, root)
	t.Cleanup(again.Close)
	return again
}

// What is counted elsewhere is told once, however often its total is said, and by whom.
func TestTotals(t *testing.T) {
	state, root := t.TempDir(), t.TempDir()
	l := New("node", state, root)
	pod := &v1.Pod{}
	t.Cleanup(l.Close)
	pod.Namespace, pod.Name, pod.UID = "default", "web", "uid"
	report := func(total int) { l.PodTotal(pod, "c", v1.EventTypeWarning, "OOMKilling", "killed", total) }
	for _, c := range []struct {
		name  string
		do    func()
		count int32
	}{
		{"three at once", func() { report(3) }, 3},
		{"the same again", func() { report(3) }, 3},
		{"one more", func() { report(4) }, 4},
		{"none", func() { report(0) }, 4},
		{"said again by the next Solopod", func() { l = reopened(t, l, state, root); report(4) }, 4},
		{"some while it was away", func() { report(9) }, 9},
		{"counted anew", func() { report(1) }, 10},
		{"and on", func() { report(2) }, 11},
		{"of a pod that came again", func() { l.Anew(pod); report(2) }, 13},
	} {
		c.do()
		if list := l.List(); len(list) != 1 || list[0].Count != c.count {
			t.Errorf("%s: %+v, want one with %d", c.name, list, c.count)
		}
	}
}
