package session

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/logs/reader"
)

// Logs writes a container's log to w; an empty container name means the pod's only one. With o.Follow it goes on until the
// container has ended and its log is complete, or ctx ends.
func (s *Sessions) Logs(ctx context.Context, namespace, name, container string, previous bool, o reader.Options, w io.Writer) error {
	pod, err := s.Pod(namespace, name)
	if err != nil {
		return err
	}
	status, err := pickContainer(pod, container)
	if err != nil {
		return err
	}
	attempt := int(status.RestartCount)
	if previous {
		if attempt--; attempt < 0 {
			return NotFound("container %s of pod %s/%s has no earlier attempt", status.Name, namespace, name)
		}
		o.Follow = false
	}
	path := s.dirs.LogFile(pod, status.Name, attempt)
	none := func(err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			why := ""
			if w := status.State.Waiting; w != nil {
				why = "; it is waiting: " + w.Reason
			}
			return NotFound("container %s of pod %s/%s has no log yet%s", status.Name, namespace, name, why)
		}
		return err
	}
	if err := s.find(ctx, path); err != nil {
		return none(err)
	}
	ended, stop := s.whenEnded(ctx, string(pod.UID), status.Name, attempt)
	defer stop()
	if previous || status.State.Running == nil {
		// The container has ended: its last words are on their way.
		timer := time.NewTimer(lastWords)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return none(s.read(ctx, path, o, w, ended))
}

// find looks for the log, for a moment: its disk may not answer.
func (s *Sessions) find(ctx context.Context, path string) error {
	_, err := aside.Do(ctx, &s.logs, filepath.Dir(path), lookUp, func() (struct{}, error) { return struct{}{}, reader.Find(path) })
	return err
}

// read reads the log until ctx ends, whatever its disk does. Nothing is written to w when it has returned.
func (s *Sessions) read(ctx context.Context, path string, o reader.Options, w io.Writer, ended <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	out := &gate{ctx: ctx, w: w, turn: make(chan struct{}, 1)}
	_, err := aside.Do(ctx, &s.logs, filepath.Dir(path), 0, func() (struct{}, error) {
		return struct{}{}, reader.Read(ctx, path, o, out, ended)
	})
	gone := ctx.Err() != nil
	cancel()
	out.turn <- struct{}{} // for good, when a write that goes on has ended
	if err != nil && !gone && out.failed == nil && !errors.Is(err, fs.ErrNotExist) {
		slog.Warn("cannot read a container's log to its end", "log", path, "err", err)
	}
	return err
}

// gate lets writes through until ctx has ended.
type gate struct {
	ctx    context.Context
	w      io.Writer
	turn   chan struct{} // taken by a write
	failed error         // of w; who has the turn may look at it
}

func (g *gate) Write(b []byte) (n int, err error) {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-g.ctx.Done():
	}
	if err := g.ctx.Err(); err != nil {
		return 0, err
	}
	n, err = g.w.Write(b)
	g.failed = err
	return n, err
}

// whenEnded closes its channel once an attempt of a container is over and its log is complete: the directory of its FIFOs is then
// gone. Where it does not go, or the file system does not say, that the attempt is over is enough, after a while. stop ends the
// watch, and must be called.
func (s *Sessions) whenEnded(ctx context.Context, uid, container string, attempt int) (ended <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	over, done := make(chan struct{}), make(chan struct{})
	changes, unsubscribe := s.pods.Subscribe()
	go func() {
		defer close(done)
		defer unsubscribe()
		if s.awaitEnd(ctx, uid, container, attempt, changes) {
			close(over)
		}
	}()
	return over, func() {
		cancel()
		<-done
	}
}

// awaitEnd returns true at the end of an attempt, and false when ctx ends.
func (s *Sessions) awaitEnd(ctx context.Context, uid, container string, attempt int, changes <-chan struct{}) bool {
	dir := s.dirs.ContainerDir(uid, container, attempt)
	gone := make(chan bool, 1) // of the one look that is under way
	look := func() {
		_, err := os.Lstat(dir)
		gone <- errors.Is(err, fs.ErrNotExist) // what cannot be looked at may be there
	}
	looking, again := true, false
	go look() // left behind when the file system does not answer: no more than one
	var limit <-chan time.Time
	for {
		switch over := s.isOver(uid, container, attempt); {
		case !over: // or it was not seen for a moment
			limit = nil
		case limit == nil:
			limit = time.After(completed)
		}
		select {
		case <-ctx.Done():
			return false
		case <-limit:
			return true
		case isGone := <-gone:
			if isGone {
				return true
			}
			looking = false
		case <-changes:
			again = true
		}
		if again && !looking {
			looking, again = true, false
			go look()
		}
	}
}

// isOver says whether the pod's status tells that an attempt has ended, or the pod is gone.
func (s *Sessions) isOver(uid, container string, attempt int) bool {
	for _, pod := range s.pods.Pods() {
		if string(pod.UID) != uid {
			continue
		}
		status, err := pickContainer(pod, container)
		if err != nil || int(status.RestartCount) > attempt || status.State.Terminated != nil {
			return true
		}
		// Between two attempts the first one still gives the number.
		w := status.State.Waiting
		return w != nil && w.Reason == "CrashLoopBackOff"
	}
	return true
}
