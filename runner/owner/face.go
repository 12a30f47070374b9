package owner

import (
	"context"
	"log/slog"
	"time"

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

// listLimit bounds one listing of the containers; it is tried again.
const listLimit = 30 * time.Second

// Resync has every pod compared with what exists: after a start, and when exits may have been missed. It does not wait.
func (o *Owner) Resync() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.listing {
		o.relist = true
		return
	}
	o.listing = true
	go o.list()
}

// list asks until it gets an answer.
func (o *Owner) list() {
	pause := time.Second
	for o.ctx.Err() == nil {
		// Before the list, which takes long where a shim does not answer: what starts meanwhile need not be in it.
		asked := time.Now()
		ctx, cancel := context.WithTimeout(o.ctx, listLimit)
		found, err := o.config.Lister.List(ctx)
		cancel()
		unanswered := false
		if err == nil {
			o.listed(asked, found)
			pause, unanswered = 0, isUnanswered(found)
		} else if o.ctx.Err() == nil {
			slog.Warn("cannot list containers; it is tried again", "err", err)
		}
		o.mu.Lock()
		again := err != nil || unanswered || o.relist
		o.relist = false
		o.listing = again
		o.mu.Unlock()
		if !again {
			return
		}
		select {
		case <-o.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(max(2*pause, time.Second), 30*time.Second)
	}
}

// isUnanswered: of some container nobody could say in time whether it runs.
func isUnanswered(found map[string][]state.Found) bool {
	for _, list := range found {
		for i := range list {
			if list[i].Status == state.FoundUnanswered {
				return true
			}
		}
	}
	return false
}

// listed tells each pod what there is of it. What belongs to no pod is an orphan's.
func (o *Owner) listed(asked time.Time, found map[string][]state.Found) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for uid := range found {
		if o.pods[uid] == nil && uid != "" && o.ctx.Err() == nil {
			slog.Info("removing what is left of a pod that no manifest has named since", "uid", uid)
			o.begin(state.Orphan(o.config.Host, o.config.ClockOffset(), uid))
		}
	}
	for uid, w := range o.pods {
		w.Send(state.Listed{Asked: asked, At: now, Found: found[uid]})
	}
}

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
