// Package program asks programs of others what they are: their versions, and what they can do.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxAnswer bounds what is taken of a program, in bytes.
const maxAnswer = 64 << 10

// Ask returns what a program writes. One that says more than 64 KiB, or does not end within limit, is killed, with what it has started, and
// is an error.
func Ask(ctx context.Context, limit time.Duration, path string, args ...string) ([]byte, error) {
	return Run{Path: path, Args: args}.Ask(ctx, limit)
}

// Run is a program, and what it gets. Env is its environment; none stands for the daemon's own.
type Run struct {
	Path      string
	Args, Env []string
	Input     []byte
}

// Ask is as the function of that name.
func (r Run) Ask(ctx context.Context, limit time.Duration) ([]byte, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.Path, r.Args...)
	cmd.Env = r.Env
	if r.Input != nil {
		cmd.Stdin = bytes.NewReader(r.Input)
	}
	// What the program has started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) } // it leads its group, and is not buried yet
	out := &beginning{full: cancel}
	cmd.Stdout, cmd.WaitDelay = out, time.Second
	err := cmd.Run()
	switch {
	case out.flooded:
		err = errFlood
	case outer.Err() != nil:
		err = fmt.Errorf("it does not answer in the time that is left: %w", context.Cause(outer))
	case ctx.Err() != nil:
		err = fmt.Errorf("it does not answer within %s", limit)
	case errors.Is(err, fs.ErrNotExist): // the file itself was found
		err = errors.New("the interpreter or loader that it names is not there")
	}
	return out.text, err
}

// errFlood: nothing that is asked for is so long.
var errFlood = errors.New("it says too much")

// beginning takes what is written, up to a bound; beyond it full is called, once the writer is told. It must not be a bytes.Buffer, which reads
// for itself what is copied to it, without a bound.
type beginning struct {
	full    func()
	text    []byte
	flooded bool
}

func (b *beginning) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > maxAnswer {
		b.flooded = true
		b.full()
		return 0, errFlood
	}
	b.text = append(b.text, p...)
	return len(p), nil
}
