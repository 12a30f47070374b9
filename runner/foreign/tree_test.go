package foreign

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// deep makes directories within each other, so deep that no path leads to the last one.
func deep(t *testing.T, dir string, levels int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	for range levels {
		if err != nil {
			break
		}
		if err = unix.Mkdirat(fd, "directory", 0o755); err == nil {
			var next int
			next, err = unix.Openat(fd, "directory", unix.O_PATH|unix.O_CLOEXEC, 0)
			unix.Close(fd)
			fd = next
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

func mountTmpfs(t *testing.T, at string) {
	t.Helper()
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("cannot mount a tmpfs (these tests run as root): %v", err)
	}
	t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) }) //nolint:errcheck // some were unmounted
}

// A tree goes as a whole, however deep and wide it is; what its links lead to stays.
func TestRemoveAll(t *testing.T) {
	base := t.TempDir()
	kept := filepath.Join(base, "kept")
	tree := filepath.Join(base, "tree")
	for _, dir := range []string{kept, tree, filepath.Join(tree, "wide")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	create0(t, filepath.Join(kept, "file"))
	for n := range 3 * batch {
		create0(t, filepath.Join(tree, "wide", strings.Repeat("x", n%200+1)+string(rune('a'+n/200))))
	}
	deep(t, tree, 3000)
	if err := errors.Join(os.Symlink(kept, filepath.Join(tree, "link")), unix.Mkfifo(filepath.Join(tree, "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := RemoveAll(tree); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(tree); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := errors.Join(RemoveAll(tree), RemoveAll(filepath.Join(tree, "none", "none"))); err != nil {
		t.Errorf("what does not exist: %v", err)
	}
	link := filepath.Join(base, "link")
	if err := errors.Join(os.Symlink(kept, link), RemoveAll(link)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(kept, "file")); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
}

// What is mounted in a tree stays, and the rest goes: other file systems, and the same one.
func TestRemoveAllKeepsMounts(t *testing.T) {
	base := t.TempDir()
	precious := filepath.Join(base, "precious")
	tree := filepath.Join(base, "tree")
	for _, dir := range []string{precious, filepath.Join(tree, "a", "bound"), filepath.Join(tree, "b", "c")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	create0(t, filepath.Join(precious, "file"))
	create0(t, filepath.Join(tree, "a", "beside"))
	bound := filepath.Join(tree, "a", "bound")
	if err := unix.Mount(precious, bound, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(bound, unix.MNT_DETACH) }) //nolint:errcheck // it may be unmounted
	mountTmpfs(t, filepath.Join(tree, "tmpfs"))
	create0(t, filepath.Join(tree, "tmpfs", "file"))
	file := create0(t, filepath.Join(tree, "boundfile"))
	if err := unix.Mount(filepath.Join(precious, "file"), file, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(file, unix.MNT_DETACH) }) //nolint:errcheck // it may be unmounted
	if err := RemoveAll(tree); !errors.Is(err, ErrMounted) {
		t.Errorf("the error is %v", err)
	}
	if err := RemoveAll(bound); !errors.Is(err, ErrMounted) {
		t.Errorf("of the mount point itself: %v", err)
	}
	for path, want := range map[string]error{"precious/file": nil, "tree/tmpfs/file": nil, "tree/a/beside": fs.ErrNotExist, "tree/b": fs.ErrNotExist} {
		if _, err := os.Stat(filepath.Join(base, path)); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, at := range []string{bound, file, filepath.Join(tree, "tmpfs")} {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}
	if err := RemoveAll(tree); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(precious, "file")); err != nil {
		t.Error(err)
	}
}

// Kernels without openat2 tell mounts apart by their ids.
func TestSameMount(t *testing.T) {
	base := t.TempDir()
	bound := filepath.Join(base, "bound")
	if err := os.Mkdir(bound, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, want := range []error{nil, unix.EXDEV} {
		if want != nil {
			if err := unix.Mount(t.TempDir(), bound, "", unix.MS_BIND, ""); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(bound, unix.MNT_DETACH) //nolint:errcheck // it is mounted
		}
		parent, err := unix.Open(base, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Openat(parent, "bound", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if fd, err = sameMount(parent, fd); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if err == nil {
			unix.Close(fd)
		}
		unix.Close(parent)
	}
}

// A walk sees everything once, no link followed, with mounts or without.
func TestWalk(t *testing.T) {
	base := t.TempDir()
	mountTmpfs(t, filepath.Join(base, "d", "mount"))
	create0(t, filepath.Join(base, "d", "mount", "inside"))
	create0(t, filepath.Join(base, "file"))
	if err := errors.Join(os.Symlink("d", filepath.Join(base, "link")), unix.Mkfifo(filepath.Join(base, "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	dir, err := OpenDir(base, Beneath)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for oneMount, want := range map[bool]string{true: ". d fifo file link", false: ". d d/mount d/mount/inside fifo file link"} {
		var seen []string
		soon(t, "Walk", func() {
			err = dir.Walk(oneMount, func(name string, _ *os.File) error {
				seen = append(seen, name)
				return nil
			})
		})
		slices.Sort(seen)
		if got := strings.Join(seen, " "); err != nil || got != want {
			t.Errorf("one mount %v: %q, %v; want %q", oneMount, got, err, want)
		}
	}
	deep(t, base, 2*maxDepth)
	if err := dir.Walk(true, func(string, *os.File) error { return nil }); !errors.Is(err, ErrTooDeep) {
		t.Errorf("too deep: %v", err)
	}
	if err := RemoveAll(filepath.Join(base, "directory")); err != nil { // the test's own clean-up follows no such path
		t.Error(err)
	}
}

// What vanishes while a tree is walked is left out.
func TestWalkOfWhatVanishes(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := OpenDir(base, Beneath)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	seen := 0
	err = dir.Walk(false, func(name string, _ *os.File) error {
		seen++
		if name == "." {
			return nil
		}
		return os.Remove(filepath.Join(base, name)) // before it is listed
	})
	if err != nil || seen != 3 {
		t.Errorf("%d seen, %v", seen, err)
	}
}

// What is made in a directory stays beneath it.
func TestDir(t *testing.T) {
	base := t.TempDir()
	inside := filepath.Join(base, "inside")
	if err := errors.Join(os.Mkdir(inside, 0o755), os.Symlink("..", filepath.Join(inside, "up")), os.Symlink("real", filepath.Join(inside, "alias")),
		os.Mkdir(filepath.Join(inside, "real"), 0o755)); err != nil {
		t.Fatal(err)
	}
	dir, err := OpenDir(inside, Beneath)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, c := range []struct {
		what string
		do   func() error
		is   error
	}{
		{"mkdir", func() error { return dir.MkdirAll("a/b/c", 0o777|os.ModeSticky) }, nil},
		{"again", func() error { return dir.MkdirAll("a/b/c", 0o700) }, nil},
		{"through a link that stays", func() error { return dir.MkdirAll("alias/x", 0o700) }, nil},
		{"mkdir up", func() error { return dir.MkdirAll("up/x", 0o700) }, ErrLeadsOut},
		{"mkdir dots", func() error { return dir.MkdirAll("../x", 0o700) }, ErrLeadsOut},
		{"symlink", func() error { return dir.Symlink("anywhere", "a/link") }, nil},
		{"symlink up", func() error { return dir.Symlink("anywhere", "up/link") }, ErrLeadsOut},
		{"mkdir on a link", func() error { return dir.MkdirAll("a/link", 0o700) }, fs.ErrNotExist},
		{"rename", func() error { return dir.Rename("a/link", "a/b/link") }, nil},
		{"rename up", func() error { return dir.Rename("a/b/link", "up/link") }, ErrLeadsOut},
		{"remove up", func() error { return dir.Remove("up/inside") }, ErrLeadsOut},
		{"remove all up", func() error { return dir.RemoveAll("up/inside") }, ErrLeadsOut},
		{"remove itself", func() error { return dir.RemoveAll(".") }, unix.EINVAL},
		{"remove above", func() error { return dir.RemoveAll("a/..") }, unix.EINVAL},
		{"remove full", func() error { return dir.Remove("a") }, unix.ENOTEMPTY},
		{"remove", func() error { return errors.Join(dir.Remove("a/b/link"), dir.Remove("a/b/c")) }, nil},
		{"remove all", func() error { return dir.RemoveAll("a") }, nil},
	} {
		if err := c.do(); !errors.Is(err, c.is) || c.is == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.what, err, c.is)
		}
		if c.what == "again" {
			if info, err := os.Stat(filepath.Join(inside, "a/b/c")); err != nil || info.Mode() != fs.ModeDir|fs.ModeSticky|0o777 {
				t.Errorf("the directory is %v, %v", info, err)
			}
		}
		if c.what == "symlink" {
			if target, err := dir.Readlink("a/link"); err != nil || target != "anywhere" {
				t.Errorf("%q, %v", target, err)
			}
		}
	}
	if names, err := os.ReadDir(base); err != nil || len(names) != 1 {
		t.Errorf("outside are %v, %v", names, err)
	}
}
