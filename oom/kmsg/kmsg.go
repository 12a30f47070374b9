// Package kmsg follows the kernel's log, /dev/kmsg, from the boot on. It never asks again and again: the kernel wakes it.
package kmsg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/host"
)

// device is where the kernel gives its log to read, one record with each read.
const device = "/dev/kmsg"

// The device's number (Documentation/admin-guide/devices.txt). In containers other devices lie at its place.
const major, minor = 1, 11

// longest is the longest record that the kernel gives (PRINTK_MESSAGE_MAX, CONSOLE_EXT_LOG_MAX).
const longest = 8192

// Position is how far the log was read: whoever keeps it is told nothing twice, and misses nothing that the kernel still has.
type Position struct {
	// Boot is the boot's id: sequence numbers begin anew with each.
	Boot string `json:"boot,omitempty"`
	// Next is the number of the first record that was not read.
	Next uint64 `json:"next,omitempty"`
}

// Entry is one record of the log that the kernel itself wrote.
type Entry struct {
	// Lost is how many records before this one are missing: the kernel keeps only the last ones. Some may have been of processes.
	Lost     uint64
	Sequence uint64
	// Time is when it was written, by the machine's clock as it is set now.
	Time time.Time
	// Level is its severity, from 0 (emergency) to 7 (debug).
	Level int
	// Caller is the thread (T17) or processor (C1) that wrote it, where the kernel says it (CONFIG_PRINTK_CALLER).
	Caller    string
	Continued bool
	// Text is its first line; what cannot be printed is \x0a in it.
	Text string
	// Position is what to go on from when this one is dealt with.
	Position Position
}

// Follow calls say with each record that the kernel itself wrote (not those that processes have put into its log), from those on
// that it has kept since the boot and that lie after from, until ctx ends, or the log cannot be read any more, which is the error (ErrBroken
// when it could be at first); nil when ctx ended. say is called from Follow's own goroutine: what it waits for, the kernel waits for in its
// buffer. dry is called, once, when all has been said that was there.
func Follow(ctx context.Context, from Position, say func(Entry), dry func()) error {
	file, err := open()
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing is written
	boot, err := host.BootID()
	if err != nil {
		return err
	}
	if from.Boot != boot {
		from = Position{Boot: boot}
	}
	stop := context.AfterFunc(ctx, func() {
		file.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // the file may be closed by now
	})
	defer stop()
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot read the kernel's log: %w", err)
	}
	once := sync.OnceFunc(dry)
	err = follow(ctx, func(buf []byte) (int, bool, error) { return read(raw, buf, once) }, newClock(), from, say)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// ErrBroken is an error of a log that could be followed until then: it may be possible again.
var ErrBroken = errors.New("cannot read the kernel's log")

// mostStrange is how many records one after the other may be of another form than ours.
const mostStrange = 100

// follow reads one record after the other until an error comes. next is the position of the first that is wanted. A record that cannot be
// read is one that is lost.
func follow(ctx context.Context, read func([]byte) (n int, waited bool, err error), clock *clock, next Position, say func(Entry)) error {
	buf, lost, strange := make([]byte, longest), uint64(0), 0
	for ctx.Err() == nil {
		n, waited, err := read(buf)
		if errors.Is(err, unix.EPIPE) { // records were overwritten before they were read: the next one's number says how many
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
		r, err := Parse(buf[:n])
		if err != nil {
			if strange++; strange >= mostStrange {
				return fmt.Errorf("cannot read %d records of the kernel's log: %w", strange, err)
			}
			continue // the next one's number says that it is missing
		}
		strange = 0
		at := clock.time(r.Uptime, waited)
		if r.Sequence < next.Next {
			continue
		}
		lost += r.Sequence - next.Next
		next.Next = r.Sequence + 1
		if r.Facility != 0 {
			continue
		}
		say(Entry{Lost: lost, Sequence: r.Sequence, Time: at, Level: r.Level, Caller: r.Caller, Continued: r.Continued, Text: r.Text, Position: next})
		lost = 0
	}
	return ctx.Err()
}

// first is what others have to look before a record is read that was waited for. Of a kill the cgroup may be gone a moment later, and with
// it what it counted; the log stays.
const first = 30 * time.Millisecond

// read reads one record. waited: there was none, which dry is told, and the kernel has just written this one.
func read(raw syscall.RawConn, buf []byte, dry func()) (n int, waited bool, err error) {
	outer := raw.Read(func(fd uintptr) bool {
		if waited {
			<-time.After(first)
		}
		n, err = unix.Read(int(fd), buf)
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Read(int(fd), buf)
		}
		if errors.Is(err, unix.EAGAIN) {
			waited = true
			dry()
			return false
		}
		return true
	})
	if outer != nil {
		return 0, waited, outer
	}
	return n, waited, err
}

// open opens the log, if it is that.
func open() (*os.File, error) {
	found, err := foreign.Find(device)
	if err != nil {
		return nil, advise(err)
	}
	defer found.Close() //nolint:errcheck // only looked at
	st, err := foreign.Stat(found)
	if err != nil {
		return nil, advise(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(major, minor) {
		return nil, fmt.Errorf("%s is not the kernel's log, but something that was put there: in a container have it pass the machine's (--device %s)", device, device)
	}
	file, err := foreign.Reopen(found, foreign.CharDevice, os.O_RDONLY)
	if err != nil {
		return nil, advise(err)
	}
	return file, nil
}

// advise says what to do about an error.
func advise(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no %s: in a container have it pass the machine's (--device %s); a kernel without CONFIG_PRINTK has none: %w", device, device, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be read: Solopod needs the capability CAP_SYSLOG, or the sysctl kernel.dmesg_restrict=0, and in a container a rule for the device: %w", device, err)
	}
	return fmt.Errorf("the kernel's log cannot be opened: %w", err)
}

// Readable says why the kernel's log cannot be followed here, and what to do; nil when it can.
func Readable() error {
	file, err := open()
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing is written
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { // what need not be waited for
		var n int
		buf := make([]byte, longest)
		if n, inner = unix.Read(int(fd), buf); inner == nil {
			_, inner = Parse(buf[:n])
		}
	})
	if err == nil && inner != nil && !errors.Is(inner, unix.EAGAIN) && !errors.Is(inner, unix.EPIPE) {
		err = advise(inner)
	}
	return err
}
