package cli

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Ctrl-C ends commands that wait for input which never comes.
func TestInterruptedInput(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "-"}, {"check", fifo}, {"convert", "-"}} {
		ctx, interrupt := context.WithCancel(t.Context())
		silent, w := io.Pipe()
		root := Command()
		root.SetIn(silent)
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		root.SetArgs(args)
		ended := make(chan error, 1)
		go func() { ended <- root.ExecuteContext(ctx) }()
		interrupt()
		select {
		case err := <-ended:
			var exit exitError
			if !errors.As(err, &exit) || exit.code != 130 {
				t.Errorf("%q: %v", args, err)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%q still waits", args)
		}
		w.Close()
	}
}
