package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/term"
	v1 "k8s.io/api/core/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/solopod/solopod/api/streaming"
)

// terminal is what a session is with, and how it is connected to the user.
type terminal struct {
	namespace, container string
	stdin, tty           bool
}

func (t *terminal) register(f *pflag.FlagSet) {
	f.StringVarP(&t.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.StringVarP(&t.container, "container", "c", "", "container; needed when the pod has several")
	f.BoolVarP(&t.stdin, "stdin", "i", false, "pass the input on")
	f.BoolVarP(&t.tty, "tty", "t", false, "with a terminal")
}

// streams are the user's own, for one session; restore must be called at its end. With a terminal every key goes to the other
// side, Ctrl-C too.
func (t *terminal) streams(ctx context.Context) (s streaming.Streams, restore func(), err error) {
	s = streaming.Streams{Stdout: os.Stdout, Stderr: os.Stderr}
	restore = func() {}
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
	before, err := term.MakeRaw(fd)
	if err != nil {
		return s, restore, fmt.Errorf("cannot set the terminal up: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	s.Sizes = sizes(ctx, fd)
	return s, func() {
		cancel()
		term.Restore(fd, before) //nolint:errcheck // nothing can be done
	}, nil
}

// sizes are those of the terminal, the present one first, until ctx ends.
func sizes(ctx context.Context, fd int) <-chan remotecommand.TerminalSize {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	out := make(chan remotecommand.TerminalSize)
	go func() {
		defer close(out)
		defer signal.Stop(changed)
		for {
			if width, height, err := term.GetSize(fd); err == nil {
				select {
				case out <- remotecommand.TerminalSize{Width: uint16(width), Height: uint16(height)}:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
