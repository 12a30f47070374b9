package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/engine"
)

// images reads an archive and takes its text for an image's name. It returns when ctx ends, as the engine's Import does.
func images(ctx context.Context, archive io.Reader) ([]engine.Image, error) {
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
			return nil, errors.New("unrecognized image format")
		}
		return []engine.Image{{Name: string(r.text)}}, r.err
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

func newDirectory(t *testing.T, ledger string, quiet time.Duration) (*Directory, *outcomes) {
	t.Helper()
	i := NewImporter(images)
	i.quiet = quiet
	o := &outcomes{reports: map[string]error{}, all: make(chan struct{}, 100)}
	d := NewDirectory(i, ledger, func(context.Context, string) bool { return true }, func(list []engine.Image) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, image := range list {
			o.ready = append(o.ready, image.Name)
		}
	}, func(file string, err error) {
		o.mu.Lock()
		o.reports[filepath.Base(file)] = err
		o.mu.Unlock()
		o.all <- struct{}{}
	})
	return d, o
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
	d, o := newDirectory(t, ledger, time.Minute)
	d.Scan(t.Context(), dir)
	if err := o.reports["good.tar"]; err != nil || len(o.ready) != 2 {
		t.Errorf("good archives: %v, %v", o.ready, err)
	}
	if err := o.reports["bad.tar"]; err == nil || !strings.Contains(err.Error(), "is it a complete") {
		t.Errorf("a bad archive: %v", err)
	}
	if len(o.reports) != 4 || o.reports["self.tar"] == nil { // and a link that leads nowhere, ever
		t.Errorf("told of %v", o.reports)
	}
	// What was imported is not imported again, in the next run either.
	d, o = newDirectory(t, ledger, time.Minute)
	d.Scan(t.Context(), dir)
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
			d, o := newDirectory(t, ledger, time.Minute)
			d.Scan(t.Context(), dir)
			if len(o.ready) != 1 || o.reports["good.tar"] != nil {
				t.Errorf("ready %v, told %v", o.ready, o.reports)
			}
			d, o = newDirectory(t, ledger, time.Minute)
			if d.Scan(t.Context(), dir); len(o.ready) != 0 {
				t.Error("it was not written anew")
			}
			if _, err := os.Lstat(ledger + ".damaged"); err != nil {
				t.Errorf("it is not set aside: %v", err)
			}
		})
	}
}

// A stream that brings nothing ends with an error that says so, and holds neither files nor, for ever, other streams up.
func TestStalledStream(t *testing.T) {
	i := NewImporter(images)
	i.quiet = 50 * time.Millisecond
	for range streamsAtOnce + 1 {
		r, w := io.Pipe()
		defer w.Close()
		if _, err := i.Stream(t.Context(), r); !errors.Is(err, ErrStalled) {
			t.Errorf("%v", err)
		}
	}
	i.quiet = time.Minute
	for range streamsAtOnce {
		r, w := io.Pipe()
		defer w.Close()
		go i.Stream(t.Context(), r) //nolint:errcheck // it hangs
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := i.Stream(ctx, strings.NewReader("one more")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one more stream: %v", err)
	}
	if list, _, err := i.importOne(t.Context(), strings.NewReader("file"), i.files); err != nil || len(list) != 1 {
		t.Errorf("a file: %v, %v", list, err)
	}
}

// New archives are imported as they come; a directory that comes later, or again, is watched too.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	d, o := newDirectory(t, filepath.Join(t.TempDir(), "archives.json"), time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	scanned, done := make(chan struct{}), make(chan struct{})
	go func() { d.Run(ctx, dir, Changes(ctx, dir), func() { close(scanned) }); close(done) }()
	<-scanned
	write(t, filepath.Join(dir, "new.tar"), "new")
	o.await(t, 1)
	cancel()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it does not end")
	}
}
