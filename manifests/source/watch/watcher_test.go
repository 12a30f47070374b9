package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// witness watches a directory of *.txt files and remembers what it was told.
type witness struct {
	t       *testing.T
	dir     string
	mu      sync.Mutex
	files   map[string]string // what each file holds, or "failed: ..."
	waiting map[string]error
	gone    []string // all that was ever gone
	loads   int
	last    Round[string]
	rounds  int
	// hold makes the load of that file hang until it is closed.
	hold map[string]chan struct{}
	// fatal makes the load of a file with that text panic.
	fatal string
}

func newWitness(t *testing.T) *witness {
	return &witness{t: t, dir: filepath.Join(t.TempDir(), "up", "dir"), files: map[string]string{}, hold: map[string]chan struct{}{}}
}

// watch begins to watch, and ends with the test, within a second.
func (w *witness) watch(change func(*Watcher[string])) (end func()) {
	w.t.Helper()
	watcher := New(Options[string]{
		Dir: w.dir, Wanted: func(name string) bool { return filepath.Ext(name) == ".txt" && name[0] != '.' },
		Load: w.load, Apply: w.apply,
	})
	if change != nil {
		change(watcher)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- watcher.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("Run: %v", err)
			}
		case <-time.After(time.Second):
			w.t.Error("Run has not returned within a second")
		}
	})
	w.t.Cleanup(end)
	w.eventually("the first round", func() bool { return w.rounds > 0 })
	return end
}

func (w *witness) load(f *File) (string, error) {
	defer f.Close()
	w.mu.Lock()
	w.loads++
	hold := w.hold[filepath.Base(f.Name())]
	w.mu.Unlock()
	if hold != nil {
		<-hold
	}
	data, err := io.ReadAll(f)
	if w.fatal != "" && string(data) == w.fatal {
		panic("over a file")
	}
	if err == nil && !f.Unchanged() {
		err = ErrBeingWritten
	}
	return string(data), err
}

func (w *witness) apply(r Round[string]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, l := range r.Loaded {
		w.files[name] = l.Value
	}
	for name, err := range r.Failed {
		w.files[name] = "failed: " + err.Error()
	}
	for _, name := range r.Gone {
		delete(w.files, name)
		w.gone = append(w.gone, name)
	}
	w.waiting, w.last = r.Waiting, r
	w.rounds++
}

func (w *witness) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); ; {
		w.mu.Lock()
		good := ok()
		w.mu.Unlock()
		if good {
			return
		}
		if time.Now().After(end) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Fatalf("not within %s: %s; files %q, %+v", patience, what, w.files, w.last)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// holds waits until exactly these files are known, as name=content.
func (w *witness) holds(files ...string) {
	w.t.Helper()
	slices.Sort(files)
	w.eventually(fmt.Sprint(files), func() bool {
		var got []string
		for name, text := range w.files {
			got = append(got, name+"="+text)
		}
		slices.Sort(got)
		return slices.Equal(got, files)
	})
}

func (w *witness) neverGone(names ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		if slices.Contains(w.gone, name) {
			w.t.Errorf("%s was taken for deleted", name)
		}
	}
}

func (w *witness) path(name string) string { return filepath.Join(w.dir, name) }

func (w *witness) mkdir(dir string) {
	w.t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// put writes a file beside and moves it in.
func (w *witness) put(path, text string) {
	w.t.Helper()
	w.must(os.WriteFile(path+".new", []byte(text), 0o644))
	w.must(os.Rename(path+".new", path))
}

func (w *witness) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestFilesComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.watch(nil)
	w.eventually("the directory is missing", func() bool { return strings.HasPrefix(w.last.Warning, "does not exist") })
	w.mkdir(w.dir)
	w.eventually("it is there", func() bool { return w.last.Warning == "" })
	w.put(w.path("a.txt"), "1")
	w.put(w.path(".b.txt"), "hidden")
	w.put(w.path("b.md"), "not wanted")
	w.put(w.path("new\nline.txt"), "2")
	w.mkdir(w.path("dir.txt"))
	w.holds("a.txt=1", "new\nline.txt=2")
	w.put(w.path("a.txt"), "3")
	w.holds("a.txt=3", "new\nline.txt=2")
	w.must(os.Remove(w.path("new\nline.txt")))
	w.holds("a.txt=3")
	w.must(os.Rename(w.path("a.txt"), w.path("c.txt")))
	w.holds("c.txt=3")
}

