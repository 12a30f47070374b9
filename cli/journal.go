package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Bounds of the log that nobody reads: how many bytes wait for the reader, and how long the daemon's end does.
const (
	mostQueued = 256 << 10
	lastFlush  = time.Second
)

// newLogger writes lines of text to standard error, by way of a queue, so that who does not read them holds nobody up. What else the
// daemon has to say there goes into the queue as well, and the caller must flush it before the process ends. For systemd's journal
// each line begins with its priority, and the time is left to the journal (sd-daemon(3)).
func newLogger(level slog.Level) (*slog.Logger, *logQueue) {
	handler := func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	}
	if os.Getenv("JOURNAL_STREAM") != "" {
		handler = func(w io.Writer) slog.Handler { return newJournal(w, level) }
	}
	queue := newLogQueue(os.Stderr, mostQueued, func(lost int) []byte {
		var line bytes.Buffer
		slog.New(handler(&line)).Error("lines of this log are lost: nobody read it", "lines", lost)
		return line.Bytes()
	})
	return slog.New(handler(queue)), queue
}

// outliveReaders keeps the process alive when whoever reads its standard error, or output, has gone: by default Go ends it with the next
// write (os/signal, SIGPIPE). The signal is caught and not ignored, which children would inherit.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// journal is a handler per priority; they differ in what their lines begin with.
type journal map[slog.Level]slog.Handler

var priorities = map[slog.Level]string{slog.LevelDebug: "<7>", slog.LevelInfo: "<6>", slog.LevelWarn: "<4>", slog.LevelError: "<3>"}

func newJournal(w io.Writer, level slog.Level) journal {
	j := journal{}
	for l, prefix := range priorities {
		j[l] = slog.NewTextHandler(prefixed{prefix, w}, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		}})
	}
	return j
}

func (j journal) of(level slog.Level) slog.Handler {
	for _, l := range []slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo} {
		if level >= l {
			return j[l]
		}
	}
	return j[slog.LevelDebug]
}

// Enabled implements slog.Handler.
func (j journal) Enabled(ctx context.Context, level slog.Level) bool {
	return j.of(level).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (j journal) Handle(ctx context.Context, r slog.Record) error {
	return j.of(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (j journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return j.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (j journal) WithGroup(name string) slog.Handler {
	return j.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (j journal) each(change func(slog.Handler) slog.Handler) journal {
	out := journal{}
	for l, h := range j {
		out[l] = change(h)
	}
	return out
}

// prefixed writes each line, which comes as one write, behind a prefix.
type prefixed struct {
	prefix string
	w      io.Writer
}

func (p prefixed) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
