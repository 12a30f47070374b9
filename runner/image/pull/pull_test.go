package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/rescue"
)

// registry is a Fetch whose pulls end when the test says so.
type registry struct {
	began  chan string
	result chan error
	users  chan string
}

func newRegistry() *registry {
	return &registry{began: make(chan string, 100), result: make(chan error), users: make(chan string, 100)}
}

func (r *registry) fetch(ctx context.Context, name string, login remote.Login) (engine.Image, error) {
	user, _, _ := login("registry.example")
	r.users <- user
	r.began <- name
	select {
	case err := <-r.result:
		return engine.Image{Name: name}, err
	case <-ctx.Done():
		return engine.Image{}, context.Cause(ctx)
	}
}

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(5 * time.Second):
		t.Fatal("nothing came within 5 s")
		panic("not reached")
	}
}

// begin pulls in the background.
func begin(ctx context.Context, p *Puller, name string, logins Credentials) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := p.Pull(ctx, name, logins)
		done <- err
	}()
	return done
}

// A pull that trips code over fails, and the next one has its slot.
func TestPanic(t *testing.T) {
	p := New(func(context.Context, string, remote.Login) (engine.Image, error) {
		panic("over an image")
	}, 0)
	for range AtOnce + 1 {
		if err := next(t, begin(t.Context(), p, "app", nil)); !errors.Is(err, rescue.ErrPanicked) {
			t.Error(err)
		}
	}
}

// An image is pulled once for all who want it; who stops waiting does not stop the others.
func TestOncePerImage(t *testing.T) { synctest.Test(t, oncePerImage) }

func oncePerImage(t *testing.T) {
	r := newRegistry()
	p := New(r.fetch, 0)
	ctx, cancel := context.WithCancel(t.Context())
	first := begin(ctx, p, "app", nil)
	next(t, r.began)
	second := begin(t.Context(), p, "app", nil)
	synctest.Wait()
	cancel()
	if err := next(t, first); !errors.Is(err, context.Canceled) {
		t.Errorf("who stopped waiting got %v", err)
	}
	r.result <- nil
	if err := next(t, second); err != nil {
		t.Errorf("who waited on got %v", err)
	}
	if len(r.began) > 0 {
		t.Error("it was pulled twice")
	}
}

// A pull that nobody wants any more is cancelled, and its slot is free.
func TestUnwantedPullsEnd(t *testing.T) { synctest.Test(t, unwantedPullsEnd) }

func unwantedPullsEnd(t *testing.T) {
	r := newRegistry()
	p := New(r.fetch, 0)
	ctx, cancel := context.WithCancel(t.Context())
	var done []<-chan error
	for _, name := range []string{"a", "b", "c", "waits for a slot"} {
		done = append(done, begin(ctx, p, name, nil))
	}
	synctest.Wait()
	for range AtOnce {
		next(t, r.began)
	}
	if len(r.began) > 0 {
		t.Errorf("more than %d are pulled at once", AtOnce)
	}
	cancel()
	for _, d := range done {
		if err := next(t, d); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	synctest.Wait()
	for len(r.began) > 0 { // the fourth may have had its turn between the ends of the others
		<-r.began
	}
	other := begin(t.Context(), p, "other", nil)
	if name := next(t, r.began); name != "other" {
		t.Errorf("%s was pulled though nobody wants it", name)
	}
	r.result <- nil
	if err := next(t, other); err != nil {
		t.Error(err)
	}
}

// Who has other credentials than the pull that failed tries again with them.
func TestOwnCredentials(t *testing.T) { synctest.Test(t, ownCredentials) }

func ownCredentials(t *testing.T) {
	r := newRegistry()
	p := New(r.fetch, 0)
	denied := errors.New("denied")
	first := begin(t.Context(), p, "app", Credentials{"registry.example": {User: "one"}})
	next(t, r.began)
	same := begin(t.Context(), p, "app", Credentials{"registry.example": {User: "one"}})
	other := begin(t.Context(), p, "app", Credentials{"registry.example": {User: "two"}})
	synctest.Wait()
	r.result <- denied
	if a, b := next(t, first), next(t, same); !errors.Is(a, denied) || !errors.Is(b, denied) {
		t.Errorf("%v, %v", a, b)
	}
	next(t, r.began)
	r.result <- nil
	if err := next(t, other); err != nil {
		t.Error(err)
	}
	if a, b := next(t, r.users), next(t, r.users); a != "one" || b != "two" {
		t.Errorf("pulled as %s and %s", a, b)
	}
}

// A registry that sends back what it was sent does not bring it into events and the log.
func TestEchoedPassword(t *testing.T) {
	r := newRegistry()
	p := New(r.fetch, 0)
	done := begin(t.Context(), p, "registry.example/app", Credentials{"registry.example": {"me", "hunter2"}, "other.example": {"me", "1"}})
	next(t, r.began)
	r.result <- fmt.Errorf("denied: hunter2, Basic bWU6aHVudGVyMg==, 1 try: %w", io.EOF)
	err := next(t, done)
	const want = "denied: (password for registry.example), Basic (password for registry.example), 1 try: EOF"
	if err == nil || err.Error() != want || !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}
