package source

import (
	"fmt"
	"os"
	"syscall"
)

// checkWritable refuses what others than root, or than the user who runs Solopod, can write to: who can write a manifest is root on
// this machine.
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
