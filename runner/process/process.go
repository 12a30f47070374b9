// Package process finds processes, ends those that are not children of this one, and waits for their end, by pidfd (pidfd_open(2)). All waits
// have a limit: a process that sleeps in the kernel, or is frozen, does not heed SIGKILL.
package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// All are the ids of the processes that run; none when /proc cannot be read.
func All() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// patience is how long a process may take to end after it was killed; it takes milliseconds.
const patience = 2 * time.Second

// Kill kills a process and returns when it has ended, or with an error when it has not after a moment.
func Kill(pid int) error {
	fd, err := open(pid)
	if fd < 0 {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only polled
	if err := kill(fd, pid); err != nil {
		return err
	}
	if !wait(fd, time.Now().Add(patience)) {
		return fmt.Errorf("process %d does not end", pid)
	}
	return nil
}

// SendKill kills a process and waits for nothing. That it has ended is no error.
func SendKill(pid int) error {
	fd, err := open(pid)
	if fd < 0 {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only signalled
	return kill(fd, pid)
}

// Await waits for the end of a process until the deadline, and says whether it has ended.
func Await(pid int, deadline time.Time) (ended bool, err error) {
	fd, err := open(pid)
	if fd < 0 {
		return err == nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // only polled
	return wait(fd, deadline), nil
}

// open returns a pidfd, which the caller must close; it is negative when the process has ended, or with an error.
func open(pid int) (fd int, err error) {
	fd, err = unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	return fd, nil
}

func kill(fd, pid int) error {
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot kill process %d: %w", pid, err)
	}
	return nil
}

// wait waits for the end of a process until the deadline.
func wait(fd int, deadline time.Time) (ended bool) {
	for {
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int((left + time.Millisecond - 1).Milliseconds()))
		if n > 0 {
			return true
		}
		if err == nil || !errors.Is(err, unix.EINTR) {
			return false
		}
	}
}
