package archive

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/manifests/source/watch"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/intake"
	"github.com/solopod/solopod/runner/rescue"
)

// images reads an archive and takes its text for an image's name. It returns when ctx ends, as the engine's Import does.
func images(ctx context.Context, archive io.Reader, whole func() error) ([]engine.Image, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := io.ReadAll(archive)
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		if strings.HasPrefix(string(r.text), "bad") {
			return nil, intake.ErrNoArchive
		}
		if err := errors.Join(r.err, whole()); err != nil {
			return nil, err
		}
		return []engine.Image{{Name: string(r.text)}}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// outcomes are what a Directory has told.
type outcomes struct {
	mu      sync.Mutex
	ready   []string
	reports map[string]error
	all     chan struct{}
}

func newDirectory(t *testing.T, ledger string, read Import) (*Directory, *outcomes) {
	t.Helper()
	o := &outcomes{reports: map[string]error{}, all: make(chan struct{}, 100)}
	d := NewDirectory(NewImporter(read), ledger, Outcome{Present: func(context.Context, string) bool { return true }, Imported: func(list []engine.Image) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, image := range list {
			o.ready = append(o.ready, image.Name)
		}
	}, Report: func(file string, err error) {
		if !isArchive(filepath.Base(file)) {
			return // the machine's inotify instances may be used up, which this holds against nobody
		}
		o.mu.Lock()
		o.reports[filepath.Base(file)] = err
		o.mu.Unlock()
		o.all <- struct{}{}
	}})
	return d, o
}

// run runs d until the test ends, or stop is called, and returns when what lay in dir was tried.
func run(t *testing.T, d *Directory, dir string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	scanned, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- d.Run(ctx, dir, func() { close(scanned) }) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("it does not end")
		}
	})
	t.Cleanup(stop)
	select {
	case <-scanned:
	case <-time.After(10 * time.Second):
		t.Fatal("the first round does not end")
	}
	return stop
}

// soFar are the outcomes until now.
func (o *outcomes) soFar() (ready []string, reports map[string]error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.ready), maps.Clone(o.reports)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (o *outcomes) await(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-o.all:
		case <-time.After(10 * time.Second):
			t.Fatalf("told only of %v", o.reports)
		}
	}
}

// What lies in the directory beside good archives holds nothing up.
func TestScan(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "good.tar"), "one")
	write(t, filepath.Join(dir, "bad.tar"), "bad")
	write(t, filepath.Join(dir, ".hidden.tar"), "hidden")
	write(t, filepath.Join(dir, "notes.txt"), "notes")
	if err := unix.Mkfifo(filepath.Join(dir, "fifo.tar"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "directory.tar"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"link.tar": "good.tar", "nowhere.tar": "nothing", "zero.tar": "/dev/zero", "self.tar": "self.tar"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	ledger := filepath.Join(t.TempDir(), "archives.json")
	d, o := newDirectory(t, ledger, images)
	run(t, d, dir)()
	if err := o.reports["good.tar"]; err != nil || len(o.ready) != 2 {
		t.Errorf("good archives: %v, %v", o.ready, err)
	}
	if err := o.reports["bad.tar"]; err == nil || !strings.Contains(err.Error(), "is it a complete") {
		t.Errorf("a bad archive: %v", err)
	}
	for _, name := range []string{"fifo.tar", "nowhere.tar", "zero.tar", "self.tar"} {
		if o.reports[name] == nil {
			t.Errorf("nothing is told of %s", name)
		}
	}
	if len(o.reports) != 7 { // and link.tar
		t.Errorf("told of %v", o.reports)
	}
	// What was imported is not imported again, in the next run either.
	d, o = newDirectory(t, ledger, images)
	run(t, d, dir)()
	if len(o.ready) != 0 || o.reports["bad.tar"] == nil {
		t.Errorf("imported again: %v; told %v", o.ready, o.reports)
	}
}

// A ledger that is damaged costs a reading of all archives, and no more.
func TestDamagedLedger(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"a directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) },
		"zeros":       func(path string) error { return os.WriteFile(path, make([]byte, 100), 0o600) },
		"cut off":     func(path string) error { return os.WriteFile(path, []byte(`{"/images/a.tar":{"si`), 0o600) },
		"null":        func(path string) error { return os.WriteFile(path, []byte("null"), 0o600) },
		"a list":      func(path string) error { return os.WriteFile(path, []byte("[]"), 0o600) },
		"a FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"huge":        func(path string) error { return os.WriteFile(path, make([]byte, maxLedger+1), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			ledger := filepath.Join(t.TempDir(), "archives.json")
			if err := damage(ledger); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			write(t, filepath.Join(dir, "good.tar"), "one")
			d, o := newDirectory(t, ledger, images)
			run(t, d, dir)()
			if len(o.ready) != 1 || o.reports["good.tar"] != nil {
				t.Errorf("ready %v, told %v", o.ready, o.reports)
			}
			d, o = newDirectory(t, ledger, images)
			if run(t, d, dir)(); len(o.ready) != 0 {
				t.Error("it was not written anew")
			}
			if _, err := os.Lstat(ledger + ".damaged"); err != nil {
				t.Errorf("it is not set aside: %v", err)
			}
		})
	}
}

