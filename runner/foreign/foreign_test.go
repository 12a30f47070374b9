package foreign

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// zoo is a directory with one file of each kind, named after it.
func zoo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for name, err := range map[string]error{
		"regular":   os.WriteFile(at("regular"), []byte("content"), 0o600),
		"large":     os.Truncate(create0(t, at("large")), 1<<40),
		"directory": os.Mkdir(at("directory"), 0o755),
		"fifo":      unix.Mkfifo(at("fifo"), 0o600),
		"char":      unix.Mknod(at("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))),
		"block":     unix.Mknod(at("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 200))),
		"link":      os.Symlink("regular", at("link")),
		"fifo link": os.Symlink("fifo", at("fifo link")),
		"loop":      os.Symlink("loop", at("loop")),
		"dangling":  os.Symlink("nowhere", at("dangling")),
	} {
		if err != nil {
			t.Fatalf("%s (these tests run as root): %v", name, err)
		}
	}
	return dir
}

func create0(t *testing.T, path string) string {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// soon fails the test when f does not return: an open that waits.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s waits", what)
	}
}

// Every way to read, against every kind of file: what it reads, or the error and its words.
func TestKinds(t *testing.T) {
	dir := zoo(t)
	ways := map[string]func(name string) ([]byte, error){
		"ReadFile":      func(name string) ([]byte, error) { return ReadFile(filepath.Join(dir, name), 1<<20) },
		"ReadFollowing": func(name string) ([]byte, error) { return ReadFollowing(filepath.Join(dir, name), 1<<20) },
		"ReadIn":        func(name string) ([]byte, error) { return ReadIn(dir, name, 1<<20) },
		"ReadBeneath":   func(name string) ([]byte, error) { return ReadBeneath(dir, name, 1<<20) },
		"NoLinks": func(name string) ([]byte, error) {
			return readDir(dir, name, NoLinks, 1<<20)
		},
	}
	follows := map[string]bool{"ReadFollowing": true, "ReadIn": true, "ReadBeneath": true}
	for _, c := range []struct {
		name            string
		is, isFollowing error
		words           string
	}{
		{"regular", nil, nil, ""},
		{"large", ErrTooLarge, ErrTooLarge, "has 1099511627776 bytes"},
		{"directory", ErrNotRegular, ErrNotRegular, "is a directory, not a regular file"},
		{"fifo", ErrNotRegular, ErrNotRegular, "is a FIFO, not a regular file"},
		{"socket", ErrNotRegular, ErrNotRegular, "is a socket, not a regular file"},
		{"char", ErrNotRegular, ErrNotRegular, "is a character device, not a regular file"},
		{"block", ErrNotRegular, ErrNotRegular, "is a block device, not a regular file"},
		{"fifo link", ErrNotRegular, ErrNotRegular, "not a regular file"},
		{"link", ErrNotRegular, nil, ""},
		{"loop", ErrNotRegular, ErrLink, ""},
		{"dangling", ErrNotRegular, fs.ErrNotExist, ""},
		{"none", fs.ErrNotExist, fs.ErrNotExist, ""},
		{"regular/none", unix.ENOTDIR, unix.ENOTDIR, ""},
	} {
		for way, read := range ways {
			want := c.is
			if follows[way] {
				want = c.isFollowing
			}
			soon(t, way+" of "+c.name, func() {
				got, err := read(c.name)
				switch {
				case !errors.Is(err, want) || want == nil && err != nil:
					t.Errorf("%s of %s: %v, want %v", way, c.name, err, want)
				case want == nil && string(got) != "content":
					t.Errorf("%s of %s: %q", way, c.name, got)
				case want != nil && !strings.Contains(err.Error(), c.words):
					t.Errorf("%s of %s: %v; want the words %q", way, c.name, err, c.words)
				}
			})
		}
	}
}

// What reads, or is asked for another kind, and the bound itself.
func TestReadAll(t *testing.T) {
	dir := zoo(t)
	path := filepath.Join(dir, "regular")
	if got, err := ReadFile(path, int64(len("content"))); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := ReadFile(path, int64(len("content"))-1); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if _, err := ReadFile("/proc/self/maps", 10); !errors.Is(err, ErrTooLarge) { // its size is 0
		t.Error(err)
	}
	if got, err := ReadKernel("/proc/self/maps"); err != nil || len(got) == 0 {
		t.Error(err)
	}
	soon(t, "OpenKernel of a FIFO", func() {
		if f, err := OpenKernel(filepath.Join(dir, "fifo"), os.O_RDONLY); err == nil {
			f.Close()
		}
	})
	if _, err := OpenDirectoryFollowing(path); !errors.Is(err, ErrNotDirectory) {
		t.Error(err)
	}
	if _, err := OpenDir(path, Beneath); !errors.Is(err, ErrNotDirectory) || !strings.Contains(err.Error(), "is a regular file, not a directory") {
		t.Error(err)
	}
}

// What a file of the kernel answers is told at once, also where it means that it could be tried again later: a pipe that is full stands in
// for memory.reclaim.
func TestWriteKernel(t *testing.T) {
	dir := zoo(t)
	path := filepath.Join(dir, "regular")
	if err := WriteKernel(path, "CONTENT"); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "CONTENT" {
		t.Errorf("%q, %v", got, err)
	}
	if err := WriteKernel(filepath.Join(dir, "absent"), "1"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	pipe := filepath.Join(dir, "fifo")
	fd, err := unix.Open(pipe, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for err == nil {
		_, err = unix.Write(fd, make([]byte, 4096))
	}
	soon(t, "WriteKernel to a full pipe", func() {
		if err := WriteKernel(pipe, "1"); !errors.Is(err, unix.EAGAIN) || !strings.Contains(err.Error(), pipe) {
			t.Error(err)
		}
	})
}

// A directory that was moved is found by the link that was left.
func TestOpenDirectoryFollowing(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Symlink(dir, link), os.Mkdir(filepath.Join(dir, "sub"), 0o700)); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDirectoryFollowing(link)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if names, err := d.Readdirnames(-1); err != nil || len(names) != 1 || names[0] != "sub" || d.Name() != link {
		t.Errorf("%v of %s, %v", names, d.Name(), err)
	}
}

// A FIFO is opened without waiting for the other side.
func TestOpenFIFO(t *testing.T) {
	dir := zoo(t)
	fifo := filepath.Join(dir, "fifo")
	soon(t, "OpenFIFO", func() {
		if _, err := OpenFIFO(fifo, os.O_WRONLY); !errors.Is(err, unix.ENXIO) {
			t.Errorf("nobody reads: %v", err)
		}
		read, err := OpenFIFO(fifo, os.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		write, err := OpenFIFO(fifo, os.O_WRONLY)
		if err != nil {
			t.Fatal(err)
		}
		defer write.Close()
		if _, err := write.WriteString("x"); err != nil {
			t.Error(err)
		}
		b := make([]byte, 2)
		if n, err := read.Read(b); err != nil || string(b[:n]) != "x" {
			t.Errorf("%q, %v", b[:n], err)
		}
		for _, other := range []string{"regular", "fifo link", "char"} {
			if _, err := OpenFIFO(filepath.Join(dir, other), os.O_RDONLY); err == nil || !strings.Contains(err.Error(), "not a FIFO") {
				t.Errorf("%s: %v", other, err)
			}
		}
	})
}

// A file is made, or opened when it is a regular one; nothing else is touched.
func TestOpenFile(t *testing.T) {
	dir := zoo(t)
	beneath, err := OpenDir(dir, Beneath)
	if err != nil {
		t.Fatal(err)
	}
	defer beneath.Close()
	ways := map[string]func(string, int) (*os.File, error){
		"OpenFile": func(name string, flags int) (*os.File, error) {
			return OpenFile(filepath.Join(dir, name), flags, 0o640)
		},
		"Dir": func(name string, flags int) (*os.File, error) { return beneath.OpenFile(name, flags, 0o640) },
	}
	for way, open := range ways {
		made := "made by " + way
		for _, c := range []struct {
			name  string
			flags int
			is    error
		}{
			{made, os.O_CREATE | os.O_WRONLY | os.O_EXCL, nil},
			{made, os.O_CREATE | os.O_WRONLY | os.O_EXCL, fs.ErrExist},
			{made, os.O_CREATE | os.O_WRONLY | os.O_TRUNC, nil},
			{made, os.O_CREATE | os.O_WRONLY | os.O_APPEND, nil},
			{"directory", os.O_CREATE | os.O_WRONLY, ErrNotRegular},
			{"fifo", os.O_CREATE | os.O_WRONLY, ErrNotRegular},
			{"fifo", os.O_CREATE | os.O_RDWR | os.O_TRUNC, ErrNotRegular},
			{"block", os.O_CREATE | os.O_WRONLY | os.O_TRUNC, ErrNotRegular},
			{"char", os.O_WRONLY, ErrNotRegular},
			{"none", os.O_WRONLY, fs.ErrNotExist},
			{"none/none", os.O_CREATE | os.O_WRONLY, fs.ErrNotExist},
		} {
			soon(t, way+" of "+c.name, func() {
				f, err := open(c.name, c.flags)
				if !errors.Is(err, c.is) || c.is == nil && err != nil {
					t.Errorf("%s of %s: %v, want %v", way, c.name, err, c.is)
				}
				if err != nil {
					return
				}
				defer f.Close()
				if _, err := f.WriteString("x"); err != nil {
					t.Error(err)
				}
			})
		}
		if got, err := os.ReadFile(filepath.Join(dir, made)); err != nil || string(got) != "xx" {
			t.Errorf("it holds %q, %v", got, err)
		}
		if _, err := open("dangling", os.O_CREATE|os.O_WRONLY); err == nil {
			t.Errorf("%s: a link that leads nowhere was followed", way)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was made where a link leads: %v", err)
	}
}

// While a regular file and a FIFO swap places, each open gets the file or an error, and none waits.
func TestSwap(t *testing.T) {
	dir := zoo(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, "regular"), unix.AT_FDCWD, filepath.Join(dir, "fifo"), unix.RENAME_EXCHANGE) //nolint:errcheck // the two are there
			}
		}
	}()
	var good, bad int
	soon(t, "an open", func() {
		for range 3000 {
			f, err := OpenFile(filepath.Join(dir, "regular"), os.O_CREATE|os.O_RDWR, 0o600)
			switch {
			case err == nil:
				good++
				if kind, err := KindOf(f); err != nil || kind != Regular {
					t.Errorf("a %v, %v", kind, err)
				}
				f.Close()
			case errors.Is(err, ErrNotRegular):
				bad++
			default:
				t.Error(err)
			}
		}
	})
	close(stop)
	<-stopped
	t.Logf("%d opens got the file, %d were told of the FIFO", good, bad)
}

// The kernel's look-up and the one for kernels without it, in the same cases.
func TestLookUp(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "root")
	for _, d := range []string{"etc", "usr/etc", "a/b"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{"secret": "out", "root/usr/etc/passwd": "in", "root/file": "in", "root/secret": "in"} {
		if err := os.WriteFile(filepath.Join(outside, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"etc/passwd": "/usr/etc/passwd", "a/up": "../file", "out": "../secret", "absolute": outside + "/secret", "a/b/far": "../../../../../secret",
		"dir": "a", "loop": "loop2", "loop2": "loop", "magic": "/proc/self/root/" + outside + "/secret", "self": ".", "abs": "/file",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	const in = "in"
	for _, c := range []struct {
		name                     string
		noLinks, beneath, inRoot any // the content, or the error
	}{
		{"file", in, in, in},
		{"/file", unix.EXDEV, unix.EXDEV, in},
		{"a/../file", in, in, in},
		{"./a/./b/../../file", in, in, in},
		{"../secret", unix.EXDEV, unix.EXDEV, in},
		{"a/../../secret", unix.EXDEV, unix.EXDEV, in},
		{"etc/passwd", Link, unix.EXDEV, in},
		{"a/up", Link, in, in},
		{"dir/up", unix.ELOOP, in, in},
		{"out", Link, unix.EXDEV, in},
		{"a/b/far", Link, unix.EXDEV, in},
		{"absolute", Link, unix.EXDEV, unix.ENOENT},
		{"abs", Link, unix.EXDEV, in},
		{"loop", Link, unix.ELOOP, unix.ELOOP},
		{"magic", Link, unix.EXDEV, unix.ENOENT},
		{strings.Repeat("self/", 30) + "file", unix.ELOOP, in, in},
		{strings.Repeat("self/", 50) + "file", unix.ELOOP, unix.ELOOP, unix.ELOOP},
		{"none", unix.ENOENT, unix.ENOENT, unix.ENOENT},
		{"file/none", unix.ENOTDIR, unix.ENOTDIR, unix.ENOTDIR},
		{"", unix.ENOENT, unix.ENOENT, unix.ENOENT},
		{"nul\x00", unix.EINVAL, unix.EINVAL, unix.EINVAL},
	} {
		for links, want := range map[Links]any{NoLinks: c.noLinks, Beneath: c.beneath, InRoot: c.inRoot} {
			flags := 0
			if links == NoLinks {
				flags = unix.O_NOFOLLOW
			}
			for how, look := range map[string]func(int, string, Links, int) (int, error){"openat2": lookUp, "without openat2": walkTo} {
				root, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				if got := outcome(look(root, c.name, links, flags)); got != want {
					t.Errorf("%s, links %d, %q: %v, want %v", how, links, c.name, got, want)
				}
				unix.Close(root)
			}
		}
	}
	// Magic links of the kernel.
	proc, err := unix.Open("/proc", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(proc)
	for how, look := range map[string]func(int, string, Links, int) (int, error){"openat2": lookUp, "without openat2": walkTo} {
		for _, name := range []string{fmt.Sprintf("%d/root/etc/passwd", os.Getpid()), fmt.Sprintf("%d/fd/0", os.Getpid()), fmt.Sprintf("%d/cwd", os.Getpid())} {
			if got := outcome(look(proc, name, InRoot, 0)); got != unix.ELOOP {
				t.Errorf("%s, %s: %v", how, name, got)
			}
		}
	}
}

// outcome is the content of what was found, its kind if it is no regular file, or the error.
func outcome(fd int, err error) any {
	if err != nil {
		var number unix.Errno
		errors.As(err, &number)
		return number
	}
	f := os.NewFile(uintptr(fd), "found")
	defer f.Close()
	if kind, err := KindOf(f); err != nil || kind != Regular {
		return kind
	}
	text, err := readClose(100)(Reopen(f, Regular, os.O_RDONLY))
	if err != nil {
		return err
	}
	return string(text)
}

// No descriptor is left open, whatever a look-up comes to.
func TestNoLeak(t *testing.T) {
	dir := zoo(t)
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	before := count()
	for range 20 {
		for _, name := range []string{"regular", "fifo", "loop", "link", "directory", "none", "../..", "large"} {
			for links := range resolve {
				readDir(dir, name, links, 10) //nolint:errcheck // most fail
				root, err := OpenDir(dir, links)
				if err != nil {
					t.Fatal(err)
				}
				if sub, err := root.Sub(name); err == nil {
					sub.Close()
				}
				root.MkdirAll(name+"/x", 0o700)         //nolint:errcheck // most fail
				control(root.file, func(fd int) error { //nolint:errcheck // see above
					if found, err := walkTo(fd, name, links, 0); err == nil {
						unix.Close(found)
					}
					return nil
				})
				root.Close()
			}
			if f, err := Open(filepath.Join(dir, name)); err == nil {
				f.Close()
			}
		}
	}
	if after := count(); after != before {
		t.Errorf("%d files are open, and were %d", after, before)
	}
}