// A file is read when nobody has it open for writing any more, and not before; how much is written makes no work.
func TestSlowWriter(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	w.watch(func(w *Watcher[string]) { w.judge.times.told = 50 * time.Millisecond })
	f, err := os.Create(w.path("a.txt"))
	w.must(err)
	for range 1000 {
		_, err := f.WriteString("x")
		w.must(err)
	}
	w.eventually("it is told", func() bool { return w.waiting["a.txt"] != nil })
	w.mu.Lock()
	if w.loads > 0 || len(w.files) > 0 || w.rounds > 10 {
		t.Errorf("%d loads, %d rounds, %q", w.loads, w.rounds, w.files)
	}
	w.mu.Unlock()
	w.must(f.Close())
	w.holds("a.txt=" + strings.Repeat("x", 1000))
	w.eventually("nothing waits", func() bool { return len(w.waiting) == 0 })
}

// Many tools replace a file by removing it and creating it anew.
func TestReplacedByUnlinkAndCreate(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	w.put(w.path("a.txt"), "start")
	w.put(w.path("b.txt"), "other")
	w.watch(nil)
	for i := range 30 {
		w.must(os.Remove(w.path("a.txt")))
		if i%3 == 0 {
			<-time.After(20 * time.Millisecond)
		}
		w.must(os.WriteFile(w.path("a.txt"), fmt.Append(nil, i), 0o644))
		w.holds("a.txt="+fmt.Sprint(i), "b.txt=other")
	}
	w.neverGone("a.txt", "b.txt")
}

func TestOddEntries(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	w.must(syscall.Mkfifo(w.path("fifo.txt"), 0o644))
	socket, err := net.Listen("unix", w.path("socket.txt"))
	w.must(err)
	defer socket.Close()
	for from, to := range map[string]string{
		"loop.txt": "loop.txt", "zero.txt": "/dev/zero", "nowhere.txt": "/nowhere/x", "up.txt": "..", "tofifo.txt": "fifo.txt", "later.txt": "../later",
	} {
		w.must(os.Symlink(to, w.path(from)))
	}
	w.watch(nil)
	w.eventually("each is told", func() bool {
		for name, part := range map[string]string{
			"fifo.txt": "a FIFO", "socket.txt": "a socket", "loop.txt": "too many levels", "zero.txt": "a device", "nowhere.txt": "no such file", "tofifo.txt": "a FIFO", "later.txt": "no such file",
		} {
			if !strings.Contains(w.files[name], "failed: ") || !strings.Contains(w.files[name], part) {
				return false
			}
		}
		return len(w.files) == 7
	})
	w.put(filepath.Join(w.dir, "..", "later"), "now")
	w.eventually("what a link awaited", func() bool { return w.files["later.txt"] == "now" })
}

// Links are followed, also through a directory that is swapped, as ConfigMap mounts do it.
func TestLinks(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	elsewhere := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		w.mkdir(filepath.Join(elsewhere, version))
		w.put(filepath.Join(elsewhere, version, "a.txt"), version)
	}
	w.must(os.Symlink(filepath.Join(elsewhere, "v1"), w.path("..data")))
	w.must(os.Symlink("..data/a.txt", w.path("a.txt")))
	w.watch(nil)
	w.holds("a.txt=v1")
	w.must(os.Symlink(filepath.Join(elsewhere, "v2"), w.path("..tmp")))
	w.must(os.Rename(w.path("..tmp"), w.path("..data")))
	w.holds("a.txt=v2")
	w.put(filepath.Join(elsewhere, "v2", "a.txt"), "v3")
	w.holds("a.txt=v3")
	w.neverGone("a.txt")
}

// quick makes waits for what must settle short.
func quick(w *Watcher[string]) {
	w.judge.times.swapped, w.judge.times.emptied = 300*time.Millisecond, 900*time.Millisecond
}

