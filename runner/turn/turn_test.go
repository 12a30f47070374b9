package turn

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// One at a time has the turn, also after another's panic; who waits for it gives up when he is no longer wanted, or when it takes too long.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10 * time.Second
		held := errors.New("the kernel does not answer")
		turn := New(limit, held)
		give, err := turn.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		never := func() error {
			t.Error("two have the turn")
			return nil
		}
		begun := time.Now()
		if err := turn.Do(t.Context(), never); !errors.Is(err, held) || time.Since(begun) != limit {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		why := errors.New("nobody wants it any more")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		if err := turn.Do(ctx, never); !errors.Is(err, why) {
			t.Error(err)
		}
		if _, ok := turn.Try(); ok {
			t.Error("two have the turn")
		}
		ended := make(chan error, 1)
		own := errors.New("own")
		go func() { ended <- turn.Do(t.Context(), func() error { return own }) }()
		synctest.Wait()
		give()
		if err := <-ended; !errors.Is(err, own) {
			t.Error(err)
		}
		func() {
			defer func() { recover() }()                         //nolint:errcheck // it is the test's own
			turn.Do(t.Context(), func() error { panic("oops") }) //nolint:errcheck // it does not return
		}()
		if give, ok := turn.Try(); !ok {
			t.Error("nobody has the turn, and it is not to be had")
		} else {
			give()
		}
	})
}
