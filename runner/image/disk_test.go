package image

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// A disk that hangs holds nobody up beyond their context, and however many wait, one sync more follows the one that hangs.
func TestFrozenDisk(t *testing.T) {
	var writes atomic.Int32
	thaw := make(chan struct{})
	d := &disk{write: func() error { writes.Add(1); <-thaw; return nil }}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for range 5 {
		if err := d.sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a frozen disk: %v", err)
		}
	}
	late := d.join()
	close(thaw)
	select {
	case <-late.done:
		if n := writes.Load(); late.err != nil || n != 2 {
			t.Errorf("%d syncs, %v", n, late.err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nothing is synced any more")
	}
}
