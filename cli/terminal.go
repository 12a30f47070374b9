package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
	v1 "k8s.io/api/core/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/solopod/solopod/api/streaming"
	"github.com/solopod/solopod/cli/modes"
)

// terminal is what a session is with, and how it is connected to the user.
type terminal struct {
	namespace, container string
	stdin, tty, quiet    bool
}

func (t *terminal) register(f *pflag.FlagSet) {
	f.StringVarP(&t.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.StringVarP(&t.container, "container", "c", "", "container; else the one that the pod's annotation "+defaultContainerAnnotation+" names, or its first")
	f.BoolVarP(&t.stdin, "stdin", "i", false, "pass the input on")
	f.BoolVarP(&t.tty, "tty", "t", false, "with a terminal")
	f.BoolVarP(&t.quiet, "quiet", "q", false, "do not say which container was chosen")
}

// streams are the user's own, for one session; restore must be called at its end, with what it ended with. With a terminal every key goes
// to the other side, Ctrl-C and Ctrl-Z too.
func (t *terminal) streams(ctx context.Context) (s streaming.Streams, restore func(error), err error) {
	s = streaming.Streams{Stdout: os.Stdout, Stderr: os.Stderr}
	restore = func(error) {}
	if t.stdin {
		s.Stdin = os.Stdin
	}
	if !t.tty {
		return s, restore, nil
	}
	s.Stderr = nil
	fd := int(os.Stdin.Fd())
	if !t.stdin || !term.IsTerminal(fd) {
		fmt.Fprintln(os.Stderr, "the input is not a terminal; what you type is shown, and sent, line by line")
		s.Sizes = make(chan remotecommand.TerminalSize)
		return s, restore, nil
	}
	raw, err := makeRaw(fd)
	if err != nil {
		return s, restore, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s.Sizes = raw.follow(ctx)
	var shown modes.Writer
	if term.IsTerminal(int(os.Stdout.Fd())) {
		shown.W = os.Stdout
		s.Stdout = &shown
	}
	return s, func(end error) {
		cancel()
		raw.restore()
		if end != nil && shown.W != nil {
			io.WriteString(os.Stdout, shown.Undo()) //nolint:errcheck // nothing can be done
		}
	}, nil
}

// rawTerminal is the user's terminal while every key goes to the other side.
type rawTerminal struct {
	fd     int
	mu     sync.Mutex
	before *term.State
	over   bool
}

func makeRaw(fd int) (*rawTerminal, error) {
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("cannot set the terminal up: %w", err)
	}
	return &rawTerminal{fd: fd, before: before}, nil
}

// restore gives the terminal back as it was, for good.
func (r *rawTerminal) restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	term.Restore(r.fd, r.before) //nolint:errcheck // nothing can be done
}

// pause gives the terminal back while this process is stopped, as by kill -TSTP, and takes it again when it goes on.
func (r *rawTerminal) pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	goesOn := make(chan os.Signal, 1) // this thread may run on for a moment when all are stopped
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	term.Restore(r.fd, r.before) //nolint:errcheck // nothing can be done
	if unix.Kill(os.Getpid(), unix.SIGSTOP) == nil {
		<-goesOn
	}
	term.MakeRaw(r.fd) //nolint:errcheck // what it was before is known
}

// again takes the terminal again.
func (r *rawTerminal) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		term.MakeRaw(r.fd) //nolint:errcheck // what it was before is known
	}
}

// follow passes on the sizes of the terminal, the present one first, until ctx ends, and keeps the terminal in order when this process is
// stopped or ended by a signal meanwhile.
func (r *rawTerminal) follow(ctx context.Context) <-chan remotecommand.TerminalSize {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGHUP, syscall.SIGQUIT)
	out := make(chan remotecommand.TerminalSize)
	go func() {
		defer close(out)
		defer signal.Stop(signals)
		for {
			if width, height, err := term.GetSize(r.fd); err == nil {
				select {
				case out <- remotecommand.TerminalSize{Width: uint16(width), Height: uint16(height)}:
				case s := <-signals:
					r.got(s)
					continue
				case <-ctx.Done():
					return
				}
			}
			select {
			case s := <-signals:
				r.got(s)
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// got does what a signal asks for; a changed size is looked at anyway.
func (r *rawTerminal) got(s os.Signal) {
	switch s {
	case syscall.SIGTSTP:
		r.pause()
	case syscall.SIGCONT: // after SIGSTOP, of which nobody is told, a shell has set the terminal as it likes it
		r.again()
	case syscall.SIGHUP, syscall.SIGQUIT:
		r.restore()
		signal.Reset(s)
		unix.Kill(os.Getpid(), s.(syscall.Signal)) //nolint:errcheck,forcetypeassert // one may always end oneself
	}
}
