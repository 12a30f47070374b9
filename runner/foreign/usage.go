package foreign

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// blockSize is the unit of st_blocks in bytes, whatever the file system's own is (inode(7)).
	blockSize = 512
	// maxLevels bounds how deep directories may be nested that are counted, and with it the memory that this takes: some 10 MB.
	maxLevels = 1 << 17
	// maxLinked bounds how many files with several names are remembered while a tree is counted: some MB.
	maxLinked = 1 << 16
)

// Space is what something takes up on a disk: bytes, and inodes, which are files of all kinds.
type Space struct{ Bytes, Inodes int64 }

// Usage is the number of bytes of Space.
func (d *Dir) Usage(ctx context.Context) (int64, error) {
	s, err := d.Space(ctx)
	return s.Bytes, err
}

// Space is what the directory and what is in it take up on the disk, as du(1) counts: blocks, those of directories
// too, and a file with several names once. No link is followed, and nothing but directories is opened. What is mounted below is left
// out, and what vanishes or is moved away meanwhile may be. Who nests directories deeper than Walk goes does not hide what is in them;
// ErrTooDeep, beyond maxLevels, comes with what was counted until then.
func (d *Dir) Space(ctx context.Context) (Space, error) {
	c := counter{name: d.name, levels: maxLevels, linked: maxLinked, seen: map[inode]struct{}{}}
	defer c.back(0)
	err := control(d.file, c.enter)
	for err == nil && len(c.way) > 0 {
		if err = ctx.Err(); err == nil {
			err = c.step()
		}
	}
	return Space{c.bytes, c.inodes}, err
}

// inode is a file, whatever its names are.
type inode struct{ dev, ino uint64 }

// counter counts what a tree takes up. It goes from directory to directory, the last maxDepth of which are open: those above are found
// again by "..".
type counter struct {
	name           string
	levels, linked int // at most
	way            []level
	bytes, inodes  int64
	// seen are the files with several names that were counted. Once it is full, each of the names of another one counts for its share.
	seen map[inode]struct{}
}

// level is a directory that the counter is in.
type level struct {
	fd     int // negative: closed for now
	is     inode
	unread []byte // entries that were read and not looked at yet
	next   int64  // the place in the directory behind the last entry that was looked at
}

// step looks at the next entry of the last directory, or leaves it.
func (c *counter) step() error {
	here := &c.way[len(c.way)-1]
	name, err := here.entry()
	if err != nil {
		return wrap("readdirent", c.name, err)
	}
	if name == "" {
		c.leave()
		return nil
	}
	fd, err := openChild(here.fd, name, unix.O_PATH, true)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EXDEV) {
		return nil
	}
	if err != nil {
		return wrap("open", filepath.Join(c.name, "...", name), err)
	}
	defer unix.Close(fd) //nolint:errcheck // only looked at
	return c.enter(fd)
}

// enter counts what was found, and goes into it if it is a directory.
func (c *counter) enter(found int) error {
	var st unix.Stat_t
	if err := unix.Fstat(found, &st); err != nil {
		return wrap("stat", c.name, err)
	}
	c.add(&st)
	if Kind(st.Mode&unix.S_IFMT) != Directory {
		return nil
	}
	if len(c.way) == c.levels {
		return wrap("measure", c.name, ErrTooDeep)
	}
	fd, err := openDirectory(found, ".")
	if err != nil {
		if errors.Is(err, unix.ENOENT) && len(c.way) > 0 {
			return nil
		}
		return wrap("open", c.name, err)
	}
	c.way = append(c.way, level{fd: fd, is: inode{st.Dev, st.Ino}})
	if above := len(c.way) - 1 - maxDepth; above > 0 {
		c.way[above].close()
	}
	return nil
}

func openDirectory(parent int, name string) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|harmless, 0)
	})
}

// add counts a file.
func (c *counter) add(st *unix.Stat_t) {
	size := st.Blocks * blockSize
	if st.Nlink > 1 && Kind(st.Mode&unix.S_IFMT) != Directory {
		is := inode{st.Dev, st.Ino}
		if _, ok := c.seen[is]; ok {
			return
		}
		if len(c.seen) < c.linked {
			c.seen[is] = struct{}{}
		} else {
			size /= int64(st.Nlink)
		}
	}
	c.bytes += size
	c.inodes++
}

// leave goes back to the directory above. If that was closed and this one was moved out of it meanwhile, to the next that is open.
func (c *counter) leave() {
	last := len(c.way) - 1
	to := last
	if to > 0 && !c.way[to-1].reopen(c.way[last].fd) {
		for to > 0 && c.way[to-1].fd < 0 {
			to--
		}
	}
	c.back(to)
}

// back lets go of the directories from there on.
func (c *counter) back(to int) {
	for i := range c.way[to:] {
		c.way[to+i].close()
	}
	c.way = c.way[:to]
}

func (l *level) close() {
	if l.fd >= 0 {
		unix.Close(l.fd) //nolint:errcheck // only read from
	}
	l.fd, l.unread = -1, nil
}

// reopen opens the directory again, if it is still that above child, where it was left.
func (l *level) reopen(child int) bool {
	if l.fd >= 0 {
		return true
	}
	fd, err := openDirectory(child, "..")
	if err != nil {
		return false
	}
	l.fd = fd
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && l.is == (inode{st.Dev, st.Ino}) {
		_, err = unix.Seek(fd, l.next, unix.SEEK_SET)
	} else if err == nil {
		err = unix.ENOENT
	}
	if err != nil {
		l.close()
	}
	return err == nil
}

// entry is the next name in the directory; empty at its end. Records are as in getdents64(2): the inode, the place behind it, the record's
// length, a type, and the name.
func (l *level) entry() (string, error) {
	for {
		if len(l.unread) == 0 {
			buf := make([]byte, 8<<10)
			n, err := retry(func() (int, error) { return unix.Getdents(l.fd, buf) })
			if errors.Is(err, unix.ENOENT) { // it was removed
				return "", nil
			}
			if err != nil || n == 0 {
				return "", err
			}
			l.unread = buf[:n]
		}
		record := l.unread[:binary.NativeEndian.Uint16(l.unread[16:])]
		l.unread = l.unread[len(record):]
		l.next = int64(binary.NativeEndian.Uint64(record[8:]))
		name, _, _ := bytes.Cut(record[19:], []byte{0})
		if s := string(name); s != "." && s != ".." {
			return s, nil
		}
	}
}
