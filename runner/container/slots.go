package container

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// slotLease is how long a creation may hold a slot. Slots bound what costs CPU; a runtime that takes longer than this hangs, or
// waits, and then costs none.
const slotLease = 5 * time.Second

// Slots bounds how many containers are created at the same time: on a small machine many at once are slower than a few.
type Slots struct{ free chan struct{} }

// NewSlots makes n slots, one at least.
func NewSlots(n int) *Slots { return &Slots{free: make(chan struct{}, max(n, 1))} }

// Take waits for a slot, or until ctx ends. The slot is free again when release is called, and after slotLease in any case.
func (s *Slots) Take(ctx context.Context) (release func(), err error) {
	select {
	case s.free <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("other containers are being created, and it was not this one's turn: %w", context.Cause(ctx))
	}
	var once sync.Once
	give := func() { once.Do(func() { <-s.free }) }
	timer := time.AfterFunc(slotLease, give)
	return func() {
		timer.Stop()
		give()
	}, nil
}
