package oom

import (
	"errors"
	"os"
	"time"

	"github.com/solopod/solopod/runner/cgroup/notice"
)

// settle reads the counter after a notice. With v1 the notice comes when the limit is hit, and the kill a moment later,
// so the counter is read again for a while; at the container's end it is read once more by others.
func (w *Watcher) settle(cgroupPath string, known uint64, report func(uint64), quit <-chan struct{}) uint64 {
	for _, pause := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond} {
		timer := time.NewTimer(pause)
		select {
		case <-quit:
			timer.Stop()
			return known
		case <-timer.C:
		}
		kills, err := w.Kills(cgroupPath)
		if err != nil {
			return known // the cgroup is gone
		}
		if kills > known {
			report(kills)
			return kills
		}
	}
	return known
}

// watchLegacy registers an eventfd with memory.oom_control (Documentation/admin-guide/cgroup-v1/memory.rst, OOM control).
func watchLegacy(dir string) (wait func() error, end func(), err error) {
	event, err := notice.Register(dir, "memory.oom_control")
	if err != nil {
		return nil, nil, err
	}
	buf := make([]byte, 8)
	return func() error {
		if _, err := event.Read(buf); err != nil {
			return err
		}
		// The kernel also writes when the cgroup is removed.
		if _, err := os.Stat(dir); err != nil {
			return err
		}
		return nil
	}, func() { event.Close() }, nil //nolint:errcheck // nothing is written
}

// watchUnified lets inotify tell of changes of memory.events (Documentation/admin-guide/cgroup-v2.rst).
func (w *Watcher) watchUnified(path string) (wait func() error, end func(), err error) {
	changed, leave, err := w.changes.watch(path)
	if err != nil {
		return nil, nil, err
	}
	return func() error {
		if _, ok := <-changed; !ok {
			return errGone
		}
		return nil
	}, leave, nil
}

// errGone: the cgroup is no longer there, or is no longer watched.
var errGone = errors.New("the cgroup is gone")
