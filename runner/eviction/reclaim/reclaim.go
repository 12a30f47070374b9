// Package reclaim gives back what pods have of memory and disks and nobody will miss: before pods are evicted.
package reclaim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/logs/logfile"
)

const (
	// cacheLimit is how long the kernel may look for cached files; it is left behind then.
	cacheLimit = 5 * time.Second
	// mostCache is what is to be had at once.
	mostCache = 1 << 30
	// leastCache is what counts as something; less may have been anything.
	leastCache = 1 << 20
	// logsLimit is how long the removal of logs may take.
	logsLimit = 10 * time.Second
)

// Reclaimer reclaims. It is safe for concurrent use.
type Reclaimer struct {
	// Cgroup is the directory of the cgroup of all pods, with cgroup v2; empty with v1, which has nothing like it.
	Cgroup string
	// Disk is a directory of the disk that is short.
	Disk string
	// LogDirs lists the directories of containers' logs.
	LogDirs func() []string

	ask    func(path, text string) error // foreign.WriteKernel where it is nil
	places aside.Places
}

// Cache has the kernel give up cached files of pods (Documentation/admin-guide/cgroup-v2.rst, memory.reclaim; Linux 5.19). What programs
// have written into their memory is not swapped out for it where the kernel can be told so (6.9). It begins with files that were not used
// lately, which count as available already: they come on top of what is missing, and only what others went down by was had.
func (r *Reclaimer) Cache(ctx context.Context, missing uint64) (string, error) {
	if r.Cgroup == "" || missing == 0 {
		return "", nil
	}
	had, err := aside.Do(ctx, &r.places, "memory.reclaim", cacheLimit, func() (uint64, error) { return r.cache(min(missing, mostCache)) })
	switch {
	case errors.Is(err, fs.ErrNotExist): // there are no pods, or the kernel has none of it
		return "", nil
	case err != nil || had < leastCache:
		return "", err
	}
	return fmt.Sprintf("%d MiB of cached files of pods", had>>20), nil
}

func (r *Reclaimer) cache(missing uint64) (had uint64, err error) {
	before, err := r.files()
	if err != nil {
		return 0, err
	}
	file, amount := filepath.Join(r.Cgroup, "memory.reclaim"), strconv.FormatUint(missing+before.inactive, 10)
	ask := r.ask
	if ask == nil {
		ask = foreign.WriteKernel
	}
	err = ask(file, amount+" swappiness=0")
	if errors.Is(err, unix.EINVAL) {
		err = ask(file, amount)
	}
	if err != nil && !errors.Is(err, unix.EAGAIN) { // which says that it was less
		return 0, err
	}
	after, err := r.files()
	return before.active - min(before.active, after.active), err
}

// files are cached files: those that were used lately, and others.
type files struct{ active, inactive uint64 }

func (r *Reclaimer) files() (f files, err error) {
	text, err := foreign.ReadKernel(filepath.Join(r.Cgroup, "memory.stat"))
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, wrong := strconv.ParseUint(value, 10, 64)
		switch {
		case wrong != nil:
		case name == "active_file":
			f.active = n
		case name == "inactive_file":
			f.inactive = n
		}
	}
	return f, err
}

// Logs removes older, rotated files of containers' logs on the disk, the oldest first, until what is missing was had: bytes.
func (r *Reclaimer) Logs(ctx context.Context, missing uint64) (string, error) {
	return r.logs(ctx, missing, func(o logfile.Old) uint64 { return o.Bytes })
}

// LogFiles does the same where files are missing.
func (r *Reclaimer) LogFiles(ctx context.Context, missing uint64) (string, error) {
	return r.logs(ctx, missing, func(logfile.Old) uint64 { return 1 })
}

func (r *Reclaimer) logs(ctx context.Context, missing uint64, worth func(logfile.Old) uint64) (string, error) {
	dirs, disk := r.LogDirs(), r.Disk
	limited, cancel := context.WithTimeout(ctx, logsLimit)
	defer cancel()
	removed, err := aside.Do(ctx, &r.places, "the logs", logsLimit, func() (n int, err error) {
		old, err := rotated(dirs, disk)
		var errs []error
		for _, o := range old {
			if missing == 0 || limited.Err() != nil {
				break
			}
			if err := o.Remove(); err != nil {
				errs = append(errs, err)
				continue
			}
			n++
			missing -= min(missing, worth(o))
		}
		return n, errors.Join(append(errs, err)...)
	})
	if removed == 0 {
		return "", err
	}
	return fmt.Sprintf("%d rotated logs", removed), err
}

// rotated are the files that could go, the oldest first.
func rotated(dirs []string, disk string) (all []logfile.Old, err error) {
	var st unix.Stat_t
	if err := unix.Stat(disk, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", disk, err)
	}
	var errs []error
	for _, dir := range dirs {
		old, err := logfile.AllRotated(dir, st.Dev)
		all, errs = append(all, old...), append(errs, err)
	}
	slices.SortFunc(all, func(a, b logfile.Old) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Dir, b.Dir), cmp.Compare(a.Name, b.Name))
	})
	return all, errors.Join(errs...)
}
