package names

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/names/handover"
	"github.com/solopod/solopod/runner/process"
)

// orphanLimit is how long a program may take to end that is asked to, and then again when it is killed.
const orphanLimit = 2 * time.Second

// endOrphan ends the program that answers in the daemon's place, if there is one, and waits for that. As a rule the keeper does that, too;
// where the keeper was killed while the daemon was away the program has gone on without. A daemon that is itself to end leaves it.
func endOrphan(ctx context.Context, state string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	pid, err := orphan(state)
	if pid == 0 || err != nil {
		return err
	}
	held, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return gone(err)
	}
	defer unix.Close(held) //nolint:errcheck // only held
	if again, err := orphan(state); again != pid || err != nil {
		return err // it has ended: the number may be another's
	}
	slog.Debug("solopod-names is ended", "pid", pid)
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(held, signal, nil, 0); err != nil {
			return gone(err)
		}
		if ended(ctx, held) {
			return nil
		}
	}
	return fmt.Errorf("cannot answer for names: solopod-names (process %d) does, and does not end", pid)
}

// orphan finds the program: it has a file in the state directory locked, unless that was cleared, or had no room. Zero is none.
func orphan(state string) (int, error) {
	f, err := foreign.OpenFile(filepath.Join(state, handover.Lock), os.O_RDWR, 0)
	if err == nil {
		defer f.Close() //nolint:errcheck // only looked at
		if pid, err := holder(f); pid != 0 || err != nil {
			return pid, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("cannot see whether solopod-names runs: %w", err)
	}
	return named(state), nil
}

// named finds the program by its name and argument. It is root's: others may be called the same.
func named(state string) int {
	for _, pid := range process.All() {
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		program, err := os.Readlink(filepath.Join(proc, "exe"))
		if err != nil || strings.TrimSuffix(filepath.Base(program), " (deleted)") != handover.Program { // as an upgrade leaves it
			continue
		}
		var of unix.Stat_t
		command, err := foreign.ReadKernel(filepath.Join(proc, "cmdline"))
		if err == nil && unix.Stat(proc, &of) == nil && of.Uid == 0 && strings.HasSuffix(string(command), "\x00"+state+"\x00") {
			return pid
		}
	}
	return 0
}

// gone: a process that is not there any more is no error.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return fmt.Errorf("cannot end solopod-names: %w", err)
}

// holder is the process that has the file locked; zero is none.
func holder(f *os.File) (int, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, fmt.Errorf("cannot see whether solopod-names runs: %w", err)
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
}

// ended waits for the end of a process.
func ended(ctx context.Context, process int) bool {
	limit := time.Now().Add(orphanLimit)
	if at, ok := ctx.Deadline(); ok && at.Before(limit) {
		limit = at
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, max(int(time.Until(limit).Milliseconds()), 0))
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n > 0
		}
	}
}
