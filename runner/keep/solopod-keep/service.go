package main

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep/wire"
)

const (
	// askEvery is the pause between two questions to the program that serves, and answerLimit how long it may take to answer, the first
	// time from its start on, before it is killed and started anew.
	askEvery, answerLimit = 5 * time.Second, 15 * time.Second
	// endLimit is how long a program may take to end: it answers what it has begun with.
	endLimit = 5 * time.Second
	// A program that ends is started again after these, doubled each time; at once when it has served for as long as servedWell.
	firstPause, lastPause, servedWell = 250 * time.Millisecond, 30 * time.Second, 10 * time.Second
	// reapAgain is the pause before one that has closed its connection, or was killed, is looked at again.
	reapAgain = 10 * time.Millisecond
)

// service is what a client serves, and a program while there is none. A nil service has no key, and nobody leaves it.
type service struct {
	key, program, argument string
	fds                    []int
	client                 int // the connection that serves; -1: none
	dropped                bool

	pid, control int // of the program; pid is 0 while none runs, control -1 when it is closed
	began        time.Time
	asked        time.Time // when it was asked last; its start is the first question
	answered     bool      // that
	told         time.Time // when it was told to end
	failure      string    // why it ended last, if it has failed

	next  time.Time // when it is started again
	pause time.Duration
}

func (s *service) has(key string) bool { return s != nil && !s.dropped && s.key == key }

// take: a client serves, with these descriptors. Those of before are closed.
func (s *service) take(conn int, message string, fds []int) {
	closeAll(s.fds)
	s.fds, s.client, s.dropped = fds, conn, false
	s.key, message, _ = strings.Cut(message, "\x00")
	s.program, s.argument, _ = strings.Cut(message, "\x00")
	s.next, s.pause = time.Time{}, 0
}

// leave: the program serves from now on.
func (s *service) leave(conn int) {
	if s != nil && s.client == conn {
		s.client = -1
	}
}

func (s *service) drop() {
	closeAll(s.fds)
	s.fds, s.dropped = nil, true
}

// abandon: another keeper has taken this one's place. A program that went on would keep what its client serves through that one.
func (s *service) abandon() {
	if s != nil && s.pid != 0 {
		s.kill(unix.SIGTERM)
	}
}

// look does what is due, and says when it has to be done again; zero means with the next message.
func (s *service) look(now time.Time) time.Time {
	s.hear()
	s.reap(now)
	unwanted := s.client >= 0 || s.dropped || s.program == "" // what comes in waits where there is no program
	switch {
	case s.pid == 0 && unwanted:
		return time.Time{}
	case s.pid == 0 && now.Before(s.next):
		return s.next
	case s.pid == 0:
		s.start(now)
		if s.pid == 0 {
			return s.next
		}
		return now.Add(answerLimit)
	case unwanted || !s.told.IsZero(): // who was told to end ends, also when it is wanted again
		return s.end(now)
	case s.control < 0:
		return now.Add(reapAgain)
	case !s.answered && now.Sub(s.asked) >= answerLimit:
		s.fail("it did not answer")
		s.kill(unix.SIGKILL)
		return now.Add(reapAgain)
	case !s.answered:
		return s.asked.Add(answerLimit)
	case now.Sub(s.asked) >= askEvery:
		send(s.control, []byte{wire.Ping}, nil)
		s.asked, s.answered = now, false
		return now.Add(answerLimit)
	}
	return s.asked.Add(askEvery)
}

// end tells the program to end, and kills it when it does not.
func (s *service) end(now time.Time) time.Time {
	if s.told.IsZero() {
		s.told = now
		s.kill(unix.SIGTERM)
	}
	if limit := s.told.Add(endLimit); now.Before(limit) && s.control >= 0 {
		return limit
	} else if now.Before(limit) {
		return now.Add(reapAgain)
	}
	s.kill(unix.SIGKILL)
	return now.Add(reapAgain)
}

func (s *service) kill(signal unix.Signal) {
	unix.Kill(s.pid, signal) //nolint:errcheck // our own child, which is not reaped yet
}

// hear takes what the program says.
func (s *service) hear() {
	text := make([]byte, 256)
	for s.control >= 0 {
		n, _, err := unix.Recvfrom(s.control, text, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			return
		case err != nil || n == 0:
			unix.Close(s.control) //nolint:errcheck // the other side is gone
			s.control = -1
		case text[0] == wire.Ping:
			s.answered = true
		case text[0] == wire.Failed:
			s.fail(string(text[1:n]))
		}
	}
}

func (s *service) fail(why string) { s.failure = why }

// reap notes that the program has ended.
func (s *service) reap(now time.Time) {
	if s.pid == 0 {
		return
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(s.pid, &status, unix.WNOHANG, nil); err == unix.EINTR || err == nil && pid == 0 {
		return
	}
	s.hear() // why: it may have said so since the last time
	if s.control >= 0 {
		unix.Close(s.control) //nolint:errcheck // the other side is gone
	}
	if s.told.IsZero() && s.failure == "" {
		s.fail("it ended by itself, or was killed: " + ended(status))
	}
	s.again(now, now.Sub(s.began) >= servedWell || !s.told.IsZero())
	s.pid, s.control, s.told = 0, -1, time.Time{}
}

// again says when the program is started the next time it is needed.
func (s *service) again(now time.Time, well bool) {
	if well {
		s.next, s.pause = now, 0
		return
	}
	s.pause = min(max(2*s.pause, firstPause), lastPause)
	s.next = now.Add(s.pause)
}

// programEnv makes the program small rather than fast.
var programEnv = []string{"GOMAXPROCS=2", "GOGC=25"}

func (s *service) start(now time.Time) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.fail(err.Error())
		s.again(now, false)
		return
	}
	defer unix.Close(ends[1]) //nolint:errcheck // the program has its own
	files := []uintptr{0, 1, 2, uintptr(ends[1])}
	for _, fd := range s.fds {
		files = append(files, uintptr(fd))
	}
	pid, err := syscall.ForkExec(s.program, []string{s.program, s.argument}, &syscall.ProcAttr{
		Dir: "/", Env: programEnv, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		unix.Close(ends[0]) //nolint:errcheck // nobody has the other
		s.fail("cannot execute " + s.program + ": " + err.Error())
		s.again(now, false)
		return
	}
	s.pid, s.control, s.began, s.asked, s.answered = pid, ends[0], now, now, false
}

// ended says how a program ended.
func ended(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal " + strconv.Itoa(int(status.Signal()))
	}
	return "exit code " + strconv.Itoa(status.ExitStatus())
}
