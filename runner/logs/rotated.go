package logs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rotatedTime is the form of the times in the names of rotated files. Its order is that of the times.
const rotatedTime = "20060102-150405.000000000"

// maxNames bounds what is kept in memory of a directory that others can fill.
const maxNames = 4096

// rotatedNames lists the older files of the log called name, the oldest first.
func rotatedNames(dir *os.File, name string) ([]string, error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var out []string
	for len(out) < maxNames {
		names, err := dir.Readdirnames(256)
		for _, n := range names {
			if suffix, ok := strings.CutPrefix(n, name+"."); ok {
				if _, err := time.Parse(rotatedTime, suffix); err == nil {
					out = append(out, n)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return out, nil
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
	d, err := openDir(dir, false)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	defer d.Close() //nolint:errcheck // only referred to
	var errs []error
	for {
		names, err := d.Readdirnames(256)
		for _, name := range names {
			number, _, ok := strings.Cut(name, ".log")
			attempt, err := strconv.Atoi(number)
			if !ok || err != nil || attempt >= current-1 {
				continue
			}
			if err := unix.Unlinkat(int(d.Fd()), name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, &os.PathError{Op: "remove", Path: filepath.Join(dir, name), Err: err})
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}
	}
}
