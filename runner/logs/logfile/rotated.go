package logfile

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// rotatedTime is the form of the times in the names of rotated files. Its order is that of the times.
const rotatedTime = "20060102-150405.000000000"

// maxNames bounds what is kept in memory of a directory that others can fill.
const maxNames = 4096

// Rotated lists the older files of the log called name, the oldest first.
func (d Dir) Rotated(name string) ([]string, error) {
	var out []string
	err := d.entries(func(names []string) bool {
		for _, n := range names {
			if suffix, ok := strings.CutPrefix(n, name+"."); ok {
				if _, err := time.Parse(rotatedTime, suffix); err == nil {
					out = append(out, n)
				}
			}
		}
		return len(out) >= maxNames
	})
	slices.Sort(out)
	return out, err
}

// nextRotated names the file that is rotated now: the time, but behind all older ones even when the clock has gone back.
func nextRotated(name string, old []string) string {
	at := time.Now().UTC()
	if len(old) > 0 {
		if last, err := time.Parse(rotatedTime, strings.TrimPrefix(old[len(old)-1], name+".")); err == nil && !at.After(last) {
			at = last.Add(1)
		}
	}
	return name + "." + at.Format(rotatedTime)
}

// PruneAttempts removes the logs of old attempts of a container: the newest and the one before it are kept, as the
// kubelet keeps one dead container. dir holds <attempt>.log files.
func PruneAttempts(dir string, current int) error {
	d, err := OpenDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	defer d.Close() //nolint:errcheck // only looked at
	var errs []error
	err = d.entries(func(names []string) bool {
		for _, name := range names {
			number, _, ok := strings.Cut(name, ".log")
			attempt, err := strconv.Atoi(number)
			if !ok || err != nil || attempt >= current-1 {
				continue
			}
			if kind, err := kindOf(d.Dir, name); err == nil && kind == foreign.Directory {
				continue // no log
			}
			if err := d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return false
	})
	return errors.Join(append(errs, err)...)
}

// Old is an older, rotated file of a container's log.
type Old struct {
	Dir, Name string
	At        time.Time
	// Bytes are those that it takes up on its disk.
	Bytes uint64
}

// Remove removes the file; who was faster is no error.
func (o Old) Remove() error {
	d, err := OpenDir(o.Dir)
	if err == nil {
		err = errors.Join(d.Remove(o.Name), d.Close())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// AllRotated lists the older files of all logs of a container that lie on a device. dir holds <attempt>.log files; what is being written is
// none of them.
func AllRotated(dir string, device uint64) (out []Old, err error) {
	d, err := OpenDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	defer d.Close() //nolint:errcheck // only looked at
	err = d.entries(func(names []string) bool {
		for _, name := range names {
			number, suffix, ok := strings.Cut(name, ".log.")
			if _, err := strconv.Atoi(number); !ok || err != nil {
				continue
			}
			at, err := time.Parse(rotatedTime, suffix)
			if err != nil {
				continue
			}
			if st, err := statLink(d.Dir, name); err == nil && st.Dev == device && foreign.Kind(st.Mode&unix.S_IFMT) != foreign.Directory {
				out = append(out, Old{dir, name, at, uint64(max(st.Blocks, 0)) * blockSize})
			}
		}
		return len(out) >= maxNames
	})
	return out, err
}

// blockSize is the unit of st_blocks (inode(7)).
const blockSize = 512

func statLink(dir *foreign.Dir, name string) (st unix.Stat_t, err error) {
	found, err := dir.FindLink(name)
	if err != nil {
		return st, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	return foreign.Stat(found)
}
