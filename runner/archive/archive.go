// Package archive carries files into and out of a running container, as tar streams: the container needs no tar, and no shell.
//
// What the container's processes could not read or write is not: everything is done with the ids of its main process, on paths
// that are resolved as in the container, where no link leads out (openat2(2), RESOLVE_IN_ROOT).
package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/thread"
)

// Container is where files are.
type Container struct {
	// Pid is the main process.
	Pid uint32
}

// as runs f with the ids of the container's main process as those that files are used with.
func (c Container) as(f func() error) error {
	who, err := c.identity()
	if err != nil {
		return err
	}
	return thread.Own(func() error {
		if err := who.assume(); err != nil {
			return err
		}
		return f()
	})
}

// identity is what a process uses files with.
type identity struct {
	uid, gid int
	groups   []uint32
}

// identity reads the process's (proc_pid_status(5)).
func (c Container) identity() (who identity, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Pid))
	if err != nil {
		return who, fmt.Errorf("the container has ended: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		switch {
		case name == "Uid" && len(fields) == 4:
			who.uid, err = strconv.Atoi(fields[3])
		case name == "Gid" && len(fields) == 4:
			who.gid, err = strconv.Atoi(fields[3])
		case name == "Groups":
			for _, field := range fields {
				var group uint64
				group, err = strconv.ParseUint(field, 10, 32)
				who.groups = append(who.groups, uint32(group))
			}
		}
		if err != nil {
			return who, err
		}
	}
	return who, nil
}

// assume gives the identity to this thread. The library's setgroups is for all threads.
func (who identity) assume() error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(who.groups)), uintptr(unsafe.Pointer(unsafe.SliceData(who.groups))), 0); errno != 0 {
		return fmt.Errorf("cannot take the groups of the container's user: %w", errno)
	}
	if _, err := unix.SetfsgidRetGid(who.gid); err != nil {
		return err
	}
	_, err := unix.SetfsuidRetUid(who.uid)
	return err
}

// open finds a path of the container. The caller must close the descriptor, which is good for looking only.
func (c Container) open(name string) (*os.File, error) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", c.Pid), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the container has ended: %w", err)
	}
	defer unix.Close(root) //nolint:errcheck // only looked at
	fd, err := unix.Openat2(root, name, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// again opens what an O_PATH descriptor found.
func again(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// Read writes a file or a directory of the container to w, as a tar stream. Names in it begin with the last part of name.
func (c Container) Read(name string, w io.Writer) error {
	return c.as(func() error {
		found, err := c.open(name)
		if err != nil {
			return err
		}
		defer found.Close() //nolint:errcheck // only looked at
		info, err := found.Stat()
		if err != nil {
			return err
		}
		return Pack(w, again(found), path.Base(path.Clean("/"+name)), info)
	})
}

func addTree(out *tar.Writer, root *os.Root, base string) error {
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		inside := strings.TrimSuffix(path.Join(base, name), "/.")
		switch {
		case info.IsDir():
			header, err := tar.FileInfoHeader(info, "")
			if err != nil {
				return err
			}
			header.Name = inside + "/"
			return out.WriteHeader(header)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := root.Readlink(name)
			if err != nil {
				return err
			}
			header, err := tar.FileInfoHeader(info, target)
			if err != nil {
				return err
			}
			header.Name = inside
			return out.WriteHeader(header)
		case !info.Mode().IsRegular():
			return nil // sockets, devices and pipes are no files to take along
		}
		f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // only read from
		return addOpen(out, inside, f)
	})
}

func addFile(out *tar.Writer, name, source string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is neither a file nor a directory", name)
	}
	f, err := os.OpenFile(source, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	return addOpen(out, name, f)
}

// addOpen adds a regular file. One that grows meanwhile is cut, one that shrinks is filled up: the header has its size.
func addOpen(out *tar.Writer, name string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	header, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	header.Name = name
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(f, header.Size))
	for zeros := make([]byte, 4096); err == nil && n < header.Size; {
		var m int
		m, err = out.Write(zeros[:min(int64(len(zeros)), header.Size-n)])
		n += int64(m)
	}
	return err
}

// Write makes the file or directory of a tar stream in the container: in the directory name, or where that does not exist, under
// this name in its parent.
func (c Container) Write(name string, r io.Reader) error {
	return c.as(func() error {
		found, rename, err := c.openTarget(name)
		if err != nil {
			return err
		}
		defer found.Close() //nolint:errcheck // only looked at
		root, err := os.OpenRoot(again(found))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer root.Close() //nolint:errcheck // the files were closed
		return Extract(root, r, rename)
	})
}

// openTarget finds the directory to write to, and the name that what is written gets there; empty means its own.
func (c Container) openTarget(name string) (dir *os.File, rename string, err error) {
	dir, err = c.open(name)
	if err == nil {
		if info, err := dir.Stat(); err != nil || info.IsDir() {
			return dir, "", err
		}
		dir.Close() //nolint:errcheck // only looked at
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	parent, base := path.Split(path.Clean("/" + name))
	dir, err = c.open(parent)
	return dir, base, err
}

// Extract makes the files of a tar stream below root; no name or link leads out of it. The first part of each name becomes rename,
// unless that is empty.
func Extract(root *os.Root, r io.Reader, rename string) error {
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the archive is damaged: %w", err)
		}
		name := filepath.Clean(h.Name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the archive has a name that leads elsewhere: %q", h.Name)
		}
		if first, rest, _ := strings.Cut(name, "/"); rename != "" && first != "." {
			name = filepath.Join(rename, rest)
		}
		if err := extractOne(root, name, h, in); err != nil {
			return err
		}
	}
}

func extractOne(root *os.Root, name string, h *tar.Header, content io.Reader) error {
	mode := fs.FileMode(h.Mode).Perm()
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, mode|0o700)
	case tar.TypeSymlink:
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
	default:
		return nil
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Chmod(mode), f.Close())
}

// Pack writes a file or a directory of this machine to w, as a tar stream in which it is called name.
func Pack(w io.Writer, source, name string, info fs.FileInfo) error {
	out := tar.NewWriter(w)
	if !info.IsDir() {
		if err := addFile(out, name, source, info); err != nil {
			return err
		}
		return out.Close()
	}
	root, err := os.OpenRoot(source)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only read from
	if err := addTree(out, root, name); err != nil {
		return err
	}
	return out.Close()
}
