package oom

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/cgroups/v3"

	"github.com/solopod/solopod/runner/cgroup/notice"
	"github.com/solopod/solopod/runner/foreign"
)

// WatchLimit calls hit each time the cgroup's limit has the kernel look for a process to kill, from a goroutine of its own, until stop is
// called, which waits for that goroutine. With cgroup v1 it is called for limits above it as well: the highest cgroup that is told of has the
// limit. With v2 that takes Linux 5.2 (memory.events.local).
func (w *Watcher) WatchLimit(cgroupPath string, hit func()) (stop func(), err error) {
	wait, end, err := w.limit(cgroupPath)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			was, err := wait()
			if err != nil {
				return
			}
			if was {
				hit()
			}
		}
	}()
	return sync.OnceFunc(func() {
		end()
		<-done
	}), nil
}

// limit has wait say whether a limit was hit, when something has happened.
func (w *Watcher) limit(cgroupPath string) (wait func() (bool, error), end func(), err error) {
	if cgroups.Mode() == cgroups.Unified {
		return w.limitUnified(filepath.Join(mountpoint, cgroupPath, "memory.events.local"))
	}
	dir := filepath.Join(mountpoint, "memory", cgroupPath)
	event, err := notice.Register(dir, "memory.oom_control")
	if err != nil {
		return nil, nil, err
	}
	buf := make([]byte, 8)
	return func() (bool, error) {
		if _, err := event.Read(buf); err != nil {
			return false, err
		}
		_, err := os.Stat(dir) // the kernel also writes when the cgroup is removed
		return err == nil, err
	}, func() { event.Close() }, nil //nolint:errcheck // nothing is written
}

func (w *Watcher) limitUnified(path string) (wait func() (bool, error), end func(), err error) {
	changed, leave, err := w.changes.watch(path)
	if err != nil {
		return nil, nil, err
	}
	known, err := readHits(path)
	if err != nil {
		leave()
		return nil, nil, err
	}
	return func() (bool, error) {
		if _, ok := <-changed; !ok {
			return false, errGone
		}
		hits, err := readHits(path)
		was := hits > known
		known = hits
		return was, err
	}, leave, nil
}

// readHits reads how often the cgroup's own limit was hit and memory had to be found by a kill (Documentation/admin-guide/cgroup-v2.rst, oom
// in memory.events.local).
func readHits(path string) (uint64, error) {
	text, err := foreign.ReadKernel(path)
	if err != nil {
		return 0, err
	}
	return parseCounter(bytes.NewReader(text), "oom")
}
