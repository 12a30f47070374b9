package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep"
)

// Pump carries the output of one container. It owns its FIFOs, their journals and the log file.
type Pump struct {
	file    *File
	streams []*stream
	dir     string
	stdin   *os.File
	keeper  Keeper
}

// Keeper holds FIFOs open while Solopod is away, so that what a container wrote before it ended stays in them. Package
// keep implements it.
type Keeper interface {
	Hold(key string, files []keep.File)
	Drop(key string)
}

// Streams says which FIFOs a container has.
type Streams struct {
	Stdin    bool
	Terminal bool // one output stream
	Keeper   Keeper
}

// Paths of the FIFOs, for the shim.
type Paths struct{ Stdin, Stdout, Stderr string }

// retryWrite is how long a container's output waits before a write that failed, on a full disk, is tried again.
const retryWrite = time.Second

type stream struct {
	name    string // stdout or stderr, as the CRI log format has it
	fifo    *os.File
	journal *journal
	file    *File
	done    chan struct{}
	// batch is the formatted text of the batch at hand; kept to be used again.
	batch []byte
	broke bool
}

// Open makes or reopens the FIFOs and journals of a container in dir, replays what an earlier run left, and starts to
// read. The caller owns the Pump and must Detach it, or Drain and Finish it.
func Open(dir string, file *File, s Streams) (*Pump, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &Pump{file: file, dir: dir, keeper: s.Keeper}
	names := []string{"stdout", "stderr"}
	if s.Terminal {
		names = names[:1]
	}
	err := func() error {
		for _, name := range names {
			st, err := openStream(dir, name, file)
			if err != nil {
				return fmt.Errorf("cannot prepare the container's %s: %w", name, err)
			}
			p.streams = append(p.streams, st)
		}
		if s.Stdin {
			var err error
			if p.stdin, err = openFIFO(filepath.Join(dir, "stdin")); err != nil {
				return fmt.Errorf("cannot prepare the container's stdin: %w", err)
			}
		}
		return p.recover()
	}()
	if err != nil {
		return nil, errors.Join(err, p.release())
	}
	p.keep()
	for _, st := range p.streams {
		go st.run()
	}
	return p, nil
}

// keep has the FIFOs held for the case that Solopod ends. The output's writing ends are not held: their closing tells
// that all has been written.
func (p *Pump) keep() {
	files := make([]keep.File, 0, 3)
	for _, st := range p.streams {
		files = append(files, keep.File{Path: st.fifo.Name(), Flags: unix.O_RDONLY})
	}
	if p.stdin != nil {
		// Without a writer the container would see the end of its input.
		files = append(files, keep.File{Path: p.stdin.Name(), Flags: unix.O_RDWR})
	}
	p.keeper.Hold(p.dir, files)
}

func openStream(dir, name string, file *File) (*stream, error) {
	fifo, err := openFIFO(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	j, err := openJournal(filepath.Join(dir, name+".journal"))
	if err != nil {
		return nil, errors.Join(err, fifo.Close())
	}
	return &stream{name: name, fifo: fifo, journal: j, file: file, done: make(chan struct{})}, nil
}

// openFIFO opens for reading and writing: it never waits for the other side, and never sees its end.
func openFIFO(path string) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("cannot make a FIFO: %w", err)
	}
	return os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
}

// recover replays the journals: first the one that was writing, so that the log's size fits.
func (p *Pump) recover() error {
	for _, st := range p.streams {
		phase, start, end := st.journal.load()
		if phase != phaseWriting {
			continue
		}
		if err := p.file.cut(int64(atomic.LoadUint64(st.journal.size))); err != nil {
			return err
		}
		if err := st.flush(start, end, false); err != nil {
			return err
		}
	}
	for _, st := range p.streams {
		phase, start, end := st.journal.load()
		if phase == phaseReading {
			end = st.journal.recovered(end)
			st.journal.store(phaseIdle, start, end)
		}
		if err := st.flush(start, end, false); err != nil {
			return err
		}
	}
	return nil
}

// Paths returns where the FIFOs lie.
func (p *Pump) Paths() Paths {
	out := Paths{Stdout: filepath.Join(p.dir, "stdout")}
	if len(p.streams) > 1 {
		out.Stderr = filepath.Join(p.dir, "stderr")
	}
	if p.stdin != nil {
		out.Stdin = filepath.Join(p.dir, "stdin")
	}
	return out
}

// Detach stops reading and leaves FIFOs and journals for the next run.
func (p *Pump) Detach() error {
	p.stop()
	return errors.Join(p.release(), p.file.Close())
}

// Drain reads until the shim has closed its ends of the FIFOs, which it does when it has copied all that the container
// wrote, or until ctx ends; then it writes an unfinished last line. The container has ended, and its process record must
// not be deleted before: a shim that is told to delete gives up what it has not copied (containerd, runc-shim
// process/init.go). An error means that output may be missing from the log; it is safe to call Finish nevertheless.
func (p *Pump) Drain(ctx context.Context) error {
	p.stop()
	var errs []error
	for _, st := range p.streams {
		errs = append(errs, st.drain(ctx))
	}
	return errors.Join(errs...)
}

// Finish lets go of everything and removes FIFOs and journals.
func (p *Pump) Finish() error {
	p.stop()
	p.keeper.Drop(p.dir)
	return errors.Join(p.release(), p.file.Close(), os.RemoveAll(p.dir))
}

