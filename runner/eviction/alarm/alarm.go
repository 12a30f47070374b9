// Package alarm tells when a machine's memory gets short, by the kernel's own events: who waits for it costs nothing while there is enough.
//
// With cgroup v1 it is an eventfd for a threshold of the root cgroup's usage, as the kubelet has it. That does not count what is no
// cgroup's, as the kernel's own memory, so that who is woken has to measure. As usage has cached files in it, it does not grow any more once
// there is no free memory left, however much of what is available programs use: the threshold is set so that it is crossed before, and where
// there is no room for that nothing rings for sure.
//
// Where the kernel keeps pressure stall information it is a trigger of that, too: programs wait for memory. With cgroup v2 there is nothing
// else. It may come too late, as a program that takes memory quickly waits for nothing until there is none left: who is woken by stalls alone
// has to measure as who is not woken.
package alarm

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/cgroup/notice"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/pressure"
)

// stalls is the trigger: programs that wait for memory for a twentieth of two seconds, which is the least window that needs no
// privilege (Documentation/accounting/psi.rst).
const stalls = "some 100000 2000000"

// Places are where the kernel tells.
type Places struct {
	// Pressure is the file of the machine's stalls for memory.
	Pressure string
	// Cgroup is the directory of the root cgroup of v1's memory controller; empty with v2.
	Cgroup string
	// Free is how much usage can grow before programs get what others had.
	Free func() (uint64, error)
}

// Machine are the places of this machine; unified: its cgroups are v2.
func Machine(unified bool) Places {
	p := Places{Pressure: "/proc/pressure/memory", Cgroup: "/sys/fs/cgroup/memory", Free: pressure.Linux{}.Free}
	if unified {
		p.Cgroup = ""
	}
	return p
}

// Memory is the alarm. Its methods are for one goroutine, but for Rings' channel.
type Memory struct {
	places Places
	rings  chan struct{}
	wg     sync.WaitGroup
	// stalled ends the wait for stalls.
	stalled *os.File
	// crossed ends the wait for the threshold at.
	crossed *os.File
	at      uint64
	// woken has a token when it was crossed.
	woken  chan struct{}
	failed bool // which is told once
}

// Open begins to listen for stalls, where the kernel tells of them.
func Open(p Places) *Memory {
	m := &Memory{places: p, rings: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
	var err error
	if m.stalled, err = m.listen(); err != nil {
		slog.Debug("the kernel does not tell of stalls for memory", "err", err)
	}
	return m
}

// Rings is sent to when memory may have become short; several reasons may share one.
func (m *Memory) Rings() <-chan struct{} { return m.rings }

// Works says whether it rings for sure before what it was armed with is used up.
func (m *Memory) Works() bool { return m.crossed != nil }

// Close ends all of it.
func (m *Memory) Close() {
	for _, f := range []*os.File{m.stalled, m.crossed} {
		if f != nil {
			f.Close() //nolint:errcheck // nothing is written
		}
	}
	m.wg.Wait()
}

func (m *Memory) ring() {
	select {
	case m.rings <- struct{}{}:
	default:
	}
}

// listen has the kernel ring for stalls. The file that is returned ends that when it is closed.
func (m *Memory) listen() (*os.File, error) {
	trigger, err := foreign.OpenKernel(m.places.Pressure, os.O_RDWR|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			trigger.Close() //nolint:errcheck // nothing was set
		}
	}()
	if _, err = trigger.WriteString(stalls + "\x00"); err != nil {
		return nil, err
	}
	// What rings has "exceptional" data (POLLPRI), for which Go does not wait; an epoll instance that does is readable then.
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err = errors.Join(
		unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, int(trigger.Fd()), &unix.EpollEvent{Events: unix.EPOLLPRI}),
		unix.SetNonblock(fd, true),
	); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	waits := os.NewFile(uintptr(fd), "memory-stalls") // of a descriptor that does not wait: Go does
	m.wg.Go(func() {
		defer trigger.Close() //nolint:errcheck // which ends the trigger
		for awaitEvent(waits) == nil {
			m.ring()
		}
	})
	return waits, nil
}

// awaitEvent waits until an epoll instance becomes readable, or is closed. It asks the instance for nothing: the kernel tells of a stall but
// once, and who has waited has been told (psi_trigger_poll in kernel/sched/psi.c).
func awaitEvent(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	waited := false
	return conn.Read(func(uintptr) bool {
		told := waited
		waited = true
		return told
	})
}

// leastRoom is how much usage must be able to grow for a threshold to be set: with less it would be crossed all the time, by cached files.
const leastRoom = 64 << 20

// Arm has the kernel ring when left more bytes are used than now, or earlier, where cgroups are v1. It is called after each measurement: what
// is set already, and is still about right, stays.
func (m *Memory) Arm(left uint64) {
	if m.places.Cgroup == "" {
		return
	}
	err := m.arm(left)
	if err != nil && !m.failed {
		slog.Warn("the kernel does not tell when memory gets short, so that it is measured instead", "err", err)
	}
	m.failed = err != nil
}

// near says whether a threshold is good enough for what is wanted: it rings no later, and not much too early.
func near(set, wanted, left uint64) bool { return set <= wanted && wanted-set <= left/8 }

func (m *Memory) arm(left uint64) error {
	room, err := m.places.Free()
	if err != nil {
		m.disarm()
		return err
	}
	if left > room {
		if left = room; room < leastRoom {
			left = 0
		}
	}
	if left == 0 {
		m.disarm()
		return nil
	}
	used, err := foreign.ReadNumber(filepath.Join(m.places.Cgroup, "memory.usage_in_bytes"))
	if err != nil {
		m.disarm()
		return err
	}
	at := uint64(max(used, 0)) + left
	select {
	case <-m.woken:
	default:
		if m.crossed != nil && near(m.at, at, left) {
			return nil
		}
	}
	m.disarm()
	event, err := notice.Register(m.places.Cgroup, "memory.usage_in_bytes", strconv.FormatUint(at, 10))
	if err != nil {
		return err
	}
	m.crossed, m.at = event, at
	m.wg.Go(func() {
		buf := make([]byte, 8)
		if _, err := event.Read(buf); err == nil {
			select {
			case m.woken <- struct{}{}:
			default:
			}
			m.ring()
		}
	})
	return nil
}

// disarm lets the kernel forget the threshold.
func (m *Memory) disarm() {
	if m.crossed != nil {
		m.crossed.Close() //nolint:errcheck // nothing is written
		m.crossed = nil
	}
}
