package engine

import (
	"context"
	"log/slog"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
)

// Exit says that a container's main process has ended.
type Exit struct {
	ID   string
	Code uint32
	At   time.Time
}

// Listener receives what containerd reports. Its methods are called from one goroutine and must not block for long.
type Listener interface {
	// Exited: a container's main process ended.
	Exited(Exit)
	// Resync: events may have been missed (the connection was made anew); what exists must be listed again.
	Resync()
}

// Watch delivers events to l until ctx ends. It calls Resync once it is subscribed, so that a caller who lists then
// misses nothing, and again after every broken connection.
func (e *Engine) Watch(ctx context.Context, l Listener) {
	ctx = inNamespace(ctx)
	for ctx.Err() == nil {
		e.watchOnce(ctx, l)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second): // an outside containerd is being restarted
		}
	}
}

func (e *Engine) watchOnce(ctx context.Context, l Listener) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ch, errs := e.client.Subscribe(ctx, `topic=="/tasks/exit",namespace==`+Namespace)
	// Any answered call after the subscription shows that the server is there again.
	if _, err := e.client.Version(ctx); err != nil {
		if ctx.Err() == nil {
			slog.Warn("containerd does not answer; running containers are not affected", "err", err)
		}
		return
	}
	l.Resync()
	for {
		select {
		case env := <-ch:
			deliver(env, l)
		case err := <-errs:
			if ctx.Err() == nil {
				slog.Warn("lost containerd's event stream; running containers are not affected", "err", err)
			}
			return
		}
	}
}

func deliver(env *events.Envelope, l Listener) {
	if env == nil || env.Event == nil {
		return
	}
	v, err := typeurl.UnmarshalAny(env.Event)
	if err != nil {
		slog.Warn("cannot read an event of containerd's", "topic", env.Topic, "err", err)
		return
	}
	if exit, ok := v.(*eventtypes.TaskExit); ok && exit.ID == exit.ContainerID {
		l.Exited(Exit{ID: exit.ContainerID, Code: exit.ExitStatus, At: exit.ExitedAt.AsTime()})
	}
}
