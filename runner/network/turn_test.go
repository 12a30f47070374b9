package network

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/network/isolate"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/runner/turn"
)

// A kernel that does not answer whoever writes what services and policies need holds nobody else for longer than he wants to wait.
func TestHeldTurn(t *testing.T) {
	n := New(Config{Bridge: "nothing0", StateDir: t.TempDir(), CNIConfDir: t.TempDir()})
	answers := make(chan struct{})
	for _, of := range []turn.Turn{n.serving.turn, n.policies.turn} {
		held, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- of.Do(context.Background(), func() error {
				close(held)
				<-answers
				return nil
			})
		}()
		<-held
		defer func() {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
	}
	defer close(answers)
	for name, wait := range map[string]func(context.Context) error{
		"counters": func(ctx context.Context) error {
			_, err := n.Traffic(ctx)
			return err
		},
		"services": func(ctx context.Context) error { return n.Serve(ctx, Serving{Table: &served.Table{}}) },
		"policies": func(ctx context.Context) error { return n.Isolate(ctx, isolate.Policies{}) },
		"a pod's start": func(ctx context.Context) error {
			n.serving.follow(ctx)
			return ctx.Err()
		},
		"mending": func(ctx context.Context) error {
			_, err := n.serving.mend(ctx)
			return errors.Join(err, ctx.Err())
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		begun := time.Now()
		if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: it takes %s", name, took)
		}
		cancel()
	}
}
