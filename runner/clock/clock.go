// Package clock tells when the machine's clock is set: a box without a battery begins in 1970 and learns the time later.
//
// Times that were taken before are wrong from then on, by as much as the clock was moved. Who keeps such times moves them
// along, and can go on to compare them with the clock.
package clock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Step is how far a clock must be moved to count: less is the drift that time daemons correct all the time.
const Step = time.Second

// Offset is what the clock is ahead of the time since the boot. Only setting the clock changes it.
func Offset() time.Duration {
	var wall, boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME, &wall) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0 // both clocks exist on every Linux that runs containers
	}
	return time.Duration(wall.Nano() - boot.Nano())
}

// Booted is the clock's time at which the machine was booted, by a clock of the given offset.
func Booted(offset time.Duration) time.Time { return time.Unix(0, int64(offset)) }

// Moved says by how much the clock has been set since it had the given offset: zero for less than a Step.
func Moved(since time.Duration) time.Duration {
	if moved := Offset() - since; moved.Abs() >= Step {
		return moved
	}
	return 0
}

// Watch calls set each time the clock is set, with how far it was moved, until ctx ends. The kernel tells; nothing is
// polled (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
func Watch(ctx context.Context, set func(moved time.Duration)) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("cannot watch the clock: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "clock") // owns fd
	stop := context.AfterFunc(ctx, func() {
		timer.Close() //nolint:errcheck // ends the read
	})
	defer stop()
	known := Offset()
	if err := arm(timer); err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot watch the clock: %w", err)
	}
	buf := make([]byte, 8)
	for {
		_, err := timer.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, unix.ECANCELED) {
			return fmt.Errorf("cannot watch the clock: %w", err)
		}
		// Armed before the offset is read: a step in between is told of again.
		if err := arm(timer); err != nil && ctx.Err() == nil {
			return fmt.Errorf("cannot watch the clock: %w", err)
		}
		if moved := Moved(known); moved != 0 {
			known += moved
			set(moved)
		}
	}
}

// arm sets the timer to a time that never comes, so that only a step of the clock ends the wait for it.
func arm(timer *os.File) error {
	raw, err := timer.SyscallConn()
	if err != nil {
		return err
	}
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: 1 << 40}}
	controlErr := raw.Control(func(fd uintptr) {
		err = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never, nil)
	})
	if errors.Is(err, unix.ECANCELED) {
		err = nil // it was set at this moment, and is armed all the same (timerfd_create(2))
	}
	return errors.Join(controlErr, err)
}
