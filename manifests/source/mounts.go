package source

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// mountTable tells of changes in the process's mount namespace: inotify says nothing of a mount over a directory.
type mountTable struct {
	table      *os.File
	stop, wake *os.File // a pipe that ends the wait
}

// openMounts notices what happens from now on. It returns nil where it cannot.
func openMounts() *mountTable {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		slog.Warn("changes of mounts are not noticed", "err", err)
		return nil
	}
	stop, wake, err := os.Pipe()
	if err != nil {
		slog.Warn("changes of mounts are not noticed", "err", errors.Join(err, table.Close()))
		return nil
	}
	return &mountTable{table, stop, wake}
}

// watch sends on changed when something was mounted or unmounted, until ctx ends (proc(5), mounts: poll reports POLLPRI). It closes
// the table.
func (m *mountTable) watch(ctx context.Context, changed chan<- struct{}) {
	// Nothing is written to the files; what closing says is of no use.
	defer m.table.Close()                                        //nolint:errcheck
	defer m.stop.Close()                                         //nolint:errcheck
	release := context.AfterFunc(ctx, func() { m.wake.Close() }) //nolint:errcheck
	fds := []unix.PollFd{{Fd: int32(m.table.Fd()), Events: unix.POLLPRI}, {Fd: int32(m.stop.Fd()), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		fds[0].Revents, fds[1].Revents = 0, 0
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			slog.Warn("changes of mounts are no longer noticed", "err", err)
			break
		}
		if fds[0].Revents != 0 {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
	if release() {
		m.wake.Close() //nolint:errcheck
	}
}
