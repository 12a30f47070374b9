package cli

import "context"

// interruptible does f, which may wait for input that never comes: a terminal's, a FIFO's that nobody writes to. Ctrl-C and SIGTERM, which
// end the context, end the wait; f is left behind then, as the process is about to end. The exit code is that of a shell for Ctrl-C.
func interruptible[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		value, err := f()
		ended <- result{value, err}
	}()
	select {
	case r := <-ended:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, exitError{130, nil}
	}
}
