package owner

import (
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/state"
)

// face is the Owner as a worker sees it.
type face struct{ o *Owner }

func (f face) Report(p *v1.Pod, r state.Report) { f.o.config.Report(p, r) }

func (f face) Changed() { f.o.Notify() }

func (f face) NextVersion() uint64 {
	return f.o.version.Add(1)
}

func (f face) List(*pod.Worker) { f.o.Resync() }

// Subscribe returns a channel that gets a token whenever a pod changed; several changes may share one.
func (o *Owner) Subscribe() (changes <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watchers[ch] = true
	return ch, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.watchers, ch)
	}
}

// Notify gives every subscriber a token.
func (o *Owner) Notify() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notifyLocked()
}

func (o *Owner) notifyLocked() {
	for ch := range o.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
