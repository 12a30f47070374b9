package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/manifests/decode"
)

// errBeingWritten: some process has the file open for writing.
var errBeingWritten = errors.New("the file is being written")

// readComplete reads a regular file that nobody is writing. The kernel tells: a read lease is refused while the file
// is open for writing (fcntl(2), F_SETLEASE).
func readComplete(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("it is not a regular file"))
	}
	// Only EAGAIN means a writer; file systems without leases answer otherwise, and the settle time must do.
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); errors.Is(err, unix.EAGAIN) {
		return nil, errBeingWritten
	}
	return io.ReadAll(io.LimitReader(f, decode.MaxFileSize+1))
}

func versionOf(info os.FileInfo) fileVersion {
	v := fileVersion{size: info.Size(), modified: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		v.device, v.inode, v.changed = st.Dev, st.Ino, time.Unix(st.Ctim.Unix())
	}
	return v
}

// CheckPermissions refuses a directory that others than root, or than the user who runs Solopod, can write to: who can
// write a manifest is root on this machine.
func CheckPermissions(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return checkWritable(dir, info)
}

func checkWritable(path string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("cannot tell who owns %s", path)
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o002 != 0:
		return fmt.Errorf("%s can be written by everyone (mode %04o), who could so run anything as root: chmod o-w %s", path, mode, path)
	case mode&0o020 != 0 && st.Gid != 0:
		return fmt.Errorf("%s can be written by group %d (mode %04o), who could so run anything as root: chmod g-w %s", path, st.Gid, mode, path)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, who could so run anything as root: chown root %s", path, st.Uid, path)
	}
	return nil
}

// checkReadable refuses a file with Secrets that others than root, or than the user who runs Solopod, can read.
func checkReadable(path string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("cannot tell who owns %s", path)
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o004 != 0:
		return fmt.Errorf("%s holds a Secret and can be read by everyone (mode %04o): chmod 0600 %s", path, mode, path)
	case mode&0o040 != 0 && st.Gid != 0:
		return fmt.Errorf("%s holds a Secret and can be read by group %d (mode %04o): chmod 0600 %s", path, st.Gid, mode, path)
	}
	return nil
}
