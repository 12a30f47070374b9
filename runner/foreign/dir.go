package foreign

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Links says what is done about links that are met beneath a directory.
type Links int

const (
	// NoLinks follows none: to meet one is an error.
	NoLinks Links = iota
	// Beneath follows those that stay beneath the directory; absolute ones, and others that lead out of it, are errors. Right for volumes.
	Beneath
	// InRoot follows all of them as seen from inside the directory, as chroot(2). Right for root file systems of images and containers.
	InRoot
)

// Dir is a directory beneath which names are looked up. Whatever is changed in it meanwhile, no name leads out of it. Its methods may be
// called concurrently.
type Dir struct {
	file  *os.File // O_PATH
	links Links
	name  string
}

// OpenDir opens a directory. path itself is the caller's: links in it are followed. The caller closes it.
func OpenDir(path string, links Links) (*Dir, error) {
	f, err := find(path, unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOTDIR) {
		if found, err := FindFollowing(path); err == nil {
			defer found.Close() //nolint:errcheck // only looked at
			if kind, err := KindOf(found); err == nil && kind != Directory {
				return nil, &KindError{Path: path, Got: kind, Want: Directory}
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return &Dir{f, links, path}, nil
}

// In makes a Dir of a directory that was found. It is the owner of found from now on, also when it fails.
func In(found *os.File, links Links) (*Dir, error) {
	kind, err := KindOf(found)
	if err == nil && kind != Directory {
		err = &KindError{Path: found.Name(), Got: kind, Want: Directory}
	}
	if err != nil {
		return nil, errors.Join(err, found.Close())
	}
	return &Dir{found, links, found.Name()}, nil
}

// Name is the path that the directory was opened with, or what it is shown as.
func (d *Dir) Name() string { return d.name }

// ShowAs gives the directory another name in errors and in the names of its files: of a container's root that is "/".
func (d *Dir) ShowAs(name string) *Dir {
	d.name = name
	return d
}

// Close lets go of the directory.
func (d *Dir) Close() error { return d.file.Close() }

// Find finds what name leads to without opening it, as the function Find. With NoLinks it may find a link.
func (d *Dir) Find(name string) (*os.File, error) {
	if d.links == NoLinks {
		return d.find(name, unix.O_NOFOLLOW)
	}
	return d.find(name, 0)
}

// FindLink is Find which does not follow name itself.
func (d *Dir) FindLink(name string) (*os.File, error) { return d.find(name, unix.O_NOFOLLOW) }

func (d *Dir) find(name string, flags int) (*os.File, error) {
	where := filepath.Join(d.Name(), name)
	var fd int
	err := control(d.file, func(dir int) (err error) {
		fd, err = lookUp(dir, name, d.links, flags)
		return err
	})
	if err != nil {
		return nil, wrap("open", where, err)
	}
	return os.NewFile(uintptr(fd), where), nil
}

// Sub is the directory at name, with the same rule for links. The caller closes it.
func (d *Dir) Sub(name string) (*Dir, error) {
	found, err := d.Find(name)
	if err != nil {
		return nil, err
	}
	return In(found, d.links)
}

// Open opens the regular file at name for reading. The caller closes it.
func (d *Dir) Open(name string) (*os.File, error) { return d.OpenFile(name, os.O_RDONLY, 0) }

// ReadFile reads the regular file at name, of at most limit bytes.
func (d *Dir) ReadFile(name string, limit int64) ([]byte, error) {
	return readClose(limit)(d.Open(name))
}

// OpenFile opens the regular file at name with flags, as os.OpenFile. With os.O_CREATE a file that does not exist is made, with mode; a
// link that leads nowhere is an error. The caller closes it.
func (d *Dir) OpenFile(name string, flags int, mode os.FileMode) (*os.File, error) {
	return openOrCreate(flags, func() (*os.File, error) { return d.Find(name) }, func(flags int) (f *os.File, err error) {
		err = d.at(name, func(parent int, base, where string) error {
			f, err = create(parent, base, where, flags, mode)
			return err
		})
		return f, err
	})
}

// at calls use with the directory that holds, or would hold, name, and the last part of name.
func (d *Dir) at(name string, use func(parent int, base, where string) error) error {
	name = strings.TrimRight(name, "/")
	base := path.Base(name)
	if base == "." || base == ".." || base == "/" {
		return wrap("open", filepath.Join(d.Name(), name), unix.EINVAL)
	}
	dir := name[:len(name)-len(base)]
	if dir == "" {
		dir = "."
	}
	parent, err := d.Find(dir)
	if err != nil {
		return err
	}
	defer parent.Close() //nolint:errcheck // only looked at
	return control(parent, func(fd int) error { return use(fd, base, filepath.Join(parent.Name(), base)) })
}

// Mkdir makes a directory of exactly this mode, whatever the umask.
func (d *Dir) Mkdir(name string, mode os.FileMode) error {
	return d.at(name, func(parent int, base, where string) error {
		if err := unix.Mkdirat(parent, base, bits(mode)); err != nil {
			return wrap("mkdir", where, err)
		}
		fd, err := unix.Openat(parent, base, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return wrap("open", where, err)
		}
		defer unix.Close(fd) //nolint:errcheck // only changed
		return wrap("chmod", where, unix.Chmod(ByDescriptor(fd), bits(mode)))
	})
}

// MkdirAll makes a directory, and those on the way that are missing, of exactly this mode. A directory that exists stays as it is.
func (d *Dir) MkdirAll(name string, mode os.FileMode) error {
	parts := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
	for n := range parts {
		prefix := path.Join(parts[:n+1]...)
		err := d.isDirectory(prefix)
		if errors.Is(err, os.ErrNotExist) {
			if err = d.Mkdir(prefix, mode); errors.Is(err, os.ErrExist) { // someone else was faster, or a link that leads nowhere
				err = d.isDirectory(prefix)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Dir) isDirectory(name string) error {
	sub, err := d.Sub(name)
	if err != nil {
		return err
	}
	return sub.Close()
}

// Symlink makes a link at name, which must not exist. Where it leads is not looked at.
func (d *Dir) Symlink(target, name string) error {
	return d.at(name, func(parent int, base, where string) error {
		return wrap("symlink", where, unix.Symlinkat(target, parent, base))
	})
}

// Readlink is where the link at name leads.
func (d *Dir) Readlink(name string) (string, error) {
	found, err := d.FindLink(name)
	if err != nil {
		return "", err
	}
	defer found.Close() //nolint:errcheck // only looked at
	return Readlink(found)
}

// Readlink is where a link that was found leads.
func Readlink(found *os.File) (target string, err error) {
	err = control(found, func(fd int) (err error) {
		target, err = readlink(fd)
		return err
	})
	return target, wrap("readlink", found.Name(), err)
}

// readlink reads a link that was opened with O_PATH.
func readlink(fd int) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return "", err
	}
	if n == len(b) {
		return "", unix.ENAMETOOLONG
	}
	return string(b[:n]), nil
}

// Remove removes a file, a link itself, or an empty directory.
func (d *Dir) Remove(name string) error {
	return d.at(name, func(parent int, base, where string) error {
		err := unix.Unlinkat(parent, base, 0)
		if errors.Is(err, unix.EISDIR) {
			err = unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
		}
		return wrap("remove", where, err)
	})
}

// Unmount detaches what is mounted at a name, with all that is mounted in it, and asks nothing of it. Nothing is mounted there: unix.EINVAL.
func (d *Dir) Unmount(name string) error {
	return d.at(name, func(parent int, base, where string) error {
		return wrap("unmount", where, unix.Unmount(ByDescriptor(parent)+"/"+base, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
	})
}

// Rename gives what is at from the name to, in one step; what was there before is replaced.
func (d *Dir) Rename(from, to string) error {
	return d.at(from, func(parent int, base, where string) error {
		return d.at(to, func(toParent int, toBase, _ string) error {
			err := unix.Renameat(parent, base, toParent, toBase)
			if err != nil {
				return &os.PathError{Op: "rename", Path: where, Err: err} // EXDEV has its own meaning here
			}
			return nil
		})
	})
}
