package logs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/logs/cri"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/logs/reader"
)

// A pump in a process of its own is killed with SIGKILL at random moments while a writer runs at full speed: no line may
// be lost, none doubled, none torn.
func TestNoLineIsLostOrDoubledOverKills(t *testing.T) {
	const lines, kills = 300_000, 40
	dir := t.TempDir() // of the FIFOs; it goes with them
	for _, name := range []string{"stdout", "stderr"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The shim's part: it holds both ends of the FIFO.
	held, err := os.OpenFile(filepath.Join(dir, "stdout"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		w := bufio.NewWriterSize(held, 4096)
		for i := range lines {
			fmt.Fprintf(w, "line %d of the test, and some text so that lines cross the ends of buffers\n", i)
		}
		fmt.Fprint(w, "the end")
		written <- w.Flush()
	}()
	log := filepath.Join(t.TempDir(), "0.log")
	for i := range kills {
		child := pumpProcess(t, dir, log)
		time.Sleep(time.Duration(5+i*7%31) * time.Millisecond) //nolint:forbidigo // the moment of the kill, not a wait for something
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		child.Wait() //nolint:errcheck // it was killed
	}
	file := logfile.New(log, logfile.Limits{})
	p, err := Open(dir, file, Streams{Keeper: noKeeper{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for sc := bufio.NewScanner(f); sc.Scan(); n++ {
		l, err := cri.Parse(sc.Bytes())
		if n == lines && err == nil && l.Partial && string(l.Text) == "the end" {
			continue
		}
		if want := fmt.Sprintf("line %d of the test, and some text so that lines cross the ends of buffers", n); err != nil || l.Partial || string(l.Text) != want {
			t.Fatalf("line %d is %q (%v)", n, sc.Text(), err)
		}
	}
	if n != lines+1 {
		t.Errorf("%d lines of %d", n, lines)
	}
}

// noKeeper is for FIFOs that the test itself keeps.
type noKeeper struct{}

func (noKeeper) Hold(string, []keep.File) {}
func (noKeeper) Drop(string)              {}

// finish ends a pump as the end of its container does.
func finish(p *Pump) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(p.Drain(ctx), p.Finish(ctx))
}

func pumpProcess(t *testing.T, dir, log string) *exec.Cmd {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run", "TestPumpProcess")
	child.Env = append(os.Environ(), "PUMP_DIR="+dir, "PUMP_LOG="+log)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "pumping\n" {
		t.Fatalf("the pump says %q, %v", line, err)
	}
	return child
}

// TestPumpProcess is not a test: it is the process that the test above kills.
func TestPumpProcess(t *testing.T) {
	dir := os.Getenv("PUMP_DIR")
	if dir == "" {
		return
	}
	file := logfile.New(os.Getenv("PUMP_LOG"), logfile.Limits{})
	if _, err := Open(dir, file, Streams{Keeper: noKeeper{}}); err != nil {
		t.Fatal(err)
	}
	fmt.Println("pumping")
	select {}
}

// records are the lines of a log's file without their times.
func records(t *testing.T, log string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		out = append(out, rest)
	}
	return out
}

// What has no line end at the end is a part of a line, of both streams, and behind what comes from the other one.
func TestLastLinesWithoutEnd(t *testing.T) {
	long := strings.Repeat("x", cri.MaxLine)
	for name, c := range map[string]struct {
		stdout, stderr string
		want           []string // in this order, of each stream
	}{
		"one word":       {"DONE", "", []string{"stdout P DONE"}},
		"behind a line":  {"one\nDONE", "", []string{"stdout F one", "stdout P DONE"}},
		"both":           {"one\nDONE", "two\nOVER", []string{"stdout F one", "stdout P DONE", "stderr F two", "stderr P OVER"}},
		"the limit":      {long, "", []string{"stdout P " + long}},
		"more than that": {long + "y", "", []string{"stdout P " + long, "stdout P y"}},
		"with an end":    {long + "y\n", "", []string{"stdout P " + long, "stdout F y"}},
		"an empty line":  {"\n", "", []string{"stdout F "}},
	} {
		log := filepath.Join(t.TempDir(), "pod", "c", "0.log")
		p, stdout := start(t, filepath.Join(t.TempDir(), "io"), log, Streams{})
		stderr, err := os.OpenFile(p.Paths().Stderr, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(stdout, c.stdout)
		stdout.Close()
		fmt.Fprint(stderr, c.stderr)
		stderr.Close()
		if err := finish(p); err != nil {
			t.Fatal(err)
		}
		got := records(t, log)
		full := slices.IndexFunc(got, func(r string) bool { return strings.Contains(r, " P ") && !strings.HasSuffix(r, long) })
		if full >= 0 && slices.ContainsFunc(got[full:], func(r string) bool { return strings.Contains(r, " F ") }) {
			t.Errorf("%s: the last words are not last: %.60q", name, got)
		}
		slices.SortStableFunc(got, func(a, b string) int { return -strings.Compare(a[:6], b[:6]) }) // by stream
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %.60q, not %.60q", name, got, c.want)
		}
	}
}

// A run that is killed at any moment of the write of a last line without an end leaves it to the next, once; and where more of
// the line comes there, it is whole.
func TestKilledWhileALineHasNoEnd(t *testing.T) {
	const before, text = "2026-01-01T00:00:01Z stdout F before\n", "one\nDONE"
	for _, more := range []string{"", " it\n"} {
		whole, _ := cri.Format(nil, "stdout", time.Unix(0, 0), []byte(text), true)
		for written := -1; written <= len(whole); written++ { // bytes of the write; none had begun before the first
			dir, log := t.TempDir(), filepath.Join(t.TempDir(), "0.log")
			header := make([]byte, 64) // as in FuzzJournal; the time is the beginning of 1970
			state := uint64(len(text))
			if written >= 0 {
				state |= 2 << 48
			}
			binary.NativeEndian.PutUint64(header, state)
			binary.NativeEndian.PutUint64(header[16:], uint64(len(before)))
			journal := make([]byte, journalSize)
			copy(journal, header)
			copy(journal[64:], text)
			if err := os.WriteFile(filepath.Join(dir, "stdout.journal"), journal, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(log, append([]byte(before), whole[:max(written, 0)]...), 0o600); err != nil {
				t.Fatal(err)
			}
			p, out := start(t, dir, log, Streams{})
			fmt.Fprint(out, more)
			out.Close()
			if err := finish(p); err != nil {
				t.Fatal(err)
			}
			want := []string{"stdout F before", "stdout F one", "stdout P DONE"}
			if more != "" {
				want[2] = "stdout F DONE it"
			}
			if got := records(t, log); !slices.Equal(got, want) {
				t.Fatalf("killed after %d of %d bytes, then %q: %q", written, len(whole), more, got)
			}
		}
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr", "0.log")
	file := logfile.New(path, logfile.Limits{MaxSize: 1000, MaxFiles: 3})
	p, err := Open(filepath.Join(t.TempDir(), "io"), file, Streams{Keeper: noKeeper{}})
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(p.Paths().Stdout, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	w.Close()
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 || len(files) > 3 {
		t.Fatalf("the files of the log: %v, %v", files, err)
	}
	var out bytes.Buffer
	if err := reader.Read(context.Background(), path, reader.Options{Tail: 5}, &out, nil); err != nil {
		t.Fatal(err)
	}
	if out.String() != "line 195\nline 196\nline 197\nline 198\nline 199\n" {
		t.Errorf("the last lines are %q", out.String())
	}
}

// A reader that follows sees every line, over rotations, and ends with the container.
func TestFollowOverRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr", "0.log")
	file := logfile.New(path, logfile.Limits{MaxSize: 5000, MaxFiles: 50})
	p, err := Open(filepath.Join(t.TempDir(), "io"), file, Streams{Keeper: noKeeper{}})
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ended := make(chan struct{})
	followed := make(chan error, 1)
	go func() {
		err := reader.Read(context.Background(), path, reader.Options{Tail: -1, Follow: true}, w, ended)
		followed <- errors.Join(err, w.Close())
	}()
	fifo, err := os.OpenFile(p.Paths().Stdout, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(r)
	for i := range 500 {
		fmt.Fprintf(fifo, "line %d\n", i)
		if i%10 == 9 { // keep pace, so that every file is seen before it is rotated away twice
			for n := i - 9; n <= i; n++ {
				if !sc.Scan() || sc.Text() != fmt.Sprintf("line %d", n) {
					t.Fatalf("line %d is %q", n, sc.Text())
				}
			}
		}
	}
	fifo.Close()
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	close(ended)
	if sc.Scan() {
		t.Errorf("another line: %q", sc.Text())
	}
	if err := <-followed; err != nil {
		t.Error(err)
	}
}

// inPipe is how many bytes nobody has read yet.
func inPipe(f *os.File) int {
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
	if err != nil {
		return -1
	}
	return n
}
