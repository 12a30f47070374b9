package logs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/runner/logs/journal"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/logs/reader"
	"github.com/solopod/solopod/runner/logs/spool"
	"github.com/solopod/solopod/runner/rescue"
)

// journalSize is how long a journal's file is.
const journalSize = 64 << 10

// start opens a pump and its stdout for writing, as the shim does.
func start(t *testing.T, dir, log string, s Streams) (*Pump, *os.File) {
	t.Helper()
	s.Keeper = noKeeper{}
	p, err := Open(dir, logfile.New(log, logfile.Limits{}), s)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(p.Paths().Stdout, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return p, out
}

func within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// texts are the texts of a log's lines, which all must be whole.
func texts(t *testing.T, log string) string {
	t.Helper()
	var out bytes.Buffer
	if err := reader.Read(context.Background(), log, reader.Options{Tail: -1}, &out, nil); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !check(); time.Sleep(5 * time.Millisecond) { //nolint:forbidigo // a poll with a deadline
		if time.Now().After(deadline) {
			t.Fatal("not in time: ", what)
		}
	}
}

func appears(t *testing.T, log, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q in the log", text), func() bool {
		b, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(b), text)
	})
}

// A container runs, and loses nothing, when there is no room for its journals; also when it had them from a run that did not
// allocate them.
func TestFullStateFileSystem(t *testing.T) {
	state := stuck.Small(t, 256)
	dir, log := filepath.Join(state, "io"), filepath.Join(t.TempDir(), "pod", "c", "0.log")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(filepath.Join(dir, "stdout.journal"))
	if err != nil {
		t.Fatal(err)
	}
	if err := sparse.Truncate(journalSize); err != nil {
		t.Fatal(err)
	}
	const end = len("before ")
	left := binary.NativeEndian.AppendUint64(nil, uint64(end)) // its first word: idle, and what is pending ends there
	left = append(left, make([]byte, 64-len(left))...)
	if _, err := sparse.WriteAt(append(left, "before "...), 0); err != nil {
		t.Fatal(err)
	}
	sparse.Close()
	stuck.Fill(t, state)
	p, out := start(t, dir, log, Streams{})
	if err := p.trouble; !errors.Is(err, unix.ENOSPC) {
		t.Errorf("it says %v", err)
	}
	fmt.Fprint(out, "this\nand more ")
	appears(t, log, "before this")
	if err := p.Detach(within(5 * time.Second)); err != nil { // without a file the next run would find nothing
		t.Fatal(err)
	}
	p, out2 := start(t, dir, log, Streams{})
	fmt.Fprint(out2, "than that\n", strings.Repeat("0123456789abcdef", 10_000), "\n")
	out.Close()
	out2.Close()
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	if got, want := texts(t, log), "before this\nand more than that\n"+strings.Repeat("0123456789abcdef", 10_000)+"\n"; got != want {
		t.Errorf("the log has %d bytes, %.60q; it should have %d", len(got), got, len(want))
	}
}

// A journal that somebody shortens while it is used costs what it held, and nothing else.
func TestShortenedJournal(t *testing.T) {
	dir, log := filepath.Join(t.TempDir(), "io"), filepath.Join(t.TempDir(), "pod", "c", "0.log")
	p, out := start(t, dir, log, Streams{})
	for i := range 3 {
		line := fmt.Sprintf("line %d", i)
		fmt.Fprintln(out, line)
		appears(t, log, line)
		if err := os.Truncate(filepath.Join(dir, "stdout.journal"), 0); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintln(out, "the end")
	out.Close()
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, log); got != "line 0\nline 1\nline 2\nthe end\n" {
		t.Errorf("the log: %q", got)
	}
}

// Nothing in the place of a journal or a FIFO keeps a container's output from its log.
func TestDamagedState(t *testing.T) {
	write := func(b []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, b, 0o600) }
	}
	for name, c := range map[string]struct {
		file   string
		damage func(path string) error
	}{
		"a journal of 0xff":      {"stdout.journal", write(bytes.Repeat([]byte{0xff}, journalSize))},
		"a journal of text":      {"stdout.journal", write(bytes.Repeat([]byte("no journal"), journalSize/10))},
		"an empty journal":       {"stdout.journal", write(nil)},
		"a short journal":        {"stdout.journal", write(make([]byte, 100))},
		"a long journal":         {"stdout.journal", write(make([]byte, journalSize+1))},
		"a journal's directory":  {"stdout.journal", func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) }},
		"a FIFO for a journal":   {"stdout.journal", func(path string) error { return unix.Mkfifo(path, 0o600) }},
		"a link for a journal":   {"stdout.journal", func(path string) error { return os.Symlink("/dev/null", path) }},
		"a file for a FIFO":      {"stdout", write([]byte("text"))},
		"a directory for a FIFO": {"stdout", func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) }},
		"a link for a FIFO":      {"stdout", func(path string) error { return os.Symlink("/dev/null", path) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir, log := filepath.Join(t.TempDir(), "io"), filepath.Join(t.TempDir(), "pod", "c", "0.log")
			if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
				t.Fatal(err)
			}
			const before = "2026-01-01T00:00:01Z stdout F before\n"
			if err := os.WriteFile(log, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
			p, out := start(t, dir, log, Streams{})
			if p.trouble != nil {
				t.Errorf("it has no journal: %v", p.trouble)
			}
			fmt.Fprintln(out, "after")
			out.Close()
			if err := finish(p); err != nil {
				t.Fatal(err)
			}
			if got := texts(t, log); got != "before\nafter\n" {
				t.Errorf("the log: %q", got)
			}
		})
	}
}

