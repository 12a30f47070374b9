package foreign

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

var resolve = map[Links]uint64{
	NoLinks: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	Beneath: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	InRoot:  unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
}

// lookUp finds name beneath dir (openat2(2), Linux 5.6). flags: O_NOFOLLOW finds a link itself.
func lookUp(dir int, name string, links Links, flags int) (int, error) {
	how := unix.OpenHow{Flags: uint64(unix.O_PATH | unix.O_CLOEXEC | flags), Resolve: resolve[links]}
	for range tries {
		fd, err := unix.Openat2(dir, name, &how)
		switch {
		case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM): // an old kernel; a seccomp filter that does not know it
			return walkTo(dir, name, links, flags)
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR): // something was renamed on the way
			continue
		}
		return fd, err
	}
	return walkTo(dir, name, links, flags)
}

// maxFollowed is how many links are followed for one name, as by the kernel (path_resolution(7)).
const maxFollowed = 40

// walkTo is lookUp without openat2(2). It goes from directory to directory and remembers the way, so that ".." leads back on it, and
// never where a directory was moved to meanwhile.
func walkTo(dir int, name string, links Links, flags int) (int, error) {
	w := walker{links: links, root: dir}
	defer w.back(0)
	todo, err := w.parts(name)
	if name == "" {
		return -1, unix.ENOENT
	}
	for followed := 0; err == nil && len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		var target string
		target, err = w.step(part, flags&unix.O_NOFOLLOW != 0 && len(todo) == 0)
		if err != nil || target == "" {
			continue
		}
		if followed++; followed > maxFollowed {
			return -1, unix.ELOOP
		}
		var more []string
		more, err = w.parts(target)
		todo = append(more, todo...)
	}
	if err != nil {
		return -1, err
	}
	return unix.FcntlInt(uintptr(w.here()), unix.F_DUPFD_CLOEXEC, 0)
}

// walker is on its way to a name.
type walker struct {
	links Links
	root  int
	way   []int // the directories below root that it came through; the last may be any file
}

func (w *walker) here() int {
	if len(w.way) == 0 {
		return w.root
	}
	return w.way[len(w.way)-1]
}

// back returns to an earlier place of the way.
func (w *walker) back(to int) {
	for _, fd := range w.way[to:] {
		unix.Close(fd) //nolint:errcheck // only looked at
	}
	w.way = w.way[:to]
}

// parts are the steps to a name or a link's target; an absolute one begins at the root.
func (w *walker) parts(name string) ([]string, error) {
	if path.IsAbs(name) {
		if w.links != InRoot {
			return nil, unix.EXDEV
		}
		w.back(0)
	}
	return strings.FieldsFunc(name, func(r rune) bool { return r == '/' }), nil
}

// step goes to the next part. Where that is a link to follow, it returns where the link leads, and stays.
func (w *walker) step(part string, noFollow bool) (target string, err error) {
	switch part {
	case ".":
		return "", nil
	case "..":
		if len(w.way) > 0 {
			w.back(len(w.way) - 1)
		} else if w.links != InRoot {
			return "", unix.EXDEV
		}
		return "", nil
	}
	if len(w.way) == maxDepth {
		return "", unix.ENAMETOOLONG
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(w.here(), part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (Kind(st.Mode&unix.S_IFMT) != Link || noFollow) {
		w.way = append(w.way, fd)
		return "", nil
	}
	defer unix.Close(fd) //nolint:errcheck // only looked at
	if err != nil {
		return "", err
	}
	if w.links == NoLinks || ofProc(fd) {
		return "", unix.ELOOP
	}
	return readlink(fd)
}

// ofProc: is it in /proc? Links there may lead anywhere, whatever they read as.
func ofProc(fd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) != nil || st.Type == unix.PROC_SUPER_MAGIC
}
