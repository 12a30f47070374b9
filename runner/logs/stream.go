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
)

// retryWrite is how long a container's output waits before a write that failed, on a full disk, is tried again.
const retryWrite = time.Second

// stream carries one of a container's outputs. Who has its turn owns it: run while the container runs, then who drains and
// ends it.
type stream struct {
	name    string // stdout or stderr, as the CRI log format has it
	path    string // of the FIFO
	fifo    *os.File
	journal *journal
	file    *File
	spool   *Spool
	spooled *spooled // what takes the output in place of the log
	turn    chan struct{}
	// batch is the formatted text of the batch at hand; kept to be used again.
	batch  []byte
	looked bool // what an earlier run left was looked at
	broke  bool // it was said that the log cannot be written
	closed bool
	left   atomic.Int32 // how many have left it behind
}

func openStream(dir, name string, file *File, spool *Spool) (st *stream, trouble, err error) {
	fifo, err := openFIFO(filepath.Join(dir, name))
	if err != nil {
		return nil, nil, err
	}
	j, trouble := openJournal(filepath.Join(dir, name+".journal"))
	return &stream{name: name, path: fifo.Name(), fifo: fifo, journal: j, file: file, spool: spool, turn: make(chan struct{}, 1)}, trouble, nil
}

// expectTorn tells the file of the batch that the last run was writing when it ended. It is told before any stream writes, so
// that the log's size fits.
func (s *stream) expectTorn() {
	err := s.journal.guarded(func() error {
		phase, start, end := s.journal.load()
		if phase == phaseWriting {
			text, _ := format(nil, s.name, s.journal.when(), s.journal.buf[start:end], false)
			s.file.interrupted(int64(atomic.LoadUint64(s.journal.size)), text)
		}
		return nil
	})
	if err != nil {
		s.renewJournal(err)
	}
}

// run reads until ending is closed. made is told when it was tried to make the log.
func (s *stream) run(ending <-chan struct{}, made chan<- struct{}) {
	defer func() { s.turn <- struct{}{} }()
	s.complain(s.file.Make())
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
		slog.Error("cannot write a container's log; its output waits", "log", s.file.path, "err", err)
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
	err = s.journal.guarded(func() error {
		n, err = s.move()
		return err
	})
	if errors.Is(err, errFault) || errors.Is(err, unix.EFAULT) {
		s.renewJournal(err)
		return 0, nil
	}
	return n, err
}

// renewJournal goes on with another journal after a fault of this one.
func (s *stream) renewJournal(fault error) {
	path := s.journal.path
	errs := []error{s.journal.close()}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	var trouble error
	s.journal, trouble = openJournal(path)
	err := errors.Join(append(errs, fault, trouble)...)
	slog.Error("the journal of a container's output was damaged while in use; some output may be lost", "log", s.file.path, "stream", s.name, "err", err)
}

func (s *stream) move() (int, error) {
	if err := s.settle(); err != nil {
		return 0, err
	}
	_, start, end := s.journal.load()
	start, end, full := s.journal.room(start, end)
	if full {
		if err := s.flush(start, end, true); err != nil {
			return 0, err
		}
		start, end, _ = s.journal.room(0, 0)
	}
	fd := int(s.fifo.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil || n == 0 {
		return 0, err
	}
	n = min(n, bufferSize-1-end) // one byte is kept for the newline that endLine adds
	s.journal.announce(start, end, n, time.Now())
	got, err := unix.Read(fd, s.journal.buf[end:end+n])
	if err != nil || got <= 0 {
		s.journal.store(phaseIdle, start, end)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return 0, nil
		}
		return 0, err
	}
	return got, s.flush(start, end+got, false)
}

// settle writes what an earlier run, or a write that failed, has left.
func (s *stream) settle() error {
	phase, start, end := s.journal.load()
	if phase == phaseReading {
		end = s.journal.recovered(end)
		s.journal.store(phaseIdle, start, end)
	}
	if phase == phaseIdle && s.looked {
		return nil
	}
	if err := s.flush(start, end, false); err != nil {
		return err
	}
	s.looked = true
	return nil
}

// flush writes the whole lines of buf[start:end] to the log; with force also what has no end yet.
func (s *stream) flush(start, end int, force bool) error {
	var next int
	s.batch, next = format(s.batch[:0], s.name, s.journal.when(), s.journal.buf[start:end], force)
	if next == 0 {
		s.journal.store(phaseIdle, start, end)
		return nil
	}
	done := func() { s.journal.store(phaseIdle, start+next, end) }
	if s.spooled != nil {
		if err := s.spooled.write(s.batch); err != nil {
			return err
		}
		done()
		return nil
	}
	return s.file.transaction(s.batch, func(size int64) {
		atomic.StoreUint64(s.journal.size, uint64(size))
		s.journal.store(phaseWriting, start, end)
	}, done)
}

// useSpool has the rest of the output kept elsewhere, because the log cannot be written.
func (s *stream) useSpool(why error) error {
	if s.spool == nil || s.spooled != nil {
		return why
	}
	sp, err := s.spool.take(s.file.path)
	if err != nil {
		return errors.Join(why, err)
	}
	slog.Warn("the end of a container's log is kept until its disk takes it", "log", s.file.path, "stream", s.name, "kept", sp.path, "err", why)
	s.spooled = sp
	return nil
}

// drain reads what is still to come and ends the last line.
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
			return errors.Join(err, s.endLine())
		}
	}
}

// becomeReader lets go of the FIFO's writing end, so that the end of the others can be seen.
func (s *stream) becomeReader() error {
	next, err := reopenFIFO(int(s.fifo.Fd()), s.path, unix.O_RDONLY)
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

// endLine writes what has no line end yet.
func (s *stream) endLine() error {
	return s.journal.guarded(func() error {
		if err := s.settle(); err != nil {
			return err
		}
		_, start, end := s.journal.load()
		if start == end {
			return nil
		}
		s.journal.buf[end] = '\n'
		return s.flush(start, end+1, false)
	})
}

// detach leaves the stream to the next run. Without a journal's file that finds nothing, so that what is pending is written.
func (s *stream) detach() error {
	if s.closed {
		return nil
	}
	var err error
	if !s.journal.mapped {
		_, start, end := s.journal.load()
		err = s.flush(start, end, true)
	}
	return errors.Join(err, s.close())
}

// finish writes what is left to where it can be.
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
	errs := []error{s.fifo.Close(), s.journal.close()}
	if s.spooled != nil {
		errs = append(errs, s.spooled.close())
	}
	return errors.Join(errs...)
}
