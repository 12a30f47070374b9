package logs

import (
	"bytes"
	"context"
)

// Tail returns the last lines of the log at path, as they were written, and of those at most the last limit bytes.
func Tail(ctx context.Context, path string, lines int64, limit int) (string, error) {
	var out bytes.Buffer
	if err := Read(ctx, path, ReadOptions{Tail: lines}, &out, nil); err != nil {
		return "", err
	}
	b := out.Bytes()
	return string(b[max(len(b)-limit, 0):]), nil
}
