// Package trusted reads files that say who may do what: the configuration, tokens, keys, authorities. Only root may have made them, and
// nobody else may change them, nor a directory or link on the way to them, as sshd's StrictModes has it.
package trusted

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// Kind says what a file holds, and so what others may do with it.
type Kind struct {
	what      string
	forbidden uint32 // bits of its mode
	advice    string
}

var (
	// Public may be read by everybody: a certificate, the configuration.
	Public = Kind{"file", 0o022, "chmod go-w it"}
	// Key may be read by a group: many systems have one for keys of certificates.
	Key = Kind{"private key", 0o027, "chmod 640 it"}
	// Secret is for root alone: tokens.
	Secret = Kind{"tokens", 0o077, "chmod 600 it"}
)

// Stamp tells whether a file has changed, its owner and mode too.
type Stamp string

// Read reads a file of at most limit bytes.
func Read(path string, kind Kind, limit int64) ([]byte, error) {
	f, err := open(path, kind)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return foreign.ReadAll(f, limit)
}

// Look is what a file is now, without what it holds. Its errors are those of Read.
func Look(path string, kind Kind) (Stamp, error) {
	path, err := checkWay(path)
	if err != nil {
		return "", err
	}
	f, err := foreign.FindFollowing(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only looked at
	st, err := check(f, path, kind)
	if err != nil {
		return "", err
	}
	return Stamp(fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim)), nil
}

func open(path string, kind Kind) (*os.File, error) {
	path, err := checkWay(path)
	if err != nil {
		return nil, err
	}
	f, err := foreign.OpenFollowing(path)
	if err != nil {
		return nil, err
	}
	if _, err := check(f, path, kind); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// check looks at the file itself, by its descriptor.
func check(f *os.File, path string, kind Kind) (st unix.Stat_t, err error) {
	if st, err = foreign.Stat(f); err != nil {
		return st, err
	}
	if !ours(st.Uid) {
		return st, fmt.Errorf("%s belongs to uid %d, who could change it: chown root it", path, st.Uid)
	}
	if bits := st.Mode & kind.forbidden; bits != 0 {
		can := "read"
		if bits&0o022 != 0 {
			can = "change"
		}
		return st, fmt.Errorf("others can %s the %s in %s: %s", can, kind.what, path, kind.advice)
	}
	return st, nil
}

// ours: root, and who runs this, as a test does.
func ours(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// mostLinks on a way, as the kernel has it (path_resolution(7)).
const mostLinks = 40

// checkWay looks at each directory and link on the way to a file, and returns the path by which that way leads: without "..", which behind a
// link would lead elsewhere.
func checkWay(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return path, checkSteps(path)
}

func checkSteps(path string) error {
	if err := checkDirectory("/", path); err != nil {
		return err
	}
	at, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..": // of a link: what is above was looked at on the way down
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		var st unix.Stat_t
		if err := unix.Lstat(next, &st); err != nil {
			return &os.PathError{Op: "stat", Path: next, Err: err}
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			if links++; links > mostLinks {
				return &os.PathError{Op: "open", Path: path, Err: unix.ELOOP}
			}
			if !ours(st.Uid) {
				return fmt.Errorf("the link %s belongs to uid %d, who could let it lead elsewhere: make it as root", next, st.Uid)
			}
			target, err := os.Readlink(next)
			if err != nil {
				return err
			}
			if filepath.IsAbs(target) {
				at = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
		case unix.S_IFDIR:
			if err := checkDirectory(next, path); err != nil {
				return err
			}
			at = next
		default: // the file itself
			at = next
		}
	}
	return nil
}

// checkDirectory: who can write to it could replace what is in it, but for what others own below a sticky one, such as /tmp.
func checkDirectory(dir, path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if !ours(st.Uid) {
		return fmt.Errorf("the directory %s belongs to uid %d, who could replace %s: chown root it, or choose another place", dir, st.Uid, path)
	}
	if st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("others can write to the directory %s, and so replace %s: chmod go-w it, or choose another place", dir, path)
	}
	return nil
}
