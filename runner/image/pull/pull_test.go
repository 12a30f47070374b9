package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/runner/engine"
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

func (r *registry) fetch(ctx context.Context, name string, _ *http.Client, login func(string) (string, string, error)) (engine.Image, error) {
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
	p := New(func(context.Context, string, *http.Client, func(string) (string, string, error)) (engine.Image, error) {
		panic("over an image")
	})
	for range atOnce + 1 {
		if err := next(t, begin(t.Context(), p, "app", nil)); !errors.Is(err, rescue.ErrPanicked) {
			t.Error(err)
		}
	}
}

// An image is pulled once for all who want it; who stops waiting does not stop the others.
func TestOncePerImage(t *testing.T) { synctest.Test(t, oncePerImage) }

func oncePerImage(t *testing.T) {
	r := newRegistry()
	p := New(r.fetch)
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
	p := New(r.fetch)
	ctx, cancel := context.WithCancel(t.Context())
	var done []<-chan error
	for _, name := range []string{"a", "b", "c", "waits for a slot"} {
		done = append(done, begin(ctx, p, name, nil))
	}
	synctest.Wait()
	for range atOnce {
		next(t, r.began)
	}
	if len(r.began) > 0 {
		t.Errorf("more than %d are pulled at once", atOnce)
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
	p := New(r.fetch)
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

// A registry that stops in the middle of an answer, or never answers, is told from one that is slow.
func TestStalledRegistry(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const quiet = 200 * time.Millisecond
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow": // all in all longer than a stall
			for range 6 {
				fmt.Fprint(w, "x")
				w.(http.Flusher).Flush()
				<-time.After(quiet / 4)
			}
		case "/middle":
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			<-r.Context().Done()
		}
	})}
	go server.Serve(listener) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { server.Close() })
	client := newClient(quiet)
	for path, stalled := range map[string]bool{"/slow": false, "/middle": true, "/never": true} {
		resp, err := client.Get("http://" + listener.Addr().String() + path)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if errors.Is(err, ErrStalled) != stalled || err != nil && !stalled {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A registry that sends back what it was sent does not bring it into events and the log.
func TestEchoedPassword(t *testing.T) {
	r := newRegistry()
	p := New(r.fetch)
	done := begin(t.Context(), p, "registry.example/app", Credentials{"registry.example": {"me", "hunter2"}, "other.example": {"me", "1"}})
	next(t, r.began)
	r.result <- fmt.Errorf("denied: hunter2, Basic bWU6aHVudGVyMg==, 1 try: %w", io.EOF)
	err := next(t, done)
	const want = "denied: (password for registry.example), Basic (password for registry.example), 1 try: EOF"
	if err == nil || err.Error() != want || !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}
