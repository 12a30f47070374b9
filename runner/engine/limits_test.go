package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/solopod/solopod/runner/rescue"
)

// stuck is a listener that returns when it is let go.
type stuck struct {
	mu      sync.Mutex
	exits   []string
	resyncs int
	entered chan struct{}
	release chan struct{}
}

func (s *stuck) Exited(x Exit) {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.release
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exits = append(s.exits, x.ID)
}

func (s *stuck) Resync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resyncs++
}

// A listener that hangs holds nobody up; it gets everything in order when it goes on, or is told that it missed some.
func TestQueueOutlivesItsListener(t *testing.T) {
	for name, c := range map[string]struct {
		events, exits, resyncs int
	}{
		"some":               {events: 10, exits: 11, resyncs: 0},
		"more than are kept": {events: maxQueued + 1, exits: 1, resyncs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &queue{ready: make(chan struct{}, 1)}
				l := &stuck{entered: make(chan struct{}, 1), release: make(chan struct{})}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go q.deliver(ctx, l)
				q.put(Exit{ID: "first"})
				<-l.entered
				for range c.events {
					q.put(Exit{ID: "later"})
				}
				close(l.release)
				synctest.Wait()
				if len(l.exits) != c.exits || l.resyncs != c.resyncs {
					t.Errorf("%d events and %d resyncs came", len(l.exits), l.resyncs)
				}
			})
		})
	}
}

// Whatever hangs, a call returns at its limit or its caller's, and says which it was.
func TestLimits(t *testing.T) {
	e := &connection{}
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	if err := e.call(t.Context(), time.Millisecond, "ask", hang); !errors.Is(err, ErrUnanswered) {
		t.Errorf("at the limit: %v", err)
	}
	gone := errors.New("not wanted any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := e.call(ctx, time.Hour, "ask", hang); !errors.Is(err, gone) {
		t.Errorf("when the caller leaves: %v", err)
	}
	release := make(chan struct{})
	deaf := func(context.Context) error { <-release; return nil }
	if err := e.within(t.Context(), time.Millisecond, "read", deaf); !errors.Is(err, ErrUnanswered) {
		t.Errorf("what does not heed its context: %v", err)
	}
	if err := e.within(ctx, time.Hour, "read", deaf); !errors.Is(err, gone) {
		t.Errorf("what does not heed its context, when the caller leaves: %v", err)
	}
	close(release)
	if err := e.within(t.Context(), time.Hour, "read", func(context.Context) error { panic("over an archive") }); !errors.Is(err, rescue.ErrPanicked) {
		t.Errorf("what panics: %v", err)
	}
	e.background.Wait()
}

func TestNative(t *testing.T) {
	for name, c := range map[string]struct{ err, is error }{
		"a status":              {status.Error(codes.NotFound, "no such task"), ErrNotFound},
		"containerd's own kind": {errdefs.ErrNotFound, ErrNotFound},
		"containerd's limit":    {status.Error(codes.DeadlineExceeded, "the shim"), ErrUnanswered},
		"a running process":     {status.Error(codes.FailedPrecondition, "it runs"), errdefs.ErrFailedPrecondition},
	} {
		if got := native(c.err); !errors.Is(got, c.is) {
			t.Errorf("%s: %v is not %v", name, got, c.is)
		}
	}
}
