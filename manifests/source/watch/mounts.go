package watch

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sys/unix"
)

// mountTable tells of changes in the process's mount namespace: inotify says nothing of a mount over a directory.
type mountTable struct {
	// Plain descriptors: the runtime's own poller would take the table's events away, which are told once.
	table, stop, wake int
}

// openMounts notices what happens from now on. It returns nil where it cannot.
func openMounts() *mountTable {
	table, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		slog.Warn("changes of mounts are not noticed", "err", err)
		return nil
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		slog.Warn("changes of mounts are not noticed", "err", errors.Join(err, unix.Close(table)))
		return nil
	}
	return &mountTable{table, pipe[0], pipe[1]}
}

// watch sends on changed when something was mounted or unmounted, until ctx ends (proc(5), mounts: poll reports POLLPRI). Nothing
// else uses m then.
func (m *mountTable) watch(ctx context.Context, changed chan<- struct{}) {
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(closed)
		if err := unix.Close(m.wake); err != nil { // this ends the poll
			slog.Warn("cannot end the watch of mounts", "err", err)
		}
	})
	fds := []unix.PollFd{{Fd: int32(m.table), Events: unix.POLLPRI}, {Fd: int32(m.stop), Events: unix.POLLIN}}
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
	<-ctx.Done()
	<-closed
	if err := errors.Join(unix.Close(m.table), unix.Close(m.stop)); err != nil {
		slog.Warn("cannot end the watch of mounts", "err", err)
	}
}
