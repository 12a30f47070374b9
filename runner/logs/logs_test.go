package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep"
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
	file := NewFile(log, Limits{})
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
		l, err := ParseLine(sc.Bytes())
		if want := fmt.Sprintf("line %d of the test, and some text so that lines cross the ends of buffers", n); err != nil || string(l.Text) != want {
			t.Fatalf("line %d is %q (%v)", n, sc.Text(), err)
		}
	}
	if n != lines {
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
	file := NewFile(os.Getenv("PUMP_LOG"), Limits{})
	if _, err := Open(dir, file, Streams{Keeper: noKeeper{}}); err != nil {
		t.Fatal(err)
	}
	fmt.Println("pumping")
	select {}
}

func TestFormat(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	stamp := "2026-01-02T03:04:05.000000006Z stdout "
	long := strings.Repeat("x", maxLine)
	for name, c := range map[string]struct {
		in    string
		force bool
		want  string
		used  int
	}{
		"two lines":              {"a\nb\n", false, stamp + "F a\n" + stamp + "F b\n", 4},
		"an unfinished line":     {"a\nb", false, stamp + "F a\n", 2},
		"forced":                 {"b", true, stamp + "P b\n", 1},
		"empty lines":            {"\n\n", false, stamp + "F \n" + stamp + "F \n", 2},
		"a line of maximal size": {long + "\n", false, stamp + "F " + long + "\n", maxLine + 1},
		"a longer line":          {long + "y\n", false, stamp + "P " + long + "\n" + stamp + "F y\n", maxLine + 2},
		"long without an end":    {long, false, stamp + "P " + long + "\n", maxLine},
		"nothing":                {"", true, "", 0},
	} {
		out, used := format(nil, "stdout", at, []byte(c.in), c.force)
		if string(out) != c.want || used != c.used {
			t.Errorf("%s: %q, used %d", name, out, used)
		}
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr", "0.log")
	file := NewFile(path, Limits{MaxSize: 1000, MaxFiles: 3})
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
	files, err := allFiles(path)
	if err != nil || len(files) < 2 || len(files) > 3 {
		t.Fatalf("the files of the log: %v, %v", files, err)
	}
	var out bytes.Buffer
	if err := Read(context.Background(), path, ReadOptions{Tail: 5}, &out, nil); err != nil {
		t.Fatal(err)
	}
	if out.String() != "line 195\nline 196\nline 197\nline 198\nline 199\n" {
		t.Errorf("the last lines are %q", out.String())
	}
}

func TestReadOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	text := "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stderr P tw\n2026-01-01T00:00:02Z stderr F o\ntorn li\n2026-01-01T00:00:03Z stdout F three\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    ReadOptions
		want string
	}{
		"all":        {ReadOptions{Tail: -1}, "one\ntwo\nthree\n"},
		"tail":       {ReadOptions{Tail: 2}, "two\nthree\n"},
		"tail zero":  {ReadOptions{Tail: 0}, ""},
		"since":      {ReadOptions{Tail: -1, Since: time.Date(2026, 1, 1, 0, 0, 3, 0, time.UTC)}, "three\n"},
		"timestamps": {ReadOptions{Tail: 1, Timestamps: true}, "2026-01-01T00:00:03Z three\n"},
		"bytes":      {ReadOptions{Tail: -1, LimitBytes: 5}, "one\nt"},
	} {
		var out bytes.Buffer
		if err := Read(context.Background(), path, c.o, &out, nil); err != nil || out.String() != c.want {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
}

// A reader that follows sees every line, over rotations, and ends with the container.
func TestFollowOverRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr", "0.log")
	file := NewFile(path, Limits{MaxSize: 5000, MaxFiles: 50})
	p, err := Open(filepath.Join(t.TempDir(), "io"), file, Streams{Keeper: noKeeper{}})
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ended := make(chan struct{})
	followed := make(chan error, 1)
	go func() {
		err := Read(context.Background(), path, ReadOptions{Tail: -1, Follow: true}, w, ended)
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

func FuzzParseLine(f *testing.F) {
	f.Add([]byte("2026-01-01T00:00:01Z stdout F one"))
	f.Add([]byte("2026-01-01T00:00:01Z stderr P "))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseLine(b); err == nil && l.Stream != "stdout" && l.Stream != "stderr" {
			t.Errorf("stream %q", l.Stream)
		}
	})
}

// inPipe is how many bytes nobody has read yet.
func inPipe(f *os.File) int {
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
	if err != nil {
		return -1
	}
	return n
}
