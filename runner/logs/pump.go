package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/logs/spool"
	"github.com/solopod/solopod/runner/rescue"
)

// Pump carries the output of one container. It owns its FIFOs, their journals and the log file. Its methods are safe for
// concurrent use, and those with a context wait no longer than that: what is stuck in a disk is left behind.
type Pump struct {
	file    *logfile.File
	streams []*stream
	dir     string
	keeper  Keeper
	// ending is closed when the streams are no longer read while the container runs.
	ending  chan struct{}
	endOnce sync.Once
	// trouble is why the Pump works without a journal, nil when it has one. Nothing is lost by that but, when Solopod is killed, what it
	// has read and not yet written.
	trouble error

	mu    sync.Mutex
	stdin *os.File
}

// Keeper holds FIFOs open while Solopod is away, so that what a container wrote before it ended stays in them. Package
// keep implements it. Its methods must not wait.
type Keeper interface {
	Hold(key string, files []keep.File)
	Drop(key string)
}

// Streams says which FIFOs a container has.
type Streams struct {
	Stdin    bool
	Terminal bool // one output stream
	Keeper   Keeper
	// Spool takes what the log's disk does not when the container has ended; nil means that it is lost then.
	Spool *spool.Spool
}

// Paths of the FIFOs, for the shim.
type Paths struct{ Stdin, Stdout, Stderr string }

// Open makes or reopens the FIFOs and journals of a container in dir, and starts to read; what an earlier run left is
// written first. The log is opened by the Pump's goroutines: where it cannot be, output waits, and the container may be
// started nevertheless. A journal that cannot be had is no error, and logged. The caller owns the Pump and must Detach
// it, or Drain and Finish it; the File is the Pump's if there is no error.
func Open(dir string, file *logfile.File, s Streams) (*Pump, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	p := &Pump{file: file, dir: dir, keeper: s.Keeper, ending: make(chan struct{})}
	names := []string{"stdout", "stderr"}
	if s.Terminal {
		names = names[:1]
	}
	for _, name := range names {
		st, trouble, err := openStream(dir, name, file, s.Spool)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot prepare the container's %s: %w", name, err), p.abandon())
		}
		if trouble != nil && p.trouble == nil {
			p.trouble = fmt.Errorf("output of a container is lost if Solopod is killed while it writes it to the log: %w", trouble)
		}
		p.streams = append(p.streams, st)
	}
	if s.Stdin {
		var err error
		if p.stdin, err = openFIFO(filepath.Join(dir, "stdin")); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot prepare the container's stdin: %w", err), p.abandon())
		}
	}
	if p.trouble != nil {
		slog.Warn("a container's log is written without a journal", "log", file.Path(), "err", p.trouble)
	}
	for _, st := range p.streams {
		st.expectTorn()
	}
	p.keep()
	made := make(chan struct{}, len(p.streams))
	for _, st := range p.streams {
		go st.run(p.ending, made)
	}
	select { // who asks for the log at once shall find it
	case <-made:
	case <-time.After(firstLook):
	}
	return p, nil
}

// firstLook is how long a disk may take to make a log before the container is started without it.
const firstLook = 500 * time.Millisecond

func makeDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if errors.Is(err, unix.ENOTDIR) {
		if err = os.Rename(dir, dir+durable.AsideSuffix); err == nil {
			err = os.MkdirAll(dir, 0o700)
		}
	}
	return err
}

// abandon closes what was opened before the Pump has begun.
func (p *Pump) abandon() error {
	var errs []error
	for _, st := range p.streams {
		errs = append(errs, st.close())
	}
	return errors.Join(errs...)
}

// keep has the FIFOs held for the case that Solopod ends. The output's writing ends are not held: their closing tells
// that all has been written.
func (p *Pump) keep() {
	files := make([]keep.File, 0, 3)
	for _, st := range p.streams {
		files = append(files, keep.File{Path: st.path, Flags: unix.O_RDONLY})
	}
	p.mu.Lock()
	stdin := p.stdin
	p.mu.Unlock()
	if stdin != nil {
		// Without a writer the container would see the end of its input.
		files = append(files, keep.File{Path: stdin.Name(), Flags: unix.O_RDWR})
	}
	p.keeper.Hold(p.dir, files)
}

// openFIFO opens for reading and writing: it never waits for the other side, and never sees its end. Something else in its
// place is set aside.
func openFIFO(path string) (*os.File, error) {
	for try := 0; ; try++ {
		if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("cannot make a FIFO: %w", &os.PathError{Op: "mkfifo", Path: path, Err: err})
		}
		f, err := foreign.OpenFIFO(path, os.O_RDWR)
		var kind *foreign.KindError
		if !errors.As(err, &kind) || try > 0 {
			return f, err
		}
		slog.Warn("what is in the place of a FIFO is set aside", "file", path+durable.AsideSuffix, "err", err)
		if err := os.Rename(path, path+durable.AsideSuffix); err != nil {
			return nil, err
		}
	}
}

