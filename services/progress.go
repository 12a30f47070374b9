package services

import (
	"context"
	"sync"
	"time"
)

// stage is how far something is that was given.
type stage int

const (
	decided  stage = iota // addresses and ports are
	written               // the kernel and the names were told
	isolated              // the kernel keeps to the policies
	stages
)

// progress counts what was given, and up to which of it a stage has come.
type progress struct {
	mu      sync.Mutex
	given   uint64
	done    [stages]uint64
	changed chan struct{} // closed when one of them grows; nil while nobody waits
}

func (p *progress) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.given++
}

func (p *progress) count() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.given
}

// advance notes up to which of what was given a stage has come.
func (p *progress) advance(s stage, to uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done[s] >= to {
		return
	}
	p.done[s] = to
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

const (
	// awaitLimit is how long a pod waits for services.
	awaitLimit = 3 * time.Second
	// writtenLimit is how long it waits for the kernel and the names, once there is something to be written: until each of them was tried.
	// A pod that begins sooner is told the machine's servers, and programs that read them once, at their start, ask there for good.
	writtenLimit = 2*writeLimit + awaitLimit
)

// await waits, within a limit, until what was given before has come to a stage. The first state has to have been given.
func (p *progress) await(ctx context.Context, s stage) bool {
	limit := awaitLimit
	if s == written && p.count() > 0 {
		limit = writtenLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	wanted := max(p.count(), 1)
	for {
		p.mu.Lock()
		is := p.done[s] >= wanted
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		if is {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
