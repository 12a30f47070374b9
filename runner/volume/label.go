package volume

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// labelAttribute holds a file's label of SELinux (xattr(7)).
const labelAttribute = "security.selinux"

// Label gives a volume, and all that is in it, a label of SELinux, by descriptors: what containers swap for a link meanwhile leads nowhere,
// and what is mounted there is left alone. The volume itself gets it last, so that its label tells whether everything has it.
func Label(path, label string) error {
	dir, err := foreign.OpenDir(path, foreign.NoLinks)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	err = dir.Walk(true, func(name string, found *os.File) error {
		if name == "." {
			return nil
		}
		return labelOne(found, label)
	})
	if err != nil {
		return err
	}
	top, err := dir.Find(".")
	if err != nil {
		return err
	}
	defer top.Close() //nolint:errcheck // only looked at
	return labelOne(top, label)
}

// labelOne labels what was found. Where that is refused, and not needed, all is well: a file system may have one label for all.
func labelOne(found *os.File, label string) error {
	path := foreign.ByDescriptor(int(found.Fd()))
	err := unix.Setxattr(path, labelAttribute, []byte(label), 0)
	if err == nil {
		return nil
	}
	now := make([]byte, len(label)+1) // with a zero at its end, of the kernel
	n, readErr := unix.Getxattr(path, labelAttribute, now)
	if readErr == nil && n >= len(label) && string(now[:len(label)]) == label {
		return nil
	}
	return &os.PathError{Op: "label", Path: found.Name(), Err: err}
}
