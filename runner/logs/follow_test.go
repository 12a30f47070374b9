package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A reader that comes late sees every file that was rotated meanwhile, in their order; with a watch and without.
func TestFollowManyRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pod", "c", "0.log")
	p, err := Open(filepath.Join(t.TempDir(), "io"), NewFile(path, Limits{MaxSize: 2000, MaxFiles: 1000}), Streams{Keeper: noKeeper{}})
	if err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(p.Paths().Stdout, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(fifo, "line 0")
	appears(t, path, "line 0")
	r, w := io.Pipe()
	ended, followed := make(chan struct{}), make(chan error, 1)
	go func() {
		err := Read(context.Background(), path, ReadOptions{Tail: -1, Follow: true}, w, ended)
		w.CloseWithError(io.EOF)
		followed <- err
	}()
	sc := bufio.NewScanner(r)
	if !sc.Scan() || sc.Text() != "line 0" {
		t.Fatalf("the first line is %q", sc.Text())
	}
	const lines = 5000 // the follower, held back by its pipe, sees none of them before all are rotated
	for i := 1; i < lines; i++ {
		fmt.Fprintf(fifo, "line %d\n", i)
		if i%10 == 0 {
			eventually(t, "the line is read", func() bool { return inPipe(fifo) == 0 })
		}
	}
	fifo.Close()
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	files, err := allFiles(path)
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	close(ended)
	for i := 1; i < lines; i++ {
		if !sc.Scan() || sc.Text() != fmt.Sprintf("line %d", i) {
			t.Fatalf("line %d is %q", i, sc.Text())
		}
	}
	if sc.Scan() {
		t.Errorf("another line: %q", sc.Text())
	}
	if err := <-followed; err != nil {
		t.Error(err)
	}
}

// Who is too slow misses the files that are removed, and goes on with the oldest that is left.
func TestFollowRemovedFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pod", "c")
	path := filepath.Join(dir, "0.log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	line := func(n int) []byte { return fmt.Appendf(nil, "2026-01-01T00:00:00Z stdout F %d\n", n) }
	rotated := func(n int) string { return fmt.Sprintf("%s.20260101-00000%d.000000000", path, n) }
	for n, name := range []string{rotated(0), rotated(1), rotated(2), path} {
		if err := os.WriteFile(name, line(n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		Read(context.Background(), path, ReadOptions{Tail: -1, Follow: true}, w, ended) //nolint:errcheck // what it read is compared
		w.Close()
	}()
	if b := make([]byte, 2); true {
		if _, err := io.ReadFull(r, b); err != nil || string(b) != "0\n" {
			t.Fatalf("%q, %v", b, err)
		}
	}
	for _, n := range []int{0, 1} {
		if err := os.Remove(rotated(n)); err != nil {
			t.Fatal(err)
		}
	}
	close(ended)
	rest, err := io.ReadAll(r)
	if got := string(rest); err != nil || got != "2\n3\n" && got != "1\n2\n3\n" { // as it had opened the second before
		t.Errorf("then came %q, %v", got, err)
	}
}

// Lines without an end, and longer than any of Solopod's, cost no memory and hide only themselves.
func TestLongLines(t *testing.T) {
	const before, after = "2026-01-01T00:00:00Z stdout F before\n", "2026-01-01T00:00:00Z stdout F after\n"
	text := before + strings.Repeat("x", 10*maxLogLine) + "\n" + after + strings.Repeat("y", maxLogLine) + "\n" + after + strings.Repeat("z", 5*maxLogLine)
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, path); got != "before\nafter\nafter\n" {
		t.Errorf("%q", got)
	}
	if got, err := Tail(context.Background(), path, 1, 4); err != nil || got != "ter\n" {
		t.Errorf("its end: %q, %v", got, err)
	}
}

// A line that is written piece by piece is one.
func TestLineReaderGrows(t *testing.T) {
	var grown bytes.Buffer
	l := newLineReader(&grown)
	var got []string
	for _, piece := range []string{"a", "b", "c\nd", "\n", "", "\n", strings.Repeat("e", maxLogLine), "e\nf", "\ng\n"} {
		grown.WriteString(piece)
		for {
			b, err := l.next()
			if err != nil {
				break
			}
			got = append(got, string(b))
		}
	}
	if want := "[abc d  f g]"; fmt.Sprint(got) != want {
		t.Errorf("%v", got)
	}
}

// FuzzRead reads a log as others may have left it: the last lines are the end of all.
func FuzzRead(f *testing.F) {
	f.Add([]byte("2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stderr P tw\n2026-01-01T00:00:02Z stderr F o\ntorn li"), 2)
	f.Add([]byte("\n\n\x00\xff"), 0)
	path := filepath.Join(f.TempDir(), "0.log")
	f.Fuzz(func(t *testing.T, b []byte, tail int) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		close(ended)
		read := func(o ReadOptions) string {
			var out bytes.Buffer
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := Read(ctx, path, o, &out, ended); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		all := read(ReadOptions{Tail: -1})
		if len(all) > len(b) {
			t.Errorf("%d bytes of %d", len(all), len(b))
		}
		if got := read(ReadOptions{Tail: int64(max(tail, 0))}); !strings.HasSuffix(all, got) {
			t.Errorf("the last %d: %q of %q", tail, got, all)
		}
		if got := read(ReadOptions{Tail: -1, Follow: true}); got != all {
			t.Errorf("followed: %q, not %q", got, all)
		}
	})
}

// FuzzJournal opens a journal as a crash, or another, may have left it: what is in the log already stays, and what comes is
// written.
func FuzzJournal(f *testing.F) {
	add := func(phase uint64, start, end int, expect, size uint64, text string, length int) {
		j := newJournal(make([]byte, journalSize), "", false)
		copy(j.buf, text)
		j.store(phase, start, end)
		*j.expect, *j.size = expect, size
		f.Add(j.mem[:headerSize], []byte(text), length)
	}
	add(phaseIdle, 0, 3, 0, 0, "abc", journalSize)
	add(phaseReading, 0, 3, 5, 0, "abcde\nfg", journalSize)
	add(phaseWriting, 1, 4, 0, 37, "abc\n", journalSize)
	add(phaseWriting, 100, bufferSize-1, 0, 0, "\n\n", 200)
	const before = "2026-01-01T00:00:01Z stdout F before\n"
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, header, text []byte, length int) {
		b := make([]byte, journalSize+headerSize)
		copy(b[:headerSize], header)
		copy(b[headerSize:], text)
		path, log := filepath.Join(dir, "stdout.journal"), filepath.Join(dir, "pod", "c", "0.log")
		if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b[:min(max(length, 0), len(b))], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(log, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		file := NewFile(log, Limits{})
		st, trouble, err := openStream(dir, "stdout", file, nil)
		if err != nil || trouble != nil {
			t.Fatal(err, trouble)
		}
		st.expectTorn()
		if _, err := st.fifo.WriteString("\nafter\n"); err != nil {
			t.Fatal(err)
		}
		for n := 1; n > 0; {
			if n, err = st.step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(st.finish(), file.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(log)
		if err != nil || !strings.HasPrefix(string(got), before) || !strings.HasSuffix(string(got), " stdout F after\n") {
			t.Errorf("the log: %q, %v", got, err)
		}
	})
}
