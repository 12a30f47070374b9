package testbox

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// trace notes the calls of an Engine, and lets them fail or hang.
type trace struct {
	mu     sync.Mutex
	faults map[string]*fault
	calls  []string
}

type fault struct {
	err   error
	until chan struct{} // hangs until it is closed
	deaf  bool          // a hang that does not heed its context
}

// Fail lets calls of an operation, by its method's name, fail; nil lets them succeed again.
func (e *trace) Fail(operation string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.faults, operation)
	if err != nil {
		e.faults[operation] = &fault{err: err}
	}
}

// Hang lets calls of an operation hang until their context ends or release is called. deaf: they do not heed their context.
func (e *trace) Hang(operation string, deaf bool) (release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := &fault{until: make(chan struct{}), deaf: deaf}
	e.faults[operation] = f
	return sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		close(f.until)
		if e.faults[operation] == f {
			delete(e.faults, operation)
		}
	})
}

// begin notes a call, and fails or hangs as it shall.
func (e *trace) begin(ctx context.Context, operation, of string) error {
	e.mu.Lock()
	e.calls = append(e.calls, strings.TrimSpace(operation+" "+of))
	f := e.faults[operation]
	e.mu.Unlock()
	switch {
	case f == nil:
		return ctx.Err()
	case f.until == nil:
		return f.err
	case f.deaf:
		<-f.until
		return nil
	}
	select {
	case <-f.until:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Calls are the calls so far: the operation, and what it was about.
func (e *trace) Calls(operations ...string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, c := range e.calls {
		name, _, _ := strings.Cut(c, " ")
		if len(operations) == 0 || slices.Contains(operations, name) {
			out = append(out, c)
		}
	}
	return out
}
