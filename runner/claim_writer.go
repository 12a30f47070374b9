package runner

import (
	"context"
	"log/slog"
	"sync"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/volume"
)

// claimWriter writes down what PersistentVolumeClaims ask for, in a goroutine of its own: the newest set counts.
type claimWriter struct {
	mu     sync.Mutex
	next   map[string]*v1.PersistentVolumeClaim
	signal chan struct{}
	once   sync.Once
}

func (w *claimWriter) begin() { w.once.Do(func() { w.signal = make(chan struct{}, 1) }) }

func (w *claimWriter) put(claims map[string]*v1.PersistentVolumeClaim) {
	w.begin()
	w.mu.Lock()
	w.next = claims
	w.mu.Unlock()
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

func (w *claimWriter) run(ctx context.Context, volumes volume.Manager) {
	w.begin()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.signal:
		}
		w.mu.Lock()
		claims := w.next
		w.mu.Unlock()
		for _, c := range claims {
			if err := volumes.Record(c); err != nil {
				slog.Warn("cannot write down what a claim asks for", "claim", c.Namespace+"/"+c.Name, "err", err)
			}
		}
	}
}
