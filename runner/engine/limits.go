package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"github.com/solopod/solopod/runner/rescue"
)

// Every call to containerd has one of these limits, whatever its caller allows: a containerd outside may be stopped, a shim may be
// swapped out or frozen, an OCI runtime may wait for a disk for ever. A call that needed its whole limit returns ErrUnanswered.
const (
	// answerLimit is for what containerd answers from its database. That is milliseconds; a transaction on slow flash that other
	// writers keep busy was seen to take seconds.
	answerLimit = 15 * time.Second
	// stateLimit is for the state of a process, which its shim knows: a millisecond. containerd itself gives a shim 2 s (its
	// io.containerd.timeout.task.state), so that its own answer comes first.
	stateLimit = 3 * time.Second
	// createLimit is for an OCI runtime's create, and the start of a shim: 40 ms here, seconds on a busy small box. The kubelet gives
	// a runtime 2 min (runtimeRequestTimeout).
	createLimit = 2 * time.Minute
	// startLimit is for an OCI runtime's start, which runs the OCI hooks of the spec.
	startLimit = time.Minute
	// signalLimit is for a signal, which an OCI runtime is executed for, and for what is as quick: resources, a terminal's size.
	signalLimit = 10 * time.Second
	// endLimit is how long a process that was sent SIGKILL may take to end. One in the D state, or frozen, does not end.
	endLimit = 10 * time.Second
	// removeLimit is for the removal of a process that has ended. The shim unmounts the root file system, and waits up to 10 s for
	// output that nobody reads (containerd 2.1; 2 s on 1.6).
	removeLimit = 30 * time.Second
	// snapshotLimit is for the making and removal of a snapshot: directories, and a removal deletes a container's files.
	snapshotLimit = time.Minute
	// undoLimit is how long what failed, or is over, may take, all in all, to remove what it has made, also when its context has ended.
	undoLimit = 5 * time.Second
	// killedLimit is how long an Exec that is over waits for its process, which was sent SIGKILL, before it returns without it.
	killedLimit = 2 * time.Second
	// abandonedLimit is how long such a process is looked after in the background; it goes with its container at the latest.
	abandonedLimit = 30 * time.Second
	// checkpointLimit is for CRIU, which writes all memory of a container to the disk.
	checkpointLimit = 10 * time.Minute
	// importLimit is for one archive and pullLimit for one image: gigabytes, from a slow disk or link to slow flash.
	importLimit = 30 * time.Minute
	pullLimit   = 30 * time.Minute
	// unpackedLimit is for what reads an image's files: a mount, and a small file or two.
	unpackedLimit = 30 * time.Second
	// copyLimit is for what an image has in its volumes, which each container gets a copy of.
	copyLimit = time.Minute
	// partsLimit is for records of the content and layers of all images: some calls for each.
	partsLimit = time.Minute
	// repairLimit is for reading everything that an interrupted import or pull has left, and whatever is removed of it.
	repairLimit = 10 * time.Minute
	// strayLimit bounds the search for processes without a container's record, and their end, at a start.
	strayLimit = 20 * time.Second
	// connectLimit is for the connection to containerd at the start, when it may be starting too.
	connectLimit = 10 * time.Second
	// closeLimit is how long Close waits for what goes on in the background.
	closeLimit = 2 * time.Second
)

// call runs one request to containerd, for at most limit. Its error says what could not be done, and is of this package's kinds
// where it has one.
func (c *connection) call(ctx context.Context, limit time.Duration, what string, request func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(inNamespace(ctx), limit)
	defer cancel()
	err := request(bounded)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("cannot %s: %w", what, context.Cause(ctx))
	case bounded.Err() != nil:
		return fmt.Errorf("cannot %s: %w within %s", what, ErrUnanswered, limit)
	}
	return fmt.Errorf("cannot %s: %w", what, native(err))
}

// detached is for what must still be done when ctx has ended. It lasts for limit at most.
func detached(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// within runs f, which may hang in a system call, and returns when f does, or when ctx or limit ends: then f is left behind, its
// context ended, until the system call returns. What f writes to may not be used by the caller in that case.
func (c *connection) within(ctx context.Context, limit time.Duration, what string, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(inNamespace(ctx), limit)
	done := make(chan error, 1)
	c.background.Go(func() {
		defer cancel()
		done <- rescue.Do(what, func() error { return f(bounded) })
	})
	select {
	case err := <-done:
		return err
	case <-bounded.Done():
	}
	select {
	case err := <-done: // both at once
		return err
	default:
	}
	if ctx.Err() != nil {
		return fmt.Errorf("cannot %s: %w", what, context.Cause(ctx))
	}
	return fmt.Errorf("cannot %s: %w within %s", what, ErrUnanswered, limit)
}

// native turns containerd's error kinds into this package's. What the task service returns has gRPC's kinds, what the other
// services' clients return has containerd's own.
func native(err error) error {
	if err == nil {
		return nil
	}
	known := err
	if errors.Is(errdefs.Resolve(err), errdefs.ErrUnknown) {
		known = errgrpc.ToNative(err)
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errdefs.IsNotFound(known):
		return fmt.Errorf("%w: %w", ErrNotFound, known)
	case errors.Is(known, context.DeadlineExceeded), errdefs.IsDeadlineExceeded(known):
		return fmt.Errorf("%w: %w", ErrUnanswered, known) // containerd's own limit
	}
	return known
}