// Paths returns where the FIFOs lie.
func (p *Pump) Paths() Paths {
	out := Paths{Stdout: filepath.Join(p.dir, "stdout")}
	if len(p.streams) > 1 {
		out.Stderr = filepath.Join(p.dir, "stderr")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin != nil {
		out.Stdin = filepath.Join(p.dir, "stdin")
	}
	return out
}

// Detach stops reading and leaves FIFOs and journals for the next run. An error may be that a stream is left behind: the
// next run finds all the same what it has not written.
func (p *Pump) Detach(ctx context.Context) error {
	return p.end(ctx, (*stream).detach)
}

// Drain reads until the shim has closed its ends of the FIFOs, which it does when it has copied all that the container
// wrote, or until ctx ends; then it writes last lines that have no end, behind what the other stream says. The container has
// ended, and its process record must not be deleted before: a shim that is told to delete gives up what it has not copied
// (containerd, runc-shim process/init.go). What the log does not take goes to the Spool. An error means that output may be
// missing from the log; it is safe to call Finish nevertheless.
func (p *Pump) Drain(ctx context.Context) error {
	p.stopReading()
	err := p.each(ctx, func(st *stream) error { return st.drain(ctx) })
	if errors.Is(err, ErrLeftBehind) {
		return err
	}
	return errors.Join(err, p.each(ctx, (*stream).endLine))
}

// Finish writes what is left, or gives it to the Spool, lets go of everything and removes FIFOs and journals. An error may be
// that a stream is left behind: it then writes what it has when it can.
func (p *Pump) Finish(ctx context.Context) error {
	err := p.end(ctx, (*stream).finish)
	p.keeper.Drop(p.dir)
	return errors.Join(err, foreign.RemoveAll(p.dir))
}

// end stops reading, has every stream end itself, and closes the file.
func (p *Pump) end(ctx context.Context, each func(*stream) error) error {
	p.stopReading()
	err := errors.Join(p.letGoOfStdin(), p.each(ctx, each))
	if !errors.Is(err, ErrLeftBehind) {
		return errors.Join(err, p.file.Close())
	}
	return err // the file's streams are in it; it is closed when nobody refers to it any more
}

// ErrLeftBehind is returned for a stream that is stuck, in the disk of its log most likely.
var ErrLeftBehind = errors.New("a container's log is stuck and was left behind")

// lag is how long after the end of a context a stream may take to heed it.
const lag = time.Second

var leftBehind atomic.Int64

// LeftBehind is the number of streams that are stuck now and that nobody waits for any more.
func LeftBehind() int64 { return leftBehind.Load() }

// leave counts a stream, once, as left behind; returned is called for each time.
func (s *stream) leave() {
	if s.left.Add(1) == 1 {
		leftBehind.Add(1)
	}
}

func (s *stream) returned() {
	if s.left.Add(-1) == 0 {
		leftBehind.Add(-1)
	}
}

// each lets every stream do something, in a goroutine that owns the stream meanwhile, and waits for them while ctx lasts.
// One that is stuck goes on when it can, and is counted until then.
func (p *Pump) each(ctx context.Context, do func(*stream) error) error {
	type result struct {
		stream *stream
		err    error
	}
	results, waiting := make(chan result, len(p.streams)), map[*stream]bool{}
	for _, st := range p.streams {
		waiting[st] = true
		go func() {
			<-st.turn
			err := rescue.Do("end a container's log", func() error { return do(st) })
			st.turn <- struct{}{}
			results <- result{st, err}
		}()
	}
	var errs []error
	over := after(ctx, lag)
	for len(waiting) > 0 {
		select {
		case r := <-results:
			errs = append(errs, r.err)
			delete(waiting, r.stream)
		case <-over:
			for st := range waiting {
				st.leave()
			}
			go func() {
				for range len(waiting) {
					r := <-results
					r.stream.returned()
					slog.Warn("a container's log that was stuck has been let go of", "log", p.file.Path(), "stream", r.stream.name, "err", r.err)
				}
			}()
			return errors.Join(append(errs, fmt.Errorf("%s: %w", p.file.Path(), ErrLeftBehind))...)
		}
	}
	return errors.Join(errs...)
}

// after is closed some time after ctx has ended; never, if ctx never ends.
func after(ctx context.Context, lag time.Duration) <-chan struct{} {
	over := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(lag, func() { close(over) }) })
	return over
}

// CloseStdin lets go of the container's input; it ends when the shim has let go of it as well.
func (p *Pump) CloseStdin() error {
	p.mu.Lock()
	none := p.stdin == nil
	p.mu.Unlock()
	if none {
		return nil
	}
	err := p.letGoOfStdin()
	p.keep()
	return err
}

func (p *Pump) letGoOfStdin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin == nil {
		return nil
	}
	err := p.stdin.Close()
	p.stdin = nil
	return err
}

// stopReading ends the streams' own loops.
func (p *Pump) stopReading() {
	p.endOnce.Do(func() {
		close(p.ending)
		for _, st := range p.streams {
			st.fifo.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // a FIFO supports deadlines
		}
	})
}
