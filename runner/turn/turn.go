// Package turn has people wait for each other, one at a time, but not for ever.
package turn

import (
	"context"
	"time"
)

// Turn is whose it is. Whoever has it may wait for a kernel or a disk; one that does not answer must not hold all others, too: they give up.
type Turn struct {
	limit time.Duration
	held  error
	room  chan struct{}
}

// New makes a Turn that nobody has. held is the error of whoever has waited for it as long as the limit.
func New(limit time.Duration, held error) Turn { return Turn{limit, held, make(chan struct{}, 1)} }

// Take waits for the turn. Whoever gets it must call give once. The error is that of New, or why ctx has ended.
func (t Turn) Take(ctx context.Context) (give func(), err error) {
	timer := time.NewTimer(t.limit)
	defer timer.Stop()
	select {
	case t.room <- struct{}{}:
		return t.give, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
		return nil, t.held
	}
}

// Try is Take for who does something else while another has the turn.
func (t Turn) Try() (give func(), ok bool) {
	select {
	case t.room <- struct{}{}:
		return t.give, true
	default:
		return nil, false
	}
}

func (t Turn) give() { <-t.room }

// Do does something when nobody else does. Its error may be that of Take.
func (t Turn) Do(ctx context.Context, f func() error) error {
	give, err := t.Take(ctx)
	if err != nil {
		return err
	}
	defer give()
	return f()
}
