package cli

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// endLimit is how long the daemon may take to end after it was told to; then lastFlush is left of the ten seconds that
// docs/operation.md promises.
const endLimit = 9 * time.Second

// backstop ends the process when the daemon does not end in time after SIGTERM, whatever hangs: each part of the end has a limit, but
// several may hang one after the other, and what hangs in a system call during the start hears of no signal at all.
type backstop struct {
	exit func(code int)
	over chan struct{} // closed by disarm

	mu    sync.Mutex
	flush func(limit time.Duration) // the log's; nil before there is one
	parts map[string]int            // what goes on, and how often
	more  chan time.Duration        // what the end may take from now on
}

// newBackstop watches ctx until disarm is called.
func newBackstop(ctx context.Context, exit func(int)) *backstop {
	b := &backstop{exit: exit, over: make(chan struct{}), parts: map[string]int{}, more: make(chan time.Duration, 1)}
	go b.watch(ctx)
	return b
}

func (b *backstop) disarm() { close(b.over) }

// flushes has the log flushed before the process ends.
func (b *backstop) flushes(flush func(limit time.Duration)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush = flush
}

// during does f, a part of the daemon that may hang.
func (b *backstop) during(part string, f func()) {
	b.count(part, 1)
	defer b.count(part, -1)
	f()
}

// startSilence is how long a part of the start may take before the log names it; as a rule all of the start takes a second.
const startSilence = 10 * time.Second

// start is during for a part of the start, which nothing else comes before: where it hangs, the log says in what.
func (b *backstop) start(part string, f func()) {
	slow := time.AfterFunc(startSilence, func() { slog.Warn("the start waits for " + part + "; does a disk hang?") })
	defer slow.Stop()
	b.during(part, f)
}

// part is f for a group of goroutines.
func (b *backstop) part(part string, f func() error) func() error {
	return func() (err error) {
		b.during(part, func() { err = f() })
		return err
	}
}

func (b *backstop) count(part string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.parts[part] += n; b.parts[part] == 0 {
		delete(b.parts, part)
	}
}

// extend gives the end, which has begun, so much time more: pods are stopped. It is called once.
func (b *backstop) extend(by time.Duration) { b.more <- by }

func (b *backstop) watch(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-b.over:
		return
	}
	timer := time.NewTimer(endLimit)
	defer timer.Stop()
	for {
		select {
		case <-b.over:
			return
		case by := <-b.more:
			timer.Reset(by + endLimit)
		case <-timer.C:
			b.end()
			return
		}
	}
}

// end says what hangs and ends the process, as if it had ended by itself: pods run on, and the next start takes them up.
func (b *backstop) end() {
	b.mu.Lock()
	parts, flush := slices.Sorted(maps.Keys(b.parts)), b.flush
	b.mu.Unlock()
	said := make(chan struct{})
	go func() {
		defer close(said)
		slog.Error("the daemon does not end in time; what hangs is left behind, and pods run on", "hangs", strings.Join(parts, ", "))
		if flush != nil {
			flush(lastFlush)
		}
	}()
	select {
	case <-said:
	case <-time.After(lastFlush): // nobody reads it
	}
	b.exit(0)
}
