// Package watch watches directories of files that people and tools put there, of any kind.
//
// What is decided (judge) is apart from what is read and watched, and every call into a file system has a limit of time, for it
// may hang.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// errHung: the file system did not answer in time.
var errHung = errors.New("it does not answer (a file system of the network, or a disk that hangs?)")

// errPanicked: a fault in Solopod's own code, or in a library's, which what it read has brought out. The log has where.
var errPanicked = errors.New("Solopod's own code failed at it") //nolint:staticcheck // a name

// Attempt calls f in a goroutine of its own and waits for it at most for limit, or until ctx ends. An f that is not back by then
// is left behind, for nothing can stop a call into a file system that hangs; when it does return, late gets its value, in that
// goroutine. A panic of f's is logged and an error, and late gets a zero value then.
func Attempt[T any](ctx context.Context, limit time.Duration, f func() T, late func(T)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done, left := make(chan outcome), make(chan struct{})
	go func() {
		v, err := guarded(f)
		select {
		case done <- outcome{v, err}:
		case <-left:
			late(v)
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.value, o.err
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

// guarded makes an error of a panic, which nothing but f's own goroutine can catch.
func guarded[T any](f func() T) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("Solopod's own code failed at a file or a directory; the rest goes on", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanicked, p)
		}
	}()
	return f(), nil
}
