package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// usage is what is counted of a directory.
func usage(t *testing.T, dir string) (n int64) {
	t.Helper()
	d, err := OpenDir(dir, NoLinks)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	soon(t, "Usage", func() {
		if n, err = d.Usage(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// du is what du(1) counts.
func du(t *testing.T, dir string) (n int64) {
	t.Helper()
	out, err := exec.Command("du", "-sx", "--block-size=1", dir).Output()
	if err == nil {
		_, err = fmt.Sscan(string(out), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// inodes is what du(1) counts of files.
func inodes(t *testing.T, dir string) (n int64) {
	t.Helper()
	out, err := exec.Command("du", "-sx", "--inodes", dir).Output()
	if err == nil {
		_, err = fmt.Sscan(string(out), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What a tree takes up is what du says, whatever is in it: no FIFO holds it up, and what is sparse or lies elsewhere is not counted.
func TestUsage(t *testing.T) {
	outside := t.TempDir()
	large := filepath.Join(outside, "large")
	base := zoo(t) // with a FIFO, devices, and a sparse file of 1 TiB
	at := func(name string) string { return filepath.Join(base, name) }
	if err := errors.Join(os.WriteFile(large, make([]byte, 4<<20), 0o600), os.Symlink(large, at("leads out")), os.Symlink(outside, at("leads there")),
		os.WriteFile(at("file"), make([]byte, 1<<20), 0o600), os.Link(at("file"), at("directory/again"))); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, at("mount"))
	if err := os.WriteFile(at("mount/file"), make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("wide"), 0o755); err != nil {
		t.Fatal(err)
	}
	for n := range 3 * batch {
		create0(t, filepath.Join(at("wide"), strings.Repeat("x", n%200+1)+fmt.Sprint(n)))
	}
	got, want := usage(t, base), du(t, base)
	mountPoint := int64(4096) // du counts it
	if got > want || got < want-mountPoint || got < 1<<20 || got > 2<<20 {
		t.Errorf("%d bytes, du says %d", got, want)
	}
	d, err := OpenDir(base, NoLinks)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	space, err := d.Space(t.Context())
	if want := inodes(t, base); err != nil || space != (Space{got, want}) {
		t.Errorf("it is %+v (%v), not %d bytes in %d inodes", space, err, got, want)
	}
	link := filepath.Join(outside, "link")
	if err := os.Symlink(base, link); err != nil {
		t.Fatal(err)
	}
	if through := usage(t, link); through != got {
		t.Errorf("through a link of the caller's: %d bytes, not %d", through, got)
	}
}

// nest makes directories within each other, each with files beside the next one.
func nest(t *testing.T, dir string, levels int) {
	t.Helper()
	d, err := OpenDir(dir, NoLinks)
	for n := 0; n < levels && err == nil; n++ {
		for i := range 3 {
			var f *os.File
			if f, err = d.OpenFile(fmt.Sprint("file", i), os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = f.Write(make([]byte, 5000))
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		name := fmt.Sprint("d", n) // so that it stands before the files here, and behind them there
		var next *Dir
		if err = d.Mkdir(name, 0o755); err == nil {
			next, err = d.Sub(name)
			d.Close()
			d = next
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// Nothing is hidden by being nested deep, nor beside what is.
func TestUsageDeep(t *testing.T) {
	const levels = 3*maxDepth + 7
	base := t.TempDir()
	nest(t, base, levels)
	t.Cleanup(func() {
		if err := RemoveAll(base); err != nil { // the test's own clean-up follows no such path
			t.Error(err)
		}
	})
	got, want := usage(t, base), du(t, base)
	if got != want || got < levels*3*4096 {
		t.Errorf("%d bytes, du says %d", got, want)
	}
}

// counting is a counter in a directory.
func counting(t *testing.T, dir string) *counter {
	t.Helper()
	d, err := OpenDir(dir, NoLinks)
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{name: dir, levels: maxLevels, linked: maxLinked, seen: map[inode]struct{}{}}
	t.Cleanup(func() {
		c.back(0)
		d.Close()
	})
	if err := control(d.file, c.enter); err != nil {
		t.Fatal(err)
	}
	return c
}

// A directory that is moved while what is in it is counted leads nowhere else.
func TestUsageMoved(t *testing.T) {
	base := t.TempDir()
	nest(t, base, 2*maxDepth)
	c := counting(t, base)
	for len(c.way) < maxDepth+20 {
		if err := c.step(); err != nil {
			t.Fatal(err)
		}
	}
	open := 0
	for _, l := range c.way {
		if l.fd >= 0 {
			open++
		}
	}
	if open > maxDepth+2 {
		t.Errorf("%d directories are open", open)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(filepath.Join(base, "d0", "d1"), moved); err != nil {
		t.Fatal(err)
	}
	for last := len(c.way); len(c.way) > 0; last = len(c.way) {
		if err := c.step(); err != nil {
			t.Fatal(err)
		}
		if last == 3 && len(c.way) == 2 {
			t.Error("it came back to a directory from one that has left it")
		}
	}
	if least := int64(2 * (maxDepth - 1) * 3 * 4096); c.bytes < least {
		t.Errorf("%d bytes, not %d", c.bytes, least)
	}
}

// What is remembered is bounded.
func TestUsageBounds(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(base, name), make([]byte, 60<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			if err := os.Link(filepath.Join(base, name), filepath.Join(base, fmt.Sprint(name, n))); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := usage(t, base)
	c := counting(t, base)
	c.linked = 1
	for len(c.way) > 0 {
		if err := c.step(); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.seen) != 1 || c.bytes != want {
		t.Errorf("with %d files remembered %d bytes, not %d", len(c.seen), c.bytes, want)
	}
	if err := os.MkdirAll(filepath.Join(base, "d", "d", "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	c = counting(t, base)
	c.levels = 3
	var err error
	for err == nil && len(c.way) > 0 {
		err = c.step()
	}
	if !errors.Is(err, ErrTooDeep) {
		t.Errorf("too deep: %v", err)
	}
}

// What vanishes, or becomes something else, while it is counted is no error; an end that is asked for is.
func TestUsageOfWhatChanges(t *testing.T) {
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		for ctx.Err() == nil {
			err := errors.Join(os.Mkdir(at("x"), 0o755), os.WriteFile(at("x/file"), nil, 0o600), os.Remove(at("x/file")), os.Remove(at("x")),
				unix.Mkfifo(at("x"), 0o600), os.Remove(at("x")), os.Symlink("/", at("x")), os.Remove(at("x")))
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 2000 {
		if n := usage(t, base); n > 1<<20 {
			t.Errorf("%d bytes", n)
		}
	}
	cancel()
	<-changed
	d, err := OpenDir(base, NoLinks)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Usage(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("when it is cancelled: %v", err)
	}
	if _, err := OpenDir(at("none"), NoLinks); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what does not exist: %v", err)
	}
}