// While its disk is full a log takes nothing, and its container waits; when there is room again all is there.
func TestFullLogDisk(t *testing.T) {
	const lines = 50_000 // more than FIFO and journal hold
	disk := stuck.Small(t, 64)
	log := filepath.Join(disk, "pod", "c", "0.log")
	stuck.Fill(t, disk)
	p, out := start(t, filepath.Join(t.TempDir(), "io"), log, Streams{})
	var want strings.Builder
	for i := range lines {
		fmt.Fprintln(&want, i)
	}
	written := make(chan error, 1)
	go func() {
		_, err := out.WriteString(want.String())
		written <- errors.Join(err, out.Close())
	}()
	eventually(t, "the writer is held back", func() bool {
		n, err := unix.IoctlGetInt(int(p.streams[0].fifo.Fd()), unix.TIOCINQ)
		return err == nil && n > 60<<10
	})
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, log); got != want.String() {
		t.Errorf("the log has %d bytes, not %d", len(got), want.Len())
	}
}

// The end of a container whose log's disk is full is in the log when there is room again.
func TestSpool(t *testing.T) {
	disk := stuck.Small(t, 256)
	state := t.TempDir()
	log := filepath.Join(disk, "pod", "c", "0.log")
	kept := filepath.Join(state, "unwritten")
	p, out := start(t, filepath.Join(state, "io"), log, Streams{Spool: spool.New(kept)})
	fmt.Fprintln(out, "first")
	appears(t, log, "first")
	free := stuck.Fill(t, disk)
	pad := strings.Repeat("x", 3000)
	for i := range 12 { // what a FIFO holds
		fmt.Fprintf(out, "%d %s\n", i, pad)
	}
	fmt.Fprint(out, "the end")
	out.Close()
	began := time.Now()
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s, though nothing was to be waited for", took)
	}
	free()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		spool.New(kept).Run(ctx) // as the next run does
		close(ended)
	}()
	appears(t, log, "the end")
	eventually(t, "nothing is kept any more", func() bool {
		entries, err := os.ReadDir(kept)
		return err == nil && len(entries) == 0
	})
	cancel()
	<-ended
	want := "first\n"
	for i := range 12 {
		want += fmt.Sprintf("%d %s\n", i, pad)
	}
	if got := texts(t, log); got != want+"the end" {
		t.Errorf("the log has %d bytes, not %d", len(got), len(want)+7)
	}
}

// A disk that does not answer holds nobody up but the streams that write to it, and these go on when it does.
func TestStuckDisk(t *testing.T) {
	disk := t.TempDir()
	freeze, thaw := stuck.Disk(t, disk)
	log := filepath.Join(disk, "pod", "c", "0.log")
	p, out := start(t, filepath.Join(t.TempDir(), "io"), log, Streams{Spool: spool.New(t.TempDir())})
	fmt.Fprintln(out, "before")
	appears(t, log, "before")
	freeze()
	fmt.Fprintln(out, "while it is frozen")
	eventually(t, "the stream reads", func() bool {
		n, err := unix.IoctlGetInt(int(out.Fd()), unix.TIOCINQ)
		return err == nil && n == 0
	})
	began := time.Now()
	if err := p.Drain(within(100 * time.Millisecond)); !errors.Is(err, ErrLeftBehind) {
		t.Errorf("drained: %v", err)
	}
	if err := p.Finish(within(100 * time.Millisecond)); !errors.Is(err, ErrLeftBehind) {
		t.Errorf("finished: %v", err)
	}
	if took := time.Since(began); took > 3*lag {
		t.Errorf("it took %s", took)
	}
	if n := LeftBehind(); n != 1 {
		t.Errorf("%d streams are left behind", n)
	}
	thaw()
	eventually(t, "nobody is left behind", func() bool { return LeftBehind() == 0 })
	if got := texts(t, log); got != "before\nwhile it is frozen\n" {
		t.Errorf("the log: %q", got)
	}
}

// What trips the code that writes a log over costs that output at most: the stream goes on with another journal.
func TestPanic(t *testing.T) {
	dir, log := t.TempDir(), filepath.Join(t.TempDir(), "pod", "c", "0.log")
	st, _, err := openStream(dir, "stdout", logfile.New(log, logfile.Limits{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.journal.Close(); err != nil {
		t.Fatal(err)
	}
	st.journal = &journal.Journal{} // which nothing works with
	st.expectTorn()
	st.journal = &journal.Journal{}
	p := &Pump{file: st.file, dir: dir, keeper: noKeeper{}, ending: make(chan struct{}), streams: []*stream{st}}
	go st.run(p.ending, make(chan struct{}, 1))
	out, err := os.OpenFile(p.Paths().Stdout, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(out, "it goes on")
	appears(t, log, "it goes on")
	out.Close()
	if err := finish(p); err != nil {
		t.Error(err)
	}
	if err := p.each(t.Context(), func(*stream) error { panic("at the end") }); !errors.Is(err, rescue.ErrPanicked) {
		t.Error(err)
	}
}
