package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/broadcast"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/logs/reader"
	"github.com/solopod/solopod/runner/rescue"
)

// box holds pods in memory, and is an engine that only notes what it is asked for.
type box struct {
	mu      sync.Mutex
	pods    []*v1.Pod
	changes broadcast.Changes
	closed  chan string
	asked   *specs.Process
}

func (b *box) Pods() []*v1.Pod {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.pods)
}

func (b *box) Subscribe() (<-chan struct{}, func()) { return b.changes.Subscribe() }

func (b *box) set(pods ...*v1.Pod) {
	b.mu.Lock()
	b.pods = pods
	b.mu.Unlock()
	b.changes.Notify()
}

func (b *box) idle(t *testing.T) {
	t.Helper()
	if n := b.changes.Len(); n > 0 {
		t.Errorf("%d sessions that have ended still listen", n)
	}
}

func (b *box) Pid(id string) uint32 {
	if id == "one-id" {
		return 42
	}
	return 0
}

func (b *box) CloseStdin(id string)                      { b.closed <- id }
func (*box) Resize(context.Context, string, engine.Size) {}
func (*box) Process(context.Context, string) (*specs.Process, error) {
	return &specs.Process{Cwd: "/work", Args: []string{"main"}}, nil
}

func (b *box) Exec(_ context.Context, _, dir string, process *specs.Process, sio engine.ExecIO) (uint32, error) {
	b.asked = process
	if _, err := os.Stat(dir); err != nil {
		return 0, err
	}
	_, err := sio.Stdout.Write(bytes.Repeat([]byte("x"), 2*outputLimit))
	return 3, err
}

func (*box) Checkpoint(context.Context, string, string, string) (json.RawMessage, error) {
	return nil, errors.New("not here")
}

func container(name string, attempt int32, state v1.ContainerState) v1.ContainerStatus {
	return v1.ContainerStatus{Name: name, ContainerID: "containerd://" + name + "-id", RestartCount: attempt, State: state}
}

var (
	running = v1.ContainerState{Running: &v1.ContainerStateRunning{}}
	ended   = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{}}
	waiting = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	backOff = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
)

func podOf(name string, list ...v1.ContainerStatus) *v1.Pod {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: "uid-" + "x"}}
	pod.Spec.HostNetwork = true
	for _, s := range list {
		pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: s.Name, Stdin: true, StdinOnce: true})
	}
	pod.Status.ContainerStatuses = list
	return pod
}

func sessions(t *testing.T, pods ...*v1.Pod) (*Sessions, *box) {
	t.Helper()
	dir := t.TempDir()
	b := &box{pods: pods, closed: make(chan string, 1)}
	return New(b, b, layout.Dirs{Root: dir + "/root", State: dir + "/state", Logs: dir + "/logs"}), b
}