// The directory is known by what it is, not by its name, and so are its parents.
func TestSwappedDirectory(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	w.put(w.path("a.txt"), "1")
	w.watch(quick)
	w.holds("a.txt=1")
	up := filepath.Dir(w.dir)
	for i, swapped := range []string{w.dir, up} {
		fresh := filepath.Join(filepath.Dir(up), fmt.Sprint("fresh", i))
		inside := fresh
		if swapped == up {
			inside = filepath.Join(fresh, "dir")
		}
		w.mkdir(inside)
		w.put(filepath.Join(inside, "a.txt"), fmt.Sprint("again", i))
		w.put(filepath.Join(inside, "b.txt"), "2")
		w.must(os.Rename(swapped, fresh+"old"))
		w.must(os.Rename(fresh, swapped))
		w.eventually("it is told", func() bool {
			return strings.Contains(w.last.Warning, "another one") || strings.Contains(w.last.Warning, "not exist")
		})
		w.holds("a.txt="+fmt.Sprint("again", i), "b.txt=2")
		w.put(w.path("c.txt"), "3")
		w.holds("a.txt="+fmt.Sprint("again", i), "b.txt=2", "c.txt=3")
		w.must(os.Remove(w.path("c.txt")))
		w.holds("a.txt="+fmt.Sprint("again", i), "b.txt=2")
	}
	w.neverGone("a.txt", "b.txt")
}

func TestMounts(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	w.put(w.path("a.txt"), "below")
	if err := syscall.Mount("tmpfs", w.dir, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatalf("cannot mount (the test needs root): %v", err)
	}
	mounts := 1
	defer func() {
		for range mounts {
			w.must(syscall.Unmount(w.dir, syscall.MNT_DETACH))
		}
	}()
	w.put(w.path("a.txt"), "first")
	w.watch(quick)
	w.holds("a.txt=first")
	w.must(syscall.Mount("tmpfs", w.dir, "tmpfs", 0, "mode=755"))
	mounts++
	w.put(w.path("a.txt"), "over")
	w.eventually("it is told", func() bool { return strings.Contains(w.last.Warning, "mounted") })
	w.holds("a.txt=over")
	w.put(w.path("b.txt"), "2")
	w.holds("a.txt=over", "b.txt=2")
	for ; mounts > 0; mounts-- {
		w.must(syscall.Unmount(w.dir, syscall.MNT_DETACH))
	}
	w.holds("a.txt=below")
	w.neverGone("a.txt")
}

func TestEmptiedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		w.put(w.path(name), name)
	}
	w.watch(quick)
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		w.must(os.Remove(w.path(name)))
	}
	w.eventually("it is told", func() bool { return strings.Contains(w.last.Warning, "has lost all of its files") })
	w.put(w.path("b.txt"), "back")
	w.holds("b.txt=back")
	w.neverGone("b.txt")
	w.eventually("no warning", func() bool { return w.last.Warning == "" })
}

// A file that cannot be read, for its file system hangs, holds up neither the others nor the end; it is read when it answers.
func TestHang(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	w.hold["hangs.txt"] = make(chan struct{})
	w.put(w.path("hangs.txt"), "at last")
	w.put(w.path("a.txt"), "1")
	end := w.watch(func(w *Watcher[string]) { w.o.LoadLimit = 100 * time.Millisecond })
	w.eventually("it is told", func() bool { return strings.Contains(w.files["hangs.txt"], "does not answer") })
	w.put(w.path("b.txt"), "2")
	w.eventually("another file", func() bool { return w.files["a.txt"] == "1" && w.files["b.txt"] == "2" })
	close(w.hold["hangs.txt"])
	w.holds("hangs.txt=at last", "a.txt=1", "b.txt=2")
	w.mu.Lock()
	w.hold["c.txt"] = make(chan struct{})
	w.mu.Unlock()
	defer close(w.hold["c.txt"])
	w.put(w.path("c.txt"), "3")
	w.eventually("it hangs", func() bool { return w.files["c.txt"] != "" })
	end()
}

// A file that trips code over has a problem, until it is another one; the others are used.
func TestPanic(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.fatal = "trips"
	w.mkdir(w.dir)
	w.put(w.path("a.txt"), "1")
	w.put(w.path("bad.txt"), "trips")
	end := w.watch(nil)
	w.holds("a.txt=1", "bad.txt=failed: "+errPanicked.Error()+": over a file")
	w.put(w.path("bad.txt"), "good")
	w.holds("a.txt=1", "bad.txt=good")
	end()
}

