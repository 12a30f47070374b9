// Package aside does what a file system may never answer, in goroutines that are left behind then. What is left behind holds a thread
// each, of which a process has a bounded number: while something hangs nothing more is begun in the same place, and little elsewhere.
package aside

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrHangs says that a place does not answer.
var ErrHangs = errors.New("its disk does not answer")

const (
	// most may be left behind at a time, before nothing is begun anywhere.
	most = 64
	// moment is how long something may take to heed that it is no longer wanted.
	moment = 2 * time.Second
)

// Places are where something may hang. The zero value is ready, and safe for concurrent use.
type Places struct {
	mu    sync.Mutex
	left  map[string]int // behind, by place
	total int
}

// Do does f and waits for its end, or until ctx has ended or, when it is not zero, limit has passed: f is left behind then, unless it
// ends in a moment, and what it returns is dropped. f must not use anything of the caller's from then on. While something is left behind
// in a place, or much is elsewhere, f is not begun there. The error is then ErrHangs, and so it is when limit has passed.
func Do[T any](ctx context.Context, p *Places, place string, limit time.Duration, f func() (T, error)) (T, error) {
	var none T
	if err := p.answers(place); err != nil {
		return none, err
	}
	var value T
	var failure error
	ended := make(chan struct{})
	go func() {
		v, err := f()
		p.mu.Lock()
		defer p.mu.Unlock()
		select {
		case <-ended: // it was left behind
			p.count(place, -1)
		default:
			value, failure = v, err
			close(ended)
		}
	}()
	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	var why error
	select {
	case <-ended:
		return value, failure
	case <-ctx.Done():
		why = ctx.Err()
	case <-over:
		why = fmt.Errorf("%s took longer than %s: %w", place, limit, ErrHangs)
	}
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-ended:
		return value, failure
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-ended:
		return value, failure
	default:
		p.count(place, 1)
		close(ended)
		return none, why
	}
}

// answers says what is wrong with a place.
func (p *Places) answers(place string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left[place] > 0 {
		return fmt.Errorf("%s: %w; an earlier request waits for it still", place, ErrHangs)
	}
	if p.total >= most {
		return fmt.Errorf("%s: %d earlier requests wait for disks still: %w", place, p.total, ErrHangs)
	}
	return nil
}

// count is called with the lock held.
func (p *Places) count(place string, n int) {
	if p.left == nil {
		p.left = map[string]int{}
	}
	p.total += n
	if p.left[place] += n; p.left[place] == 0 {
		delete(p.left, place)
	}
}
