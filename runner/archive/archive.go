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

	"github.com/solopod/solopod/runner/foreign"
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
	text, err := foreign.ReadKernel(fmt.Sprintf("/proc/%d/status", c.Pid))
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

// root is the container's root directory. The caller closes it.
func (c Container) root() (*foreign.Dir, error) {
	root, err := foreign.OpenDir(fmt.Sprintf("/proc/%d/root", c.Pid), foreign.InRoot)
	if err != nil {
		return nil, fmt.Errorf("the container has ended: %w", err)
	}
	return root.ShowAs("/"), nil
}

// Read writes a file or a directory of the container to w, as a tar stream. Names in it begin with the last part of name.
func (c Container) Read(name string, w io.Writer) error {
	return c.as(func() error {
		root, err := c.root()
		if err != nil {
			return err
		}
		defer root.Close() //nolint:errcheck // only looked at
		found, err := root.Find(name)
		if err != nil {
			return err
		}
		return pack(w, found, path.Base(path.Clean("/"+name)))
	})
}

// add adds what was found in a tree. Sockets, devices and FIFOs are no files to take along.
func add(out *tar.Writer, name string, found *os.File) error {
	info, err := found.Stat()
	if err != nil {
		return err
	}
	target := ""
	switch {
	case info.IsDir():
		name += "/"
	case info.Mode()&fs.ModeSymlink != 0:
		if target, err = foreign.Readlink(found); err != nil {
			return err
		}
	case info.Mode().IsRegular():
		return addFile(out, name, found)
	default:
		return nil
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = name
	return out.WriteHeader(header)
}

func addFile(out *tar.Writer, name string, found *os.File) error {
	f, err := foreign.Reopen(found, foreign.Regular, os.O_RDONLY)
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
		dir, rename, err := c.target(name)
		if err != nil {
			return err
		}
		defer dir.Close() //nolint:errcheck // the files were closed
		return Extract(dir, r, rename)
	})
}

// target finds the directory to write to, and the name that what is written gets there; empty means its own.
func (c Container) target(name string) (dir *foreign.Dir, rename string, err error) {
	root, err := c.root()
	if err != nil {
		return nil, "", err
	}
	defer root.Close() //nolint:errcheck // only looked at
	found, err := root.Find(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !isDirectory(found) {
		parent, base := path.Split(path.Clean("/" + name))
		rename = base
		found, err = root.Find(parent)
	}
	if err != nil {
		return nil, "", err
	}
	dir, err = foreign.In(found, foreign.Beneath)
	return dir, rename, err
}

// isDirectory closes what was found if it is none.
func isDirectory(found *os.File) bool {
	kind, err := foreign.KindOf(found)
	if err == nil && kind == foreign.Directory {
		return true
	}
	found.Close() //nolint:errcheck // only looked at
	return false
}

// Extract makes the files of a tar stream below dir; no name or link leads out of it. The first part of each name becomes rename,
// unless that is empty.
func Extract(dir *foreign.Dir, r io.Reader, rename string) error {
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the archive is damaged: %w", err)
		}
		if IsSparse(h) { // a few bytes would become exabytes, for which nobody could end the copy
			return fmt.Errorf("%q of the archive is a sparse file; make the archive without them (tar without --sparse)", h.Name)
		}
		name := filepath.Clean(h.Name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the archive has a name that leads elsewhere: %q", h.Name)
		}
		if first, rest, _ := strings.Cut(name, "/"); rename != "" && first != "." {
			name = filepath.Join(rename, rest)
		}
		if err := extractOne(dir, name, h, in); err != nil {
			return err
		}
	}
}

// IsSparse says whether an entry stands for more than it holds, in one of the forms of GNU tar.
func IsSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for record := range h.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func extractOne(dir *foreign.Dir, name string, h *tar.Header, content io.Reader) error {
	mode := fs.FileMode(h.Mode).Perm()
	if above := filepath.Dir(name); above != "." {
		if err := dir.MkdirAll(above, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return dir.MkdirAll(name, mode|0o700)
	case tar.TypeSymlink:
		if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return dir.Symlink(h.Linkname, name)
	case tar.TypeReg:
	default:
		return nil
	}
	f, err := dir.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Chmod(mode), f.Close())
}

// Pack writes a file or a directory of this machine to w, as a tar stream in which it is called name. A link at source is followed.
func Pack(w io.Writer, source, name string) error {
	found, err := foreign.FindFollowing(source)
	if err != nil {
		return err
	}
	return pack(w, found, name)
}

// pack writes what was found, and closes it.
func pack(w io.Writer, found *os.File, name string) error {
	out := tar.NewWriter(w)
	kind, err := foreign.KindOf(found)
	if err == nil && kind == foreign.Directory {
		err = addTree(out, found, name)
	} else {
		if err == nil {
			err = addFile(out, name, found)
		}
		err = errors.Join(err, found.Close())
	}
	if err != nil {
		return err
	}
	return out.Close()
}

// addTree adds a directory, with what is mounted in it, and closes it.
func addTree(out *tar.Writer, found *os.File, name string) error {
	dir, err := foreign.In(found, foreign.NoLinks)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	return dir.Walk(false, func(inside string, found *os.File) error { return add(out, path.Join(name, inside), found) })
}
