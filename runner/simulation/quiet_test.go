package simulation

import (
	"io"
	"log/slog"
	"testing"
)

// quiet keeps the faults that the simulation injects out of the test's output.
func quiet(t *testing.T) {
	t.Helper()
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(func() { slog.SetDefault(old) })
}
