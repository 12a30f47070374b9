package source

import (
	"context"
	"errors"
	"time"
)

// errHung: the file system did not answer in time.
var errHung = errors.New("it does not answer (a file system of the network, or a disk that hangs?)")

// Attempt calls f in a goroutine of its own and waits for it at most for limit, or until ctx ends. An f that is not back by then
// is left behind, for nothing can stop a call into a file system that hangs; when it does return, late gets its value, in that
// goroutine.
func Attempt[T any](ctx context.Context, limit time.Duration, f func() T, late func(T)) (T, error) {
	done, left := make(chan T), make(chan struct{})
	go func() {
		v := f()
		select {
		case done <- v:
		case <-left:
			late(v)
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case v := <-done:
		return v, nil
	case <-timer.C:
		close(left)
		var zero T
		return zero, errHung
	case <-ctx.Done():
		close(left)
		var zero T
		return zero, ctx.Err()
	}
}
