package reader

import (
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

func TestOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	text := "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stderr P tw\n2026-01-01T00:00:02Z stderr F o\ntorn li\n2026-01-01T00:00:03Z stdout F three\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"all":        {Options{Tail: -1}, "one\ntwo\nthree\n"},
		"tail":       {Options{Tail: 2}, "two\nthree\n"},
		"tail zero":  {Options{Tail: 0}, ""},
		"since":      {Options{Tail: -1, Since: time.Date(2026, 1, 1, 0, 0, 3, 0, time.UTC)}, "three\n"},
		"timestamps": {Options{Tail: 1, Timestamps: true}, "2026-01-01T00:00:03Z three\n"},
		"bytes":      {Options{Tail: -1, LimitBytes: 5}, "one\nt"},
	} {
		var out bytes.Buffer
		if err := Read(context.Background(), path, c.o, &out, nil); err != nil || out.String() != c.want {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
}

// writes notes what is written to it, and by whom.
type writes struct {
	name string
	all  *[]string
	fail error // of every write
}

func (w writes) Write(b []byte) (int, error) {
	*w.all = append(*w.all, w.name+string(b))
	if w.fail != nil {
		return 0, w.fail
	}
	return len(b), nil
}

// A last line without an end is a line, and is printed without one; of both streams it is one, as a kubelet prints it.
func TestLastLineWithoutEnd(t *testing.T) {
	const full, out, err = "2026-01-01T00:00:01Z stdout F one\n", "2026-01-01T00:00:02Z stdout P tw\n", "2026-01-01T00:00:03Z stderr P err\n"
	const more = "2026-01-01T00:00:02Z stdout P o\n"
	for name, c := range map[string]struct {
		old, text string // the file before, and the current one
		o         Options
		want      string
	}{
		"all":                   {"", full + out, Options{Tail: -1}, "one\ntw"},
		"alone":                 {"", out, Options{Tail: -1}, "tw"},
		"its parts":             {"", full + out + more, Options{Tail: -1}, "one\ntwo"},
		"the last":              {"", full + out + more, Options{Tail: 1}, "two"},
		"the last two":          {"", full + full + out + more, Options{Tail: 2}, "one\ntwo"},
		"none":                  {"", full + out + more, Options{Tail: 0}, ""},
		"of both streams":       {"", full + out + err, Options{Tail: 1}, "twerr"},
		"with times":            {"", full + out + more, Options{Tail: -1, Timestamps: true}, "2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two"},
		"rotated":               {full + out, more, Options{Tail: 1}, "two"},
		"rotated with its end":  {full + out, "2026-01-01T00:00:02Z stdout F o\n" + full, Options{Tail: 2, Timestamps: true}, "2026-01-01T00:00:02Z two\n2026-01-01T00:00:01Z one\n"},
		"rotated behind it":     {full + out, "", Options{Tail: 1}, "tw"},
		"no more than so much":  {"", full + out, Options{Tail: -1, LimitBytes: 5}, "one\nt"},
		"of what is young":      {"", full + out, Options{Tail: -1, Since: time.Date(2026, 1, 1, 0, 0, 2, 0, time.UTC)}, "tw"},
		"with times, of a part": {"", full + out + more, Options{Tail: -1, Timestamps: true, Since: time.Date(2026, 1, 1, 0, 0, 2, 0, time.UTC)}, "2026-01-01T00:00:02Z two"},
	} {
		path := filepath.Join(t.TempDir(), "0.log")
		for name, text := range map[string]string{path: c.text, path + ".20260101-000000.000000000": c.old} {
			if text == "" && name != path {
				continue
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan struct{})
		close(ended)
		for _, c.o.Follow = range []bool{false, true} {
			var got bytes.Buffer
			if err := Read(t.Context(), path, c.o, &got, ended); err != nil || got.String() != c.want {
				t.Errorf("%s, followed %t: %q, %v; want %q", name, c.o.Follow, got.String(), err, c.want)
			}
		}
	}
}

// Who follows from the end on sees what comes of a line that had begun before, and its end.
func TestFollowFromAnUnfinishedLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pod", "c")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "0.log")
	const stamp = "2026-01-01T00:00:00Z stdout "
	if err := os.WriteFile(path, []byte(stamp+"F one\n"+stamp+"P old\n"+stamp+"P est\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var got bytes.Buffer
	o := Options{Tail: 0, Follow: true, Positioned: func() {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		fmt.Fprint(f, stamp+"P new\n"+stamp+"F er\n"+stamp+"P last\n")
		close(ended)
	}}
	if err := Read(t.Context(), path, o, &got, ended); err != nil || got.String() != "newer\nlast" {
		t.Errorf("%q, %v", got.String(), err)
	}
}

// Many lines are written at once, those of two streams in their order, and no byte beyond the limit.
func TestWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	const lines = 10000
	var text, want strings.Builder
	runs, last := 0, ""
	for n := range lines {
		stream := "stdout"
		if n%1000 < 100 {
			stream = "stderr"
		}
		if stream != last {
			runs++
		}
		last = stream
		fmt.Fprintf(&text, "2026-01-01T00:00:00Z %s F %s%d\n", stream, strings.Repeat("x", n%50), n)
		fmt.Fprintf(&want, "%s%d\n", strings.Repeat("x", n%50), n)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	few := text.Len()/enoughText + 2
	var got []string
	read := func(o Options, fail error) error {
		got, o.Tail = nil, -1
		return Read(t.Context(), path, o, writes{"", &got, fail}, nil)
	}
	if err := read(Options{}, nil); err != nil || strings.Join(got, "") != want.String() || len(got) > few {
		t.Errorf("%d writes of %d bytes, %v", len(got), len(strings.Join(got, "")), err)
	}
	if err := read(Options{Stderr: writes{"", &got, nil}}, nil); err != nil || strings.Join(got, "") != want.String() || len(got) > few+runs {
		t.Errorf("to two: %d writes of %d bytes, %v", len(got), len(strings.Join(got, "")), err)
	}
	if err := read(Options{Stderr: writes{"!", &got, nil}}, nil); err != nil || !strings.HasPrefix(got[0], "!0\n") || strings.Contains(got[0], "\n100\n") || strings.HasPrefix(got[1], "!") {
		t.Errorf("each to its own: %.20q, then %.20q, %v", got[0], got[1], err)
	}
	for _, limit := range []int{1, 2, 3, 1000, enoughText - 1, enoughText, enoughText + 1, 3*enoughText + 5, want.Len() - 1, want.Len(), want.Len() + 1} {
		if err := read(Options{LimitBytes: int64(limit), Stderr: writes{"", &got, nil}}, nil); err != nil || strings.Join(got, "") != want.String()[:min(limit, want.Len())] {
			t.Errorf("of %d bytes come %d, %v", limit, len(strings.Join(got, "")), err)
		}
	}
	for _, o := range []Options{{}, {LimitBytes: 5}} {
		if err := read(o, io.ErrClosedPipe); !errors.Is(err, io.ErrClosedPipe) || len(got) != 1 {
			t.Errorf("to one who has gone: %v, after %d writes", err, len(got))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got = nil
	if err := Read(ctx, path, Options{Tail: -1}, writes{"", &got, nil}, nil); !errors.Is(err, context.Canceled) || strings.Join(got, "") != "0\n" {
		t.Errorf("when it is cancelled: %q, %v", got, err)
	}
}

// Who follows gets each line when it is there, also in the midst of others, and from both streams.
func TestFollowAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pod", "c")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "0.log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		w.CloseWithError(Read(context.Background(), path, Options{Tail: -1, Follow: true, Stderr: w}, w, ended))
	}()
	guard := time.AfterFunc(20*time.Second, func() { r.CloseWithError(os.ErrDeadlineExceeded) })
	defer guard.Stop()
	for n := range 20 {
		stream := []string{"stdout", "stderr"}[n%2]
		want := fmt.Sprintf("%d\n", n)
		more := ""
		if n%3 == 0 { // the next one has begun
			more = "2026-01-01T00:00:00Z std"
		}
		if _, err := fmt.Fprintf(log, "2026-01-01T00:00:00Z %s F %s%s", stream, want, more); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(want))
		if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
			t.Fatalf("%q, %v; want %q", b, err, want)
		}
		if more != "" {
			fmt.Fprintf(log, "out F and\n")
			if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(ended)
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("then came %q, %v", rest, err)
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
		Read(context.Background(), path, Options{Tail: -1, Follow: true}, w, ended) //nolint:errcheck // what it read is compared
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
	var out bytes.Buffer
	if err := Read(context.Background(), path, Options{Tail: -1}, &out, nil); err != nil || out.String() != "before\nafter\nafter\n" {
		t.Errorf("%q, %v", out.String(), err)
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
		read := func(o Options) string {
			var out bytes.Buffer
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := Read(ctx, path, o, &out, ended); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		all := read(Options{Tail: -1})
		if len(all) > len(b) {
			t.Errorf("%d bytes of %d", len(all), len(b))
		}
		if got := read(Options{Tail: int64(max(tail, 0))}); !strings.HasSuffix(all, got) {
			t.Errorf("the last %d: %q of %q", tail, got, all)
		}
		if got := read(Options{Tail: -1, Follow: true}); got != all {
			t.Errorf("followed: %q, not %q", got, all)
		}
	})
}