// Which container a session is for, and why there is none.
func TestEnter(t *testing.T) {
	leaving := podOf("twice", container("one", 0, ended))
	leaving.DeletionTimestamp, leaving.UID = &metav1.Time{}, "uid-old"
	s, _ := sessions(t, podOf("web", container("one", 0, running)), podOf("two", container("a", 0, running), container("b", 0, waiting)),
		leaving, podOf("twice", container("one", 0, running)))
	for _, c := range []struct {
		pod, uid, container string
		want                error
		text                string
	}{
		{"web", "", "", nil, ""},
		{"web", "uid-x", "one", nil, ""},
		{"web", "uid-y", "one", ErrNotFound, "uid-y"},
		{"web", "", "none", ErrNotFound, "it has one"},
		{"two", "", "", ErrNotFound, "choose one of a, b"},
		{"two", "", "b", ErrNotRunning, "ContainerCreating"},
		{"twice", "", "one", nil, ""},
		{"none", "", "", ErrNotFound, "pod ns/none"},
	} {
		err := s.CanEnter("ns", c.pod, c.uid, c.container)
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if a, err := s.Archive("ns", "web", ""); err != nil || a.Pid != 42 {
		t.Errorf("files are reached by way of process %d, %v", a.Pid, err)
	}
	if _, err := s.Archive("ns", "two", "a"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("files of a container without a process: %v", err)
	}
}

// A command has the main process's working directory and environment, and a terminal's kind where it has one.
func TestExec(t *testing.T) {
	s, b := sessions(t, podOf("web", container("one", 0, running)))
	code, err := s.Exec(t.Context(), "ns", "web", "", []string{"ls"}, engine.ExecIO{Stdout: io.Discard, Sizes: make(chan engine.Size)})
	if err != nil || code != 3 || b.asked.Cwd != "/work" || !slices.Equal(b.asked.Args, []string{"ls"}) || !slices.Contains(b.asked.Env, "TERM=xterm") {
		t.Errorf("%d, %v: %+v", code, err, b.asked)
	}
	if _, out, err := Output(t.Context(), b, "one-id", t.TempDir(), []string{"ls"}); err != nil || len(out) != outputLimit {
		t.Errorf("%d bytes of output are kept, %v", len(out), err)
	}
}

// leaving is an engine whose command writes on when its exec has been given up.
type leaving struct{ *box }

func (l leaving) Exec(ctx context.Context, _, _ string, _ *specs.Process, sio engine.ExecIO) (uint32, error) {
	sio.Stdout.Write([]byte("first")) //nolint:errcheck // it cannot fail
	go func() {
		for ctx.Err() == nil {
			sio.Stdout.Write([]byte("x")) //nolint:errcheck // it cannot fail
		}
	}()
	return 0, errors.New("left behind")
}

// What a command has written is not looked at while it may write on.
func TestOutputOfWhatWasLeftBehind(t *testing.T) {
	if _, out, err := Output(t.Context(), leaving{}, "one-id", t.TempDir(), []string{"ls"}); err == nil || out != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// When following ends: with the directory of the attempt, or a while after the pod's status says that the attempt is over.
func TestWhenEnded(t *testing.T) {
	here := podOf("web", container("one", 1, running))
	remove := os.Remove
	// hide has every look at a directory fail, otherwise than because it is gone.
	hide := func(dir string) error {
		parent := filepath.Dir(dir)
		return errors.Join(os.Rename(parent, parent+".away"), os.WriteFile(parent, nil, 0o600))
	}
	for name, c := range map[string]struct {
		then  []*v1.Pod // after the session has begun, each for half of the time that is waited; nil is no pod
		do    func(dir string) error
		after time.Duration // negative: never
	}{
		"the directory goes":              {[]*v1.Pod{here}, remove, 0},
		"it stays, and one runs":          {[]*v1.Pod{here}, nil, -1},
		"it stays, being made":            {[]*v1.Pod{podOf("web", container("one", 1, waiting))}, nil, -1},
		"it stays, the attempt ends":      {[]*v1.Pod{podOf("web", container("one", 1, ended))}, nil, completed},
		"it stays, backing off":           {[]*v1.Pod{podOf("web", container("one", 1, backOff))}, nil, completed},
		"it stays, the next one":          {[]*v1.Pod{podOf("web", container("one", 2, running))}, nil, completed},
		"it stays, no container":          {[]*v1.Pod{podOf("web", container("other", 0, running), container("another", 0, running))}, nil, completed},
		"it stays, no pod":                {[]*v1.Pod{nil}, nil, completed},
		"it stays, no pod for a moment":   {[]*v1.Pod{nil, here}, nil, -1},
		"it stays, no pod twice":          {[]*v1.Pod{nil, here, nil}, nil, 2 * completed},
		"it cannot be seen, and one runs": {[]*v1.Pod{here}, hide, -1},
		"it cannot be seen, no pod":       {[]*v1.Pod{nil}, hide, completed},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, b := sessions(t, here)
			dir := s.dirs.ContainerDir("uid-x", "one", 1)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			over, stop := s.whenEnded(t.Context(), "uid-x", "one", 1)
			synctest.Wait()
			if c.do != nil {
				if err := c.do(dir); err != nil {
					t.Fatal(err)
				}
			}
			begun := time.Now()
			for i, pod := range c.then {
				if i > 0 {
					time.Sleep(completed / 2) //nolint:forbidigo // virtual time
				}
				if pod == nil {
					b.set()
				} else {
					b.set(pod)
				}
			}
			select {
			case <-over:
				if took := time.Since(begun); took != c.after {
					t.Errorf("%s: it ends after %s, not %s", name, took, c.after)
				}
			case <-time.After(time.Hour):
				if c.after >= 0 {
					t.Errorf("%s: it does not end", name)
				}
			}
			stop()
			b.idle(t)
		})
	}
}