// A stream that brings nothing ends with an error that says so, and holds up neither files, nor root's, nor, for ever, other streams.
func TestStalledStream(t *testing.T) {
	i := NewImporter(images)
	i.quiet = 50 * time.Millisecond
	for range streamsAtOnce + 1 {
		r, w := io.Pipe()
		defer w.Close()
		if _, err := i.Stream(t.Context(), r, false); !errors.Is(err, ErrStalled) {
			t.Errorf("%v", err)
		}
	}
	i.quiet = time.Minute
	for range streamsAtOnce {
		r, w := io.Pipe()
		defer w.Close()
		go i.Stream(t.Context(), r, false) //nolint:errcheck // it hangs
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := i.Stream(ctx, strings.NewReader("one more"), false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one more stream: %v", err)
	}
	if list, err := i.Stream(t.Context(), strings.NewReader("root's"), true); err != nil || len(list) != 1 {
		t.Errorf("root's: %v, %v", list, err)
	}
	if list, _, err := i.importOne(t.Context(), strings.NewReader("file"), func() error { return nil }, i.files); err != nil || len(list) != 1 {
		t.Errorf("a file: %v, %v", list, err)
	}
}

// New archives are imported as they come, each once, when nobody writes to it any more. What goes takes nothing with it.
func TestRun(t *testing.T) {
	dir, ledger := t.TempDir(), filepath.Join(t.TempDir(), "archives.json")
	write(t, filepath.Join(dir, "first.tar"), "first")
	d, o := newDirectory(t, ledger, images)
	stop := run(t, d, dir)
	o.await(t, 1)
	slow, err := os.Create(filepath.Join(dir, "slow.tar"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "new.tar"), "new")
	if _, err := slow.WriteString("slow"); err != nil {
		t.Fatal(err)
	}
	o.await(t, 1)
	if ready, reports := o.soFar(); len(ready) != 2 || reports["slow.tar"] != nil {
		t.Errorf("while one is written: %v, %v", ready, reports)
	}
	if err := slow.Close(); err != nil {
		t.Fatal(err)
	}
	o.await(t, 1)
	write(t, filepath.Join(dir, "bad.tar"), "bad")
	o.await(t, 1)
	write(t, filepath.Join(dir, "bad.tar"), "good after all")
	o.await(t, 1)
	stop()
	if ready, reports := o.soFar(); strings.Join(ready, ",") != "first,new,slow,good after all" || reports["bad.tar"] != nil {
		t.Errorf("imported %v, told %v", ready, reports)
	}
	// The next run forgets what is gone, and reads nothing again.
	if err := os.Remove(filepath.Join(dir, "new.tar")); err != nil {
		t.Fatal(err)
	}
	d, o = newDirectory(t, ledger, images)
	run(t, d, dir)
	for end := time.Now().Add(10 * time.Second); len(d.ledger.names(dir)) != 3; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it knows %v", d.ledger.names(dir))
		}
	}
	if ready, _ := o.soFar(); len(ready) != 0 {
		t.Errorf("imported again: %v", ready)
	}
}

