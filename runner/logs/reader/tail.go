package reader

import (
	"bytes"
	"context"
)

// Tail returns the last lines of the log at path, as they were written, and of those at most the last limit bytes. It waits no
// longer than ctx: where the disk is stuck, what reads it is left behind.
func Tail(ctx context.Context, path string, lines int64, limit int) (string, error) {
	type answer struct {
		text string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		end := &end{limit: limit}
		err := Read(ctx, path, Options{Tail: lines}, end, nil)
		read <- answer{end.last(), err}
	}()
	select {
	case a := <-read:
		if a.err != nil {
			return "", a.err
		}
		return a.text, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// end keeps the last limit bytes that are written to it, and at times twice as many.
type end struct {
	limit int
	buf   bytes.Buffer
}

func (e *end) Write(b []byte) (int, error) {
	e.buf.Write(b)
	if e.buf.Len() > 2*e.limit {
		e.buf.Next(e.buf.Len() - e.limit)
	}
	return len(b), nil
}

func (e *end) last() string {
	b := e.buf.Bytes()
	return string(b[max(len(b)-e.limit, 0):])
}
