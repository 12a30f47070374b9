package clock

import (
	"context"
	"testing"
	"time"
)

// The clock is not set here: it is the machine's, and others live by it. test/vm sets one.
func TestOffset(t *testing.T) {
	now := Offset()
	if moved := Moved(now); moved != 0 {
		t.Errorf("it moved by %s by itself", moved)
	}
	if moved := Moved(now - time.Hour); (moved - time.Hour).Abs() > time.Second {
		t.Errorf("an hour is %s", moved)
	}
	if moved := Moved(now + Step/2); moved != 0 {
		t.Errorf("a drift counts as %s", moved)
	}
	if booted := Booted(now); !booted.Before(time.Now()) {
		t.Errorf("the machine was booted at %s", booted)
	}
}

func TestWatchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Watch(ctx, func(moved time.Duration) { t.Errorf("the clock was moved by %s", moved) })
	}()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}