// An import that hangs does not keep pods from trying a registry, and not the daemon from its end.
func TestHangingImport(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.tar"), "a")
	d, o := newDirectory(t, filepath.Join(t.TempDir(), "archives.json"), func(ctx context.Context, _ io.Reader, _ func() error) ([]engine.Image, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	d.first = 50 * time.Millisecond
	run(t, d, dir)()
	if len(o.reports) != 0 {
		t.Errorf("told %v", o.reports)
	}
}

// What fails for a full disk is tried again at growing intervals while it lies there; what is bad is not.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var full atomic.Bool
		full.Store(true)
		var mu sync.Mutex
		tries := map[string]int{}
		count := func(name string) (n int) {
			mu.Lock()
			defer mu.Unlock()
			tries[name]++
			return tries[name] - 1
		}
		d, o := newDirectory(t, filepath.Join(t.TempDir(), "archives.json"), func(ctx context.Context, archive io.Reader, whole func() error) ([]engine.Image, error) {
			list, err := images(ctx, archive, whole)
			if err != nil {
				count("bad")
				return nil, err
			}
			count(list[0].Name)
			if full.Load() {
				return nil, errors.New("rpc error: code = Unknown desc = write /blob: no space left on device")
			}
			return list, nil
		})
		d.dir = dir
		queue(t, d, "a.tar", "large", 0)
		queue(t, d, "b.tar", "gone", 0)
		queue(t, d, "c.tar", "bad", 0)
		ctx, cancel := context.WithCancel(t.Context())
		go d.work(ctx, func() {})
		synctest.Wait()
		d.apply(watch.Round[struct{}]{Gone: []string{"b.tar"}})
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if large, gone, bad := count("large"), count("gone"), count("bad"); large != 6 || gone != 1 || bad != 1 { // at 0 s, 10, 30, 70, 150, 310
			t.Errorf("tried %d, %d and %d times", large, gone, bad)
		}
		full.Store(false)
		<-time.After(lastPause)
		synctest.Wait()
		if ready, reports := o.soFar(); len(ready) != 1 || reports["a.tar"] != nil {
			t.Errorf("with space: %v, %v", ready, reports)
		}
		cancel()
	})
}

// queue puts an archive where the watcher's rounds put it. older is by how much its file has grown since.
func queue(t *testing.T, d *Directory, name, text string, older int64) {
	t.Helper()
	write(t, d.path(name), text)
	info, err := os.Stat(d.path(name))
	if err != nil {
		t.Fatal(err)
	}
	v := watch.VersionOf(info)
	v.Size -= older
	d.apply(watch.Round[struct{}]{Loaded: map[string]watch.Loaded[struct{}]{name: {Version: v}}})
}

// A file system that hangs holds one archive up, until it answers; a file that changes is read when it is still.
func TestHangingFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, o := newDirectory(t, filepath.Join(t.TempDir(), "archives.json"), images)
		d.dir = t.TempDir()
		release := make(chan struct{})
		d.open = func(path string) (*watch.File, error) {
			if filepath.Base(path) == "a.tar" {
				<-release
			}
			return watch.Open(path)
		}
		queue(t, d, "a.tar", "hung", 0)
		queue(t, d, "b.tar", "good", 0)
		queue(t, d, "c.tar", "grown", 2)
		ctx, cancel := context.WithCancel(t.Context())
		var scanned atomic.Bool
		go d.work(ctx, func() { scanned.Store(true) })
		<-time.After(quietLimit + time.Second)
		synctest.Wait()
		if ready, reports := o.soFar(); !errors.Is(reports["a.tar"], errHangs) || strings.Join(ready, ",") != "good" || !scanned.Load() {
			t.Errorf("while one hangs: %v, %v, %v", ready, reports, scanned.Load())
		}
		close(release)
		<-time.After(time.Minute)
		synctest.Wait()
		if ready, reports := o.soFar(); strings.Join(ready, ",") != "good,hung,grown" || len(reports) != 3 || reports["a.tar"] != nil {
			t.Errorf("at last: %v, %v", ready, reports)
		}
		cancel()
	})
}

// What was written to while it was read is not used.
func TestChangedWhileRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tar")
	write(t, path, "one")
	f, err := watch.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := whole(f)(); err != nil {
		t.Errorf("another mode: %v", err)
	}
	write(t, path, "other")
	if err := whole(f)(); !errors.Is(err, errChanged) || !passes(err) {
		t.Errorf("another content: %v", err)
	}
}

