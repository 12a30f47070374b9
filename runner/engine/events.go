package engine

import (
	"context"
	"log/slog"
	"sync"
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

// Listener receives what containerd reports. Its methods are called from one goroutine, which waits for them; what comes meanwhile
// is kept in order.
type Listener interface {
	// Exited: a container's main process ended.
	Exited(Exit)
	// Resync: events may have been missed (the connection was made anew, or too many came at once); what exists must be listed again.
	Resync()
}

// Delays between attempts to subscribe: an outside containerd is being restarted, or is gone.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Watch delivers events to l until ctx ends. It calls Resync once it is subscribed, so that a caller who lists then
// misses nothing, and again after every broken connection. It returns when ctx ends, also when l does not return.
func (e *Engine) Watch(ctx context.Context, l Listener) {
	q := &queue{ready: make(chan struct{}, 1)}
	e.background.Go(func() { q.deliver(ctx, l) })
	retry := firstRetry
	for ctx.Err() == nil {
		if e.watchOnce(ctx, q) {
			retry = firstRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
		retry = min(2*retry, lastRetry)
	}
}

// watchOnce says whether it was subscribed.
func (e *Engine) watchOnce(ctx context.Context, q *queue) bool {
	ctx, cancel := context.WithCancel(inNamespace(ctx))
	defer cancel()
	ch, errs := e.client.Subscribe(ctx, `topic=="/tasks/exit",namespace==`+Namespace)
	// Any answered call after the subscription shows that the server is there again.
	if err := e.Answers(ctx); err != nil {
		if ctx.Err() == nil {
			slog.Warn("containerd does not answer; running containers are not affected", "err", err)
		}
		return false
	}
	q.resync()
	for {
		select {
		case env := <-ch:
			if exit, ok := exitOf(env); ok {
				q.put(exit)
			}
		case <-e.config.Woken: // containerd knows of a process that it did not know of
			e.endStrays(ctx)
			q.resync()
		case err := <-errs:
			if ctx.Err() == nil {
				slog.Warn("lost containerd's event stream; running containers are not affected", "err", err)
			}
			return true
		}
	}
}

func exitOf(env *events.Envelope) (Exit, bool) {
	if env == nil || env.Event == nil {
		return Exit{}, false
	}
	v, err := typeurl.UnmarshalAny(env.Event)
	if err != nil {
		slog.Warn("cannot read an event of containerd's", "topic", env.Topic, "err", err)
		return Exit{}, false
	}
	exit, ok := v.(*eventtypes.TaskExit)
	if !ok || exit.ID != exit.ContainerID {
		return Exit{}, false
	}
	return Exit{ID: exit.ContainerID, Code: exit.ExitStatus, At: exit.ExitedAt.AsTime()}, true
}

// maxQueued bounds what waits for a listener: more than a box has containers. Beyond it the events give way to a Resync.
const maxQueued = 4096

// queue keeps events for a listener that is busy.
type queue struct {
	mu     sync.Mutex
	exits  []Exit
	missed bool
	ready  chan struct{} // holds one: there is something
}

// put adds an event.
func (q *queue) put(x Exit) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.exits = append(q.exits, x); len(q.exits) > maxQueued {
		q.exits, q.missed = nil, true
	}
	q.wake()
}

// resync notes that events may have been missed. The events that wait are delivered before it.
func (q *queue) resync() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.missed = true
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) take() (exits []Exit, missed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	exits, missed = q.exits, q.missed
	q.exits, q.missed = nil, false
	return exits, missed
}

// deliver calls l for what comes, until ctx ends.
func (q *queue) deliver(ctx context.Context, l Listener) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.ready:
		}
		exits, missed := q.take()
		for _, x := range exits {
			l.Exited(x)
		}
		if missed {
			l.Resync()
		}
	}
}
