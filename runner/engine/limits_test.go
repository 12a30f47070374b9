package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
			q := &queue{ready: make(chan struct{}, 1)}
			l := &stuck{entered: make(chan struct{}, 1), release: make(chan struct{})}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { q.deliver(ctx, l); close(done) }()
			q.put(Exit{ID: "first"})
			<-l.entered
			for range c.events {
				q.put(Exit{ID: "later"})
			}
			close(l.release)
			deadline := time.Now().Add(5 * time.Second)
			for {
				l.mu.Lock()
				exits, resyncs := len(l.exits), l.resyncs
				l.mu.Unlock()
				if exits == c.exits && resyncs == c.resyncs {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d events and %d resyncs came", exits, resyncs)
				}
				time.Sleep(time.Millisecond)
			}
			cancel()
			<-done
		})
	}
}

// Whatever hangs, a call returns at its limit or its caller's, and says which it was.
func TestLimits(t *testing.T) {
	e := &Engine{}
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

// blocked is a writer that nobody takes anything from.
type blocked struct{ release chan struct{} }

func (b blocked) Write(p []byte) (int, error) { <-b.release; return len(p), nil }

// The output of a process is delivered whole; who does not take it holds nobody up, and no FIFO stays.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	write := func(p *pipes) {
		f, err := os.OpenFile(p.stdout, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, "all of it"); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	var out safe
	p, err := openPipes(filepath.Join(dir, "good"), ExecIO{Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	write(p)
	if err := p.finish(t.Context()); err != nil || out.String() != "all of it" {
		t.Errorf("%q, %v", out.String(), err)
	}
	b := blocked{make(chan struct{})}
	if p, err = openPipes(filepath.Join(dir, "blocked"), ExecIO{Stdout: b, Stderr: b}); err != nil {
		t.Fatal(err)
	}
	write(p)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.finish(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody took the output: %v", err)
	}
	close(b.release)
	p.copying.Wait()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

type safe struct {
	mu   sync.Mutex
	text []byte
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	return len(p), nil
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}
