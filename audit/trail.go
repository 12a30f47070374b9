package audit

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Trail is where lines go. It is safe for concurrent use.
type Trail struct {
	// file takes whole lines and never waits; nil where none is configured.
	file io.Writer
}

// NewTrail makes a Trail to the daemon's log and, if it is not nil, to file, whose Write must not wait.
func NewTrail(file io.Writer) *Trail { return &Trail{file} }

// Record writes a line down, and gives it the time if it has none. It waits for nothing.
func (t *Trail) Record(l Line) {
	if l.Time.IsZero() {
		l.Time = time.Now()
	}
	l.Time = l.Time.UTC().Truncate(time.Microsecond)
	slog.LogAttrs(context.Background(), slog.LevelInfo, "audit", l.attributes()...)
	if t.file != nil {
		t.file.Write(l.JSON()) //nolint:errcheck // it counts what it loses
	}
}
