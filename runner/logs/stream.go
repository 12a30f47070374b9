package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/logs/cri"
	"github.com/solopod/solopod/runner/logs/journal"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/logs/spool"
	"github.com/solopod/solopod/runner/rescue"
)

// retryWrite is how long a container's output waits before a write that failed, on a full disk, is tried again.
const retryWrite = time.Second

// stream carries one of a container's outputs. Who has its turn owns it: run while the container runs, then who drains and
// ends it.
type stream struct {
	name    string // stdout or stderr, as the CRI log format has it
	path    string // of the FIFO
	fifo    *os.File
	journal *journal.Journal
	file    *logfile.File
	spool   *spool.Spool
	rest    *spool.Rest // what takes the output in place of the log
	turn    chan struct{}
	// batch is the formatted text of the batch at hand; kept to be used again.
	batch   []byte
	settled bool // what is pending is no whole line; not so at first, with what an earlier run left
	broke   bool // it was said that the log cannot be written
	closed  bool
	left    atomic.Int32 // how many have left it behind
}

func openStream(dir, name string, file *logfile.File, spool *spool.Spool) (st *stream, trouble, err error) {
	fifo, err := openFIFO(filepath.Join(dir, name))
	if err != nil {
		return nil, nil, err
	}
	j, trouble := journal.Open(filepath.Join(dir, name+".journal"))
	return &stream{name: name, path: fifo.Name(), fifo: fifo, journal: j, file: file, spool: spool, turn: make(chan struct{}, 1)}, trouble, nil
}

// expectTorn tells the file of the batch that the last run was writing when it ended. It is told before any stream writes, so
// that the log's size fits.
func (s *stream) expectTorn() {
	err := s.guard(func() error {
		if size, pending, ok := s.journal.Interrupted(); ok {
			// With force: where the write was without, its text is the beginning of this one.
			text, _ := cri.Format(nil, s.name, s.journal.Time(), pending, true)
			s.file.Interrupted(size, text)
		}
		return nil
	})
	if err != nil {
		s.renewJournal(err)
	}
}

// guard runs what uses the journal. Its error may be that of a fault of the journal's mapping, or of a panic.
func (s *stream) guard(use func() error) error {
	return rescue.Do("write a container's log", func() error { return s.journal.Guard(use) })
}

// run reads until ending is closed. made is told when it was tried to make the log.
func (s *stream) run(ending <-chan struct{}, made chan<- struct{}) {
	defer func() { s.turn <- struct{}{} }()
	s.complain(rescue.Do("make a container's log", s.file.Make))
	made <- struct{}{}
	for {
		n, err := s.step()
		s.complain(err)
		switch {
		case err != nil:
			select {
			case <-ending:
				return
			case <-time.After(retryWrite): // a full disk has no event
			}
		case n > 0:
			select {
			case <-ending:
				return
			default:
			}
		case s.waitReadable() != nil:
			return
		}
	}
}

// complain says that the log cannot be written, once: a full disk would repeat it with every line.
func (s *stream) complain(err error) {
	if err != nil && !s.broke {
		slog.Error("cannot write a container's log; its output waits", "log", s.file.Path(), "err", err)
	}
	s.broke = err != nil
}

// waitReadable returns when there is something to read; an error is the deadline that stopReading sets.
func (s *stream) waitReadable() error {
	conn, err := s.fifo.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool {
		n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		return err != nil || n > 0
	})
}

// step moves one batch from the FIFO into the log. It returns the number of bytes read.
func (s *stream) step() (n int, err error) {
	err = s.guard(func() error {
		n, err = s.move()
		return err
	})
	switch {
	case errors.Is(err, journal.ErrFault), errors.Is(err, unix.EFAULT):
		s.renewJournal(err)
		return 0, nil
	case errors.Is(err, rescue.ErrPanicked): // over what is in the journal, most likely: it would be again
		s.renewJournal(err)
		return 0, err
	}
	return n, err
}

// renewJournal goes on with another journal after a fault of this one.
func (s *stream) renewJournal(fault error) {
	path := s.journal.Path()
	errs := []error{s.journal.Close()}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	var trouble error
	s.journal, trouble = journal.Open(path)
	s.settled = false
	err := errors.Join(append(errs, fault, trouble)...)
	slog.Error("the journal of a container's output was damaged while in use; some output may be lost", "log", s.file.Path(), "stream", s.name, "err", err)
}

