// Package closed keeps the machine's other users out of Solopod's directories.
//
// A volume is open to any user, as containers run as many; a set-uid program that a container leaves there is one on the host as well. So
// the directories above volumes let nobody in but root.
package closed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// Mode is that of directories which root alone may enter.
const Mode = 0o700

// Dir is a directory of Solopod's own.
type Dir struct {
	Path string
	// Levels is how many levels of directories in it are Solopod's own as well. What lies deeper is pods', with modes of their own.
	Levels int
	// Passed: others may pass through it, and list it, but change nothing in it.
	Passed bool
}

// Report is what Repair has found.
type Report struct {
	// Repaired are the directories that others could enter, or change, and that are closed now: those that were named before those in them.
	Repaired []string
	// Failed tells those that are open still, and why.
	Failed []error
}

// Repair closes directories that are open to others, or belong to them. What does not exist is left out, no link is followed, and what is
// mounted in a directory is left alone. It ends with ctx.
func Repair(ctx context.Context, dirs ...Dir) Report {
	r := repair{ctx: ctx}
	for _, d := range dirs {
		r.top(d)
	}
	r.Repaired = append(r.Repaired, r.inside...)
	if ctx.Err() != nil {
		r.Failed = append(r.Failed, errors.New("not all directories were looked at in time"))
	}
	return r.Report
}

type repair struct {
	Report
	ctx context.Context
	// inside are the Repaired that were not named.
	inside []string
}

// top repairs a directory, and what is in it.
func (r *repair) top(d Dir) {
	find := foreign.Find
	if d.Passed { // its name is the operator's
		find = foreign.FindFollowing
	}
	found, err := find(d.Path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		r.Failed = append(r.Failed, err)
		return
	}
	defer found.Close() //nolint:errcheck // only looked at
	kind, err := foreign.KindOf(found)
	switch {
	case err != nil:
		r.Failed = append(r.Failed, err)
	case kind == foreign.Link:
		r.link(d.Path)
	case kind == foreign.Directory:
		r.one(found, d.Passed, &r.Repaired)
		r.below(found, d.Levels)
	}
}

// link looks at where a link leads. The operator may have moved the directory to another disk; somebody may have led it to /etc.
func (r *repair) link(path string) {
	found, err := foreign.FindFollowing(path)
	if err != nil {
		return // who uses it tells
	}
	defer found.Close() //nolint:errcheck // only looked at
	if st, err := foreign.Stat(found); err == nil && open(&st, false) {
		r.Failed = append(r.Failed, fmt.Errorf("%s is a link, and where it leads is open to others (%s); if that is Solopod's, run chmod 700 on it", path, is(&st)))
	}
}

// below repairs directories in one, down to a level.
func (r *repair) below(found *os.File, levels int) {
	if levels == 0 {
		return
	}
	dir, err := foreign.Reopen(found, foreign.Directory, os.O_RDONLY)
	if err != nil {
		r.Failed = append(r.Failed, err)
		return
	}
	defer dir.Close() //nolint:errcheck // only read from
	const batch = 512
	for r.ctx.Err() == nil {
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			if r.ctx.Err() == nil {
				r.child(dir, name, levels-1)
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.Failed = append(r.Failed, err)
			return
		}
	}
}

func (r *repair) child(dir *os.File, name string, levels int) {
	found, err := foreign.FindChild(dir, name)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, foreign.ErrLeadsOut) { // gone, or another file system
		return
	}
	if err != nil {
		r.Failed = append(r.Failed, err)
		return
	}
	defer found.Close() //nolint:errcheck // only looked at
	switch kind, err := foreign.KindOf(found); {
	case err != nil:
		r.Failed = append(r.Failed, err)
	case kind == foreign.Directory:
		r.one(found, false, &r.inside)
		r.below(found, levels)
	}
}

// one repairs one directory, by its descriptor, and adds it to a list.
func (r *repair) one(found *os.File, passed bool, list *[]string) {
	st, err := foreign.Stat(found)
	if err != nil {
		r.Failed = append(r.Failed, err)
		return
	}
	if !open(&st, passed) {
		return
	}
	fd, mode := int(found.Fd()), uint32(Mode)
	if passed {
		mode = st.Mode & 0o711 // as it is made
	}
	if st.Uid != 0 || st.Gid != 0 {
		err = unix.Fchownat(fd, "", 0, 0, unix.AT_EMPTY_PATH)
	}
	if err == nil {
		err = unix.Chmod(foreign.ByDescriptor(fd), mode)
	}
	if err != nil {
		r.Failed = append(r.Failed, fmt.Errorf("cannot close %s, which is open to others (%s): %w", found.Name(), is(&st), err))
		return
	}
	*list = append(*list, fmt.Sprintf("%s (%s)", found.Name(), is(&st)))
}

// open says whether others than root may do with a directory what they shall not.
func open(st *unix.Stat_t, passed bool) bool {
	if passed {
		return st.Mode&0o022 != 0 || st.Uid != 0
	}
	return st.Mode&0o7777 != Mode || st.Uid != 0
}

// is tells a directory's mode, and its owner where that is not root.
func is(st *unix.Stat_t) string {
	if st.Uid == 0 {
		return fmt.Sprintf("mode %04o", st.Mode&0o7777)
	}
	return fmt.Sprintf("mode %04o, of user %d", st.Mode&0o7777, st.Uid)
}