func makeLog(t *testing.T, s *Sessions, lines ...string) string {
	t.Helper()
	path := s.dirs.LogFile(podOf("web"), "one", 0)
	text := ""
	for _, line := range lines {
		text += "2024-01-02T03:04:05.000000006Z stdout F " + line + "\n"
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// Logs that there are, and that there are not.
func TestLogs(t *testing.T) {
	s, b := sessions(t, podOf("web", container("one", 0, running)), podOf("next", container("one", 1, running)))
	makeLog(t, s, "first", "second")
	var out strings.Builder
	if err := s.Logs(t.Context(), "ns", "web", "", false, reader.Options{Tail: 1}, &out); err != nil || out.String() != "second\n" {
		t.Errorf("the log is %q, %v", out.String(), err)
	}
	if err := s.Logs(t.Context(), "ns", "web", "", true, reader.Options{Tail: -1}, &out); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no earlier attempt") {
		t.Errorf("an earlier attempt: %v", err)
	}
	if err := s.Logs(t.Context(), "ns", "next", "", false, reader.Options{Tail: -1}, &out); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no log yet") {
		t.Errorf("a log that is not there: %v", err)
	}
	foreign := s.dirs.LogFile(podOf("next"), "one", 1)
	if err := errors.Join(os.MkdirAll(filepath.Dir(foreign), 0o700), os.Symlink("/etc/hostname", foreign)); err != nil {
		t.Fatal(err)
	}
	if err := s.Logs(t.Context(), "ns", "next", "", false, reader.Options{Tail: -1}, &out); !errors.Is(err, logfile.ErrForeign) || out.String() != "second\n" {
		t.Errorf("a link in the place of a log: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	if err := os.MkdirAll(s.dirs.ContainerDir("uid-x", "one", 0), 0o700); err != nil {
		t.Fatal(err)
	}
	go func() { done <- s.Logs(ctx, "ns", "web", "", false, reader.Options{Follow: true}, io.Discard) }()
	cancel()
	if err := await(t, done, "following for nobody"); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	b.idle(t)
}

// A log whose disk does not answer costs a request a limit, and those that come later nothing; its client can go, and gets nothing then.
func TestStuckLog(t *testing.T) {
	s, _ := sessions(t, podOf("web", container("one", 0, running)), podOf("next", container("one", 0, running)))
	path := makeLog(t, s, "first")
	answer := stuck.FileSystem(t, filepath.Dir(path))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	var out strings.Builder
	if err := s.read(ctx, path, reader.Options{Tail: -1}, &out, nil); !errors.Is(err, context.DeadlineExceeded) || out.Len() > 0 {
		t.Errorf("for a client that has gone: %q, %v", out.String(), err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	threads := pprof.Lookup("threadcreate").Count()
	for range 200 {
		if err := s.Logs(t.Context(), "ns", "web", "", false, reader.Options{Tail: -1}, &out); !errors.Is(err, aside.ErrHangs) {
			t.Fatalf("a later one: %v", err)
		}
	}
	if n := pprof.Lookup("threadcreate").Count(); n > threads+50 {
		t.Errorf("%d threads wait, and %d before", n, threads)
	}
	if err := s.Logs(t.Context(), "ns", "next", "", false, reader.Options{Tail: -1}, &out); !errors.Is(err, ErrNotFound) {
		t.Errorf("elsewhere: %v", err)
	}
	answer()
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { //nolint:forbidigo // a poll with a deadline
		err := s.Logs(t.Context(), "ns", "web", "", false, reader.Options{Tail: -1}, &out)
		if err == nil && out.String() == "first\n" {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("it answers again: %q, %v", out.String(), err)
		}
	}
}

// A log that cannot be read to its end is told, unless it is its client who has gone.
func TestBrokenLog(t *testing.T) {
	var told strings.Builder
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&told, nil)))
	defer slog.SetDefault(before)
	s, _ := sessions(t)
	path := makeLog(t, s, "first")
	r, w := io.Pipe()
	r.Close()
	if err := s.read(t.Context(), path, reader.Options{Tail: -1}, w, nil); !errors.Is(err, io.ErrClosedPipe) || told.Len() > 0 {
		t.Errorf("a client that has gone: %v, %q", err, told.String())
	}
	if err := errors.Join(os.Remove(path), os.Symlink("/etc/hostname", path)); err != nil {
		t.Fatal(err)
	}
	if err := s.read(t.Context(), path, reader.Options{Tail: -1}, io.Discard, nil); err == nil || !strings.Contains(told.String(), path) {
		t.Errorf("no log: %v, %q", err, told.String())
	}
}