func (s *stream) move() (int, error) {
	if err := s.settle(); err != nil {
		return 0, err
	}
	if s.journal.Room() {
		if err := s.flush(true); err != nil {
			return 0, err
		}
		s.journal.Room()
	}
	fd := int(s.fifo.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil || n == 0 {
		return 0, err
	}
	got, err := s.journal.Read(n, time.Now(), func(b []byte) (int, error) { return unix.Read(fd, b) })
	if err != nil || got <= 0 {
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return 0, nil
		}
		return 0, err
	}
	return got, s.flush(false)
}

// settle writes what an earlier run, or a write that failed, has left.
func (s *stream) settle() error {
	if s.settled {
		return nil
	}
	s.journal.Recover()
	return s.flush(false)
}

// flush writes the whole lines of what is pending to the log; with force also what has no end yet.
func (s *stream) flush(force bool) (err error) {
	defer func() { s.settled = err == nil }()
	var used int
	s.batch, used = cri.Format(s.batch[:0], s.name, s.journal.Time(), s.journal.Pending(), force)
	done := func() { s.journal.Written(used) }
	if used == 0 {
		done()
		return nil
	}
	if s.rest != nil {
		if err := s.rest.Write(s.batch); err != nil {
			return err
		}
		done()
		return nil
	}
	return s.file.Transaction(s.batch, s.journal.Writing, done)
}

// useSpool has the rest of the output kept elsewhere, because the log cannot be written.
func (s *stream) useSpool(why error) error {
	if s.spool == nil || s.rest != nil {
		return why
	}
	rest, err := s.spool.Take(s.file.Path())
	if err != nil {
		return errors.Join(why, err)
	}
	slog.Warn("the end of a container's log is kept until its disk takes it", "log", s.file.Path(), "stream", s.name, "kept", rest.Path(), "err", why)
	s.rest = rest
	return nil
}

// drain reads what is still to come.
func (s *stream) drain(ctx context.Context) error {
	if s.closed {
		return nil
	}
	if err := s.becomeReader(); err != nil {
		return err
	}
	for {
		n, err := s.step()
		if err != nil {
			if s.useSpool(err) == nil {
				continue
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(retryWrite): // a full disk may be emptied
			}
			continue
		}
		if n > 0 && ctx.Err() == nil {
			continue
		}
		if over, err := s.wait(ctx); err != nil || over {
			return err
		}
	}
}

// becomeReader lets go of the FIFO's writing end, so that the end of the others can be seen.
func (s *stream) becomeReader() error {
	next, err := foreign.Reopen(s.fifo, foreign.FIFO, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("cannot reopen the container's %s: %w", s.name, err)
	}
	old := s.fifo
	s.fifo = next
	return old.Close()
}

// drainTick bounds how late the end of a context is seen while a FIFO is silent.
const drainTick = 100 * time.Millisecond

// wait returns when there is more to read, or over when nobody writes any more and all has been read.
func (s *stream) wait(ctx context.Context) (over bool, err error) {
	for {
		fds := []unix.PollFd{{Fd: int32(s.fifo.Fd()), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, int(drainTick.Milliseconds()))
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return true, err
		case ctx.Err() != nil:
			return true, fmt.Errorf("the container's %s is still open elsewhere: %w", s.name, ctx.Err())
		case fds[0].Revents&unix.POLLIN != 0:
			return false, nil
		case fds[0].Revents&unix.POLLHUP != 0:
			return true, nil
		}
	}
}

// endLine writes what has no line end yet, and never gets one: as a part of a line, as containerd's CRI does.
func (s *stream) endLine() error {
	if s.closed {
		return nil
	}
	return s.guard(func() error {
		if err := s.settle(); err != nil {
			return err
		}
		return s.flush(true)
	})
}

// detach leaves the stream to the next run. Without a journal's file that finds nothing, so that what is pending is written.
func (s *stream) detach() error {
	if s.closed {
		return nil
	}
	var err error
	if !s.journal.InFile() {
		err = s.flush(true)
	}
	return errors.Join(err, s.close())
}

// finish writes what is left to where that is possible.
func (s *stream) finish() error {
	if s.closed {
		return nil
	}
	err := s.endLine()
	if err != nil && s.useSpool(err) == nil {
		err = s.endLine()
	}
	if err != nil {
		err = fmt.Errorf("the last output of a container, on %s, is lost: %w", s.name, err)
	}
	return errors.Join(err, s.close())
}

func (s *stream) close() error {
	s.closed = true
	errs := []error{s.fifo.Close(), s.journal.Close()}
	if s.rest != nil {
		errs = append(errs, s.rest.Close())
	}
	return errors.Join(errs...)
}