// CloseStdin lets go of the container's input; it ends when the shim has let go of it as well.
func (p *Pump) CloseStdin() error {
	if p.stdin == nil {
		return nil
	}
	err := p.stdin.Close()
	p.stdin = nil
	p.keep()
	return err
}

// stop ends the readers.
func (p *Pump) stop() {
	for _, st := range p.streams {
		st.fifo.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // a FIFO supports deadlines
	}
	for _, st := range p.streams {
		<-st.done
	}
}

func (p *Pump) release() error {
	var errs []error
	for _, st := range p.streams {
		errs = append(errs, st.fifo.Close(), st.journal.close())
	}
	if p.stdin != nil {
		errs = append(errs, p.stdin.Close())
	}
	return errors.Join(errs...)
}

// run reads until stop.
func (s *stream) run() {
	defer close(s.done)
	conn, err := s.fifo.SyscallConn()
	if err != nil {
		slog.Error("cannot read a container's output", "stream", s.name, "err", err)
		return
	}
	for {
		// The callback returns false to wait for the FIFO to become readable.
		err := conn.Read(func(fd uintptr) bool {
			n, err := s.step(int(fd))
			if err != nil && !s.broke {
				s.broke = true // once: a full disk would repeat it with every line
				slog.Error("cannot write a container's log; its output waits", "log", s.file.path, "err", err)
			}
			if err != nil {
				return true
			}
			s.broke = false
			return n > 0
		})
		if err != nil {
			return
		}
		if s.broke {
			time.Sleep(retryWrite) //nolint:forbidigo // a full disk has no event
		}
	}
}

// step moves one batch from the FIFO into the log. It returns the number of bytes read.
func (s *stream) step(fd int) (int, error) {
	phase, start, end := s.journal.load()
	if phase == phaseWriting { // the last write failed
		if err := s.flush(start, end, false); err != nil {
			return 0, err
		}
		_, start, end = s.journal.load()
	}
	start, end, full := s.journal.room(start, end)
	if full {
		if err := s.flush(start, end, true); err != nil {
			return 0, err
		}
		start, end, _ = s.journal.room(0, 0)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil || n == 0 {
		return 0, err
	}
	n = min(n, bufferSize-1-end) // one byte is kept for the newline that drain adds
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

// flush writes the whole lines of buf[start:end] to the log; with force also what has no end yet.
func (s *stream) flush(start, end int, force bool) error {
	var next int
	s.batch, next = format(s.batch[:0], s.name, s.journal.when(), s.journal.buf[start:end], force)
	if next == 0 {
		s.journal.store(phaseIdle, start, end)
		return nil
	}
	return s.file.transaction(func(size int64) []byte {
		atomic.StoreUint64(s.journal.size, uint64(size))
		s.journal.store(phaseWriting, start, end)
		return s.batch
	}, func() {
		s.journal.store(phaseIdle, start+next, end)
	})
}

// drain reads what is still to come and ends the last line.
func (s *stream) drain(ctx context.Context) error {
	if err := s.becomeReader(); err != nil {
		return err
	}
	for {
		n, err := s.step(int(s.fifo.Fd()))
		if err != nil {
			// A full disk may be emptied.
			select {
			case <-ctx.Done():
				return err
			case <-time.After(retryWrite):
			}
			continue
		}
		if n > 0 {
			continue
		}
		if over, err := s.wait(ctx); err != nil || over {
			return errors.Join(err, s.endLine())
		}
	}
}

// becomeReader lets go of the FIFO's writing end, so that the end of the others can be seen.
func (s *stream) becomeReader() error {
	fd, err := unix.Open(s.fifo.Name(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot reopen the container's %s: %w", s.name, err)
	}
	old := s.fifo
	s.fifo = os.NewFile(uintptr(fd), old.Name())
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
		case fds[0].Revents&unix.POLLIN != 0:
			return false, nil
		case fds[0].Revents&unix.POLLHUP != 0:
			return true, nil
		case ctx.Err() != nil:
			return true, fmt.Errorf("the container's %s is still open elsewhere: %w", s.name, ctx.Err())
		}
	}
}

// endLine writes what has no line end yet.
func (s *stream) endLine() error {
	_, start, end := s.journal.load()
	if start == end {
		return nil
	}
	s.journal.buf[end] = '\n'
	return s.flush(start, end+1, false)
}

// format appends the CRI form of data's lines to out: "<time> <stream> <F|P> <text>". Lines above maxLine are split
// into partial ones. It returns how many bytes of data it used; without force an unfinished line is left.
func format(out []byte, name string, at time.Time, data []byte, force bool) (formatted []byte, used int) {
	stamp := at.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
	line := func(tag byte, text []byte) {
		out = append(out, stamp...)
		out = append(out, ' ')
		out = append(out, name...)
		out = append(out, ' ', tag, ' ')
		out = append(out, text...)
		out = append(out, '\n')
	}
	for used < len(data) {
		rest := data[used:]
		i := bytes.IndexByte(rest, '\n')
		switch {
		case i >= 0 && i <= maxLine:
			line('F', rest[:i])
			used += i + 1
		case len(rest) >= maxLine:
			line('P', rest[:maxLine])
			used += maxLine
		case force:
			line('P', rest)
			used = len(data)
		default:
			return out, used
		}
	}
	return out, used
}
