package bridge

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// Who gives up the wait for the machine's lock leaves it to the others.
func TestLockMachine(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the lock is root's")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	unlock, err := lockMachine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		short, done := context.WithTimeout(ctx, time.Millisecond)
		if _, err := lockMachine(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a lock that is held: %v", err)
		}
		done()
	}
	unlock()
	again, err := lockMachine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
