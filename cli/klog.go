package cli

import (
	"context"
	"log/slog"

	"k8s.io/klog/v2"
)

// quietKlog makes what Kubernetes' libraries say debug messages of this program: they complain of clients' mistakes as errors,
// and the clients are told anyway.
func quietKlog() { klog.SetSlogLogger(slog.New(debugOnly{slog.Default().Handler()})) }

type debugOnly struct{ slog.Handler }

// Enabled implements slog.Handler.
func (d debugOnly) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (d debugOnly) Handle(ctx context.Context, r slog.Record) error {
	if !d.Enabled(ctx, r.Level) { // errors come without being asked about
		return nil
	}
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}