// An archive that trips code over is told as bad, once, and the others are imported.
func TestPanic(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.tar"), "a")
	write(t, filepath.Join(dir, "b.tar"), "b")
	write(t, filepath.Join(dir, "c.tar"), "c")
	d, o := newDirectory(t, filepath.Join(t.TempDir(), "archives.json"), func(ctx context.Context, archive io.Reader, whole func() error) ([]engine.Image, error) {
		list, err := images(ctx, archive, whole)
		if err == nil && list[0].Name == "a" {
			panic("over an archive")
		}
		return list, err
	})
	open := d.open
	d.open = func(path string) (*watch.File, error) {
		if filepath.Base(path) == "b.tar" {
			panic("over a file")
		}
		return open(path)
	}
	run(t, d, dir)
	ready, reports := o.soFar()
	if !slices.Equal(ready, []string{"c"}) || !errors.Is(reports["a.tar"], rescue.ErrPanicked) || !errors.Is(reports["b.tar"], rescue.ErrPanicked) {
		t.Errorf("ready %v, told %v", ready, reports)
	}
}

// What was collected is not imported anew by a start, but when somebody wants it and its archive lies there.
func TestWant(t *testing.T) {
	dir, ledger := t.TempDir(), filepath.Join(t.TempDir(), "archives.json")
	write(t, filepath.Join(dir, "a.tar"), "a:1")
	write(t, filepath.Join(dir, "b.tar"), "b:1")
	d, o := newDirectory(t, ledger, images)
	stop := run(t, d, dir)
	o.await(t, 2)
	stop()
	if err := errors.Join(d.Collect([]string{"a:1"}, "x"), d.Collect([]string{"b:1"}, "y")); err != nil {
		t.Fatal(err)
	}
	d, o = newDirectory(t, ledger, images)
	d.outcome.Present = func(context.Context, string) bool { return false }
	run(t, d, dir)
	if ready, _ := o.soFar(); len(ready) > 0 {
		t.Errorf("the start has imported %q", ready)
	}
	means := func(name, digest string) func(string, string) bool {
		return func(n, d string) bool { return n == name && d == digest }
	}
	if d.Want(means("a:1", "another")) != nil || d.Want(means("c:1", "x")) != nil {
		t.Error("an archive was found of what none has brought")
	}
	tried := d.Want(means("a:1", "x"))
	if tried == nil {
		t.Fatal("the archive was not found")
	}
	select {
	case <-tried:
	case <-time.After(10 * time.Second):
		t.Fatal("it is not imported")
	}
	if ready, _ := o.soFar(); !slices.Equal(ready, []string{"a:1"}) {
		t.Errorf("imported were %q", ready)
	}
	if d.Want(means("a:1", "x")) != nil {
		t.Error("what was imported anew counts as collected")
	}
	// Without its archive it cannot be had any more.
	if err := os.Remove(filepath.Join(dir, "b.tar")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); d.Want(means("b:1", "y")) != nil; {
		if time.Now().After(end) {
			t.Fatal("an archive that is gone is wanted")
		}
		runtime.Gosched()
	}
}

// Archives that somebody waits for are tried before others, and nobody waits for one that is to be tried only after a while.
func TestAwaited(t *testing.T) {
	d, _ := newDirectory(t, filepath.Join(t.TempDir(), "archives.json"), images)
	d.dir = "/images"
	for _, name := range []string{"a", "b", "c"} {
		d.seen[name+".tar"] = watch.Version{Size: 1}
		if err := d.ledger.note("/images/"+name+".tar", watch.Version{Size: 1}, []string{name}); err != nil {
			t.Fatal(err)
		}
		if err := d.Collect([]string{name}, "x"); err != nil {
			t.Fatal(err)
		}
	}
	want := func(name string) <-chan struct{} {
		return d.Want(func(n, _ string) bool { return n == name })
	}
	now := time.Now()
	d.jobs["a.tar"] = job{version: watch.Version{Size: 1}}
	d.jobs["c.tar"] = job{version: watch.Version{Size: 1}, pause: firstPause, due: now.Add(time.Hour)}
	if want("c") != nil {
		t.Error("an archive is waited for that is tried in an hour")
	}
	if name, _, _ := d.next(now); name != "a.tar" {
		t.Errorf("%s is tried first", name)
	}
	if want("b") == nil {
		t.Error("an archive that may be tried is not waited for")
	}
	if name, _, _ := d.next(now); name != "b.tar" {
		t.Errorf("%s is tried first", name)
	}
	if name, _, _ := d.next(now.Add(2 * time.Hour)); name != "b.tar" {
		t.Errorf("later %s is tried first", name)
	}
}
