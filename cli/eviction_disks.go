package cli

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/eviction"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/storage"
)

// Limits of a look at what pods take up on disks: of one place, and of all; and how many places are looked at together.
const (
	placeLimit    = 4 * time.Second
	placesLimit   = 8 * time.Second
	placesAtATime = 4
)

// disks are the runner's.
type disks interface {
	Places() []storage.Place
	Measure(ctx context.Context, p storage.Place, limit time.Duration) (storage.Measured, error)
}

// onDisks measures what goes with pods at an eviction from the disk of root, now: what the metrics know may be a minute old, in which a disk
// is filled. Logs stay, and claims.
func onDisks(ctx context.Context, d disks, layers func() func(id string) bool, files bool) map[string]eviction.Used {
	ctx, cancel := context.WithTimeout(ctx, placesLimit)
	defer cancel()
	out := map[string]eviction.Used{}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(placesAtATime)
	counts := layers()
	for _, place := range d.Places() {
		if !place.Ephemeral() || place.Kind == storage.Logs || place.Kind == storage.Layer && !counts(place.ID) {
			continue
		}
		group.Go(func() error {
			begun := ctx.Err() == nil
			m, err := d.Measure(ctx, place, placeLimit)
			mu.Lock()
			defer mu.Unlock()
			out[place.UID] = withPlace(out[place.UID], place, m, err, begun, files)
			return nil
		})
	}
	group.Wait() //nolint:errcheck // each place has its own, and the others do without
	return out
}

// withPlace adds what a place takes up. What could not be counted in time is more than what was counted; begun: there was time for it.
func withPlace(used eviction.Used, place storage.Place, m storage.Measured, err error, begun, files bool) eviction.Used {
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist): // it goes already
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, aside.ErrHangs) && begun:
		used.More = true
	default:
		slog.Debug("cannot measure what a pod takes up on a disk", "pod", place.Namespace+"/"+place.Pod, string(place.Kind), place.Name, "err", err)
		used.Unknown = true
	}
	n := m.Bytes
	if files {
		n = m.Space.Inodes
	}
	if n <= 0 {
		return used
	}
	used.Amount += uint64(n)
	if place.ID != "" {
		if used.Containers == nil {
			used.Containers = map[string]uint64{}
		}
		used.Containers[place.Name] += uint64(n)
	}
	return used
}

// layersOn says, of the mounts of the moment, of containers whether their layers lie on the disk of root. Another containerd has its own directory; where that is the mounts
// of the root file systems tell.
func (c *config) layersOn() func() func(id string) bool {
	if c.Containerd == embeddedContainerd {
		return func() func(string) bool { return func(string) bool { return true } }
	}
	var places aside.Places
	return func() func(string) bool {
		var uppers map[string]string // once for all of them
		if mounts, err := foreign.ReadKernel("/proc/self/mountinfo"); err == nil {
			uppers = upperDirs(string(mounts))
		}
		return func(id string) bool {
			upper := uppers[id]
			if upper == "" {
				return false
			}
			same, err := aside.Do(context.Background(), &places, "layers", time.Second, func() (bool, error) { return sameDisk(c.Root, upper) })
			return same && err == nil
		}
	}
}

func sameDisk(a, b string) (bool, error) {
	var one, other unix.Stat_t
	if err := errors.Join(unix.Stat(a, &one), unix.Stat(b, &other)); err != nil {
		return false, err
	}
	return one.Dev == other.Dev, nil
}

// upperDirs are the directories in which the overlays of containers' root file systems keep what is written, by the containers' ids and
// from the machine's mounts (proc_pid_mountinfo(5)).
func upperDirs(mounts string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(kind) < 3 || kind[0] != "overlay" || filepath.Base(fields[4]) != "rootfs" {
			continue
		}
		id := filepath.Base(filepath.Dir(fields[4]))
		for option := range strings.SplitSeq(kind[2], ",") {
			if dir, ok := strings.CutPrefix(option, "upperdir="); ok && out[id] == "" {
				out[id] = dir
			}
		}
	}
	return out
}