// A panic of what was tried is an error, also when it was left behind.
func TestPanicOfAttempt(t *testing.T) {
	late := func(int) { t.Error("it has come in time") }
	if _, err := Attempt(t.Context(), time.Minute, func() int { panic("over a directory") }, late); !errors.Is(err, errPanicked) {
		t.Error(err)
	}
	release, done := make(chan struct{}), make(chan int)
	if _, err := Attempt(t.Context(), time.Millisecond, func() int { <-release; panic("late") }, func(n int) { done <- n }); !errors.Is(err, errHung) {
		t.Error(err)
	}
	close(release)
	if n := <-done; n != 0 {
		t.Errorf("it has left %d", n)
	}
}

func TestManyFiles(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	const many = 10_000
	w.watch(nil)
	for i := range many {
		w.must(os.WriteFile(w.path(fmt.Sprintf("f%d.txt", i)), fmt.Append(nil, i), 0o644))
	}
	w.eventually("all are read", func() bool { return len(w.files) == many })
	w.must(os.WriteFile(w.path("f5.txt"), []byte("new"), 0o644))
	began := time.Now()
	w.eventually("an edit", func() bool { return w.files["f5.txt"] == "new" })
	t.Logf("an edit among %d files: %s; %d rounds", many, time.Since(began).Round(time.Millisecond), w.rounds)
}

// However many events a burst has brought, few looks follow it, and then none. On a busy machine a burst comes in several pieces, each of
// which may have a look of its own.
func TestRestAfterABurst(t *testing.T) {
	for kind, burst := range map[string]struct {
		many int
		make func(path string) error
	}{
		"files": {1000, func(path string) error { return os.WriteFile(path, []byte("x"), 0o644) }},
		"links": {300, func(path string) error { return os.Symlink(filepath.Base(path), path) }}, // to themselves
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWitness(t)
			w.mkdir(w.dir)
			held := make(chan struct{})
			w.hold["held.txt"] = held
			var looks atomic.Int64
			w.watch(func(w *Watcher[string]) {
				w.o.LoadLimit = patience
				w.o.Trust = func(string, fs.FileInfo) error { looks.Add(1); return nil }
			})
			w.put(w.path("held.txt"), "x")
			w.eventually("a look waits for a file", func() bool { return w.loads == 1 })
			for i := range burst.many {
				w.must(burst.make(w.path(fmt.Sprintf("f%d.txt", i))))
			}
			before := looks.Load()
			close(held)
			w.eventually("all are read", func() bool { return len(w.files) == burst.many+1 })
			w.put(w.path("last.txt"), "x")
			w.eventually("another file", func() bool { return w.files["last.txt"] == "x" })
			last, at := looks.Load(), time.Now()
			w.eventually("a second without a look", func() bool {
				if n := looks.Load(); n != last {
					last, at = n, time.Now()
				}
				return time.Since(at) > time.Second
			})
			if n := int(last - before); n > burst.many/3 {
				t.Errorf("%d looks after %d files", n, burst.many)
			}
		})
	}
}

// Without a watch to be had the directory is looked at from time to time, and watched when there is one. The machine's own bound is
// not touched: the test runs again in a user namespace with one of its own.
func TestWatchesUsedUp(t *testing.T) {
	const bound = "/proc/sys/user/max_inotify_instances"
	if os.Getenv("WATCHES_USED_UP") == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestWatchesUsedUp$", "-test.v")
		cmd.Env = append(os.Environ(), "WATCHES_USED_UP=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{Size: 65536}}, GidMappings: []syscall.SysProcIDMap{{Size: 65536}},
		}
		out, err := cmd.CombinedOutput()
		if err != nil && !strings.Contains(string(out), "---") {
			t.Skipf("no user namespace: %v", err)
		}
		if err != nil || !strings.Contains(string(out), "PASS: TestWatchesUsedUp") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	w := newWitness(t)
	w.mkdir(w.dir)
	w.put(w.path("a.txt"), "1")
	w.must(os.WriteFile(bound, []byte("0"), 0))
	w.watch(nil)
	w.eventually("it is told", func() bool { return strings.Contains(w.last.Unwatched, "max_user_instances") })
	w.holds("a.txt=1")
	w.put(w.path("a.txt"), "2")
	w.holds("a.txt=2")
	w.must(os.WriteFile(bound, []byte("10"), 0))
	w.eventually("it is watched", func() bool { return w.last.Unwatched == "" })
	w.put(w.path("a.txt"), "3")
	w.holds("a.txt=3")
}
