package session

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/logs/reader"
)

// Attach connects to a container's main process until that ends, or ctx does. Output comes by way of the log, from this moment
// on, so that nothing is taken from it. A read of sio.Stdin that waits when the session ends is left waiting: who made the
// stream closes it.
func (s *Sessions) Attach(ctx context.Context, ns, pod, container string, sio engine.ExecIO) error {
	in, err := s.enter(ns, pod, container)
	if err != nil {
		return err
	}
	var helpers sync.WaitGroup
	defer helpers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := reader.Options{Tail: 0, Follow: true, Stderr: sio.Stderr}
	if sio.Stdin != nil {
		// What the container says to its input must not pass for old.
		if o.Positioned, err = s.attachStdin(ctx, in, sio.Stdin); err != nil {
			return err
		}
	}
	if sio.Sizes != nil {
		helpers.Go(func() { s.resize(ctx, in.id, sio.Sizes) })
	}
	out := sio.Stdout
	if out == nil {
		out = io.Discard
	}
	if sio.Stderr == nil {
		o.Stderr = io.Discard
	}
	ended, stop := s.whenEnded(ctx, in.uid(), in.spec.Name, in.attempt)
	defer stop()
	return reader.Read(ctx, s.dirs.LogFile(in.pod, in.spec.Name, in.attempt), o, out, ended)
}

// resize tells the container's terminal its sizes, until the session ends.
func (s *Sessions) resize(ctx context.Context, id string, sizes <-chan engine.Size) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok {
				return
			}
			limited, cancel := context.WithTimeout(ctx, resizeLimit)
			s.engine.Resize(limited, id, size)
			cancel()
		case <-ctx.Done():
			return
		}
	}
}

// attachStdin reaches a container's input; begin copies the user's to it, until ctx ends. With stdinOnce its end is the end of
// the container's; not with a terminal, which would be hung up, as with containerd's CRI.
func (s *Sessions) attachStdin(ctx context.Context, in *inside, stdin io.Reader) (begin func(), err error) {
	if !in.spec.Stdin {
		return nil, fmt.Errorf("container %s reads no input; set stdin: true in its manifest", in.spec.Name)
	}
	fifo, err := foreign.OpenFIFO(filepath.Join(s.dirs.StreamDir(in.uid(), in.spec.Name, in.attempt), "stdin"), os.O_WRONLY)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the container's input: %w", err)
	}
	// A container that does not read holds a write back: closing ends that.
	context.AfterFunc(ctx, func() { fifo.Close() }) //nolint:errcheck // the copying ends then
	copying := func() {
		io.Copy(fifo, stdin) //nolint:errcheck // the session's end
		fifo.Close()         //nolint:errcheck // all was written
		if in.spec.StdinOnce && !in.spec.TTY {
			s.pods.CloseStdin(in.id)
		}
	}
	return func() { go copying() }, nil
}