// Once its time is over nothing passes a gate.
func TestGate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out strings.Builder
	g := gate{ctx: ctx, w: &out, turn: make(chan struct{}, 1)}
	for range 2 {
		if n, err := g.Write([]byte("x")); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	cancel()
	if _, err := g.Write([]byte("y")); !errors.Is(err, context.Canceled) || out.String() != "xx" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s does not end", what)
	}
	return v
}

// A container that does not read its input holds no session back, and one without a reader fails at once.
func TestAttach(t *testing.T) {
	s, b := sessions(t, podOf("web", container("one", 0, running)))
	makeLog(t, s, "old")
	dir := s.dirs.StreamDir("uid-x", "one", 0)
	fifo := filepath.Join(dir, "stdin")
	if err := errors.Join(os.MkdirAll(dir, 0o700), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	input, feed := io.Pipe()
	if err := s.Attach(t.Context(), "ns", "web", "", engine.ExecIO{Stdin: input}); !errors.Is(err, unix.ENXIO) {
		t.Errorf("an input that nobody reads: %v", err)
	}
	end, err := os.OpenFile(fifo, os.O_RDWR|unix.O_NONBLOCK, 0) // holds a writing end, too: no early end
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done, stuck := make(chan error), make(chan struct{})
	go func() {
		done <- s.Attach(ctx, "ns", "web", "", engine.ExecIO{Stdin: input, Sizes: make(chan engine.Size)})
	}()
	go func() {
		defer close(stuck)
		for range 64 { // more than a FIFO holds
			if _, err := feed.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	}()
	if _, err := io.ReadFull(end, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := await(t, done, "a session whose client has gone"); err != nil {
		t.Error(err)
	}
	input.Close() // as the stream's owner does
	await(t, stuck, "the writing")
	if id := await(t, b.closed, "the input that only one may have"); id != "one-id" {
		t.Errorf("the input of %q is closed", id)
	}
	b.idle(t)
}

func TestDial(t *testing.T) {
	s, _ := sessions(t, podOf("web", container("one", 0, running)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	conn, err := s.Dial(t.Context(), "ns", "web", port)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if _, err := s.Dial(t.Context(), "ns", "web", port); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
}

// What does not answer is left behind.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		hang := func() (int, error) { <-hangs; return 1, nil }
		if n, err := within(t.Context(), time.Minute, "it", hang); err == nil || n != 0 || !strings.Contains(err.Error(), "longer than 1m0s") {
			t.Errorf("%d, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := within(ctx, time.Minute, "it", hang); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(hangs)
		if n, err := within(t.Context(), time.Minute, "it", hang); err != nil || n != 1 {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := within(t.Context(), time.Minute, "it", func() (int, error) { panic("over a log") }); !errors.Is(err, rescue.ErrPanicked) {
			t.Error(err)
		}
	})
}
