// Package rescue keeps a panic in a goroutine that does one thing for somebody from being the daemon's end.
package rescue

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// ErrPanicked says that Solopod's own code, or a library's, has failed at what it was asked to do. The log has where.
var ErrPanicked = errors.New("Solopod's own code failed") //nolint:staticcheck // a name

// Do calls f, and makes an error of a panic, which it logs with its stack. It is for goroutines: only in its own can a panic be
// caught. what is for the log: what f does, or is.
func Do(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("Solopod's own code failed", "at", what, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", ErrPanicked, p)
		}
	}()
	return f()
}
