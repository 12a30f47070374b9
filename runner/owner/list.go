package owner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

const (
	// listLimit bounds one listing of the containers; it is tried again.
	listLimit = 30 * time.Second
	// listHeed is how long a listing may take to end after that, before it is left behind.
	listHeed = 5 * time.Second
	// mostLists bounds those that are left behind: more of them would not help.
	mostLists = 4
)

var errListHangs = errors.New("containerd does not answer")

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

// listing is the answer to one question for the containers.
type listing struct {
	asked time.Time
	found map[string][]state.Found
	err   error
}

// list asks until it gets an answer. A question that is not answered is left behind; its answer counts when it comes.
func (o *Owner) list() {
	pause := time.Second
	answers := make(chan listing, mostLists) // each has room, so that nobody waits here for ever
	open := 0
	for o.ctx.Err() == nil {
		if open < mostLists {
			open++
			go o.ask(answers)
		}
		unanswered, err := false, errListHangs
		limit := time.NewTimer(listLimit + listHeed)
		select {
		case a := <-answers:
			open--
			if err = a.err; err == nil {
				o.listed(a.asked, a.found)
				if unanswered = isUnanswered(a.found); !unanswered {
					pause = 0
				}
			}
		case <-limit.C:
		case <-o.ctx.Done():
		}
		limit.Stop()
		if err != nil && o.ctx.Err() == nil {
			slog.Warn("cannot list containers; it is tried again", "err", err)
		}
		if !o.listAgain(err != nil || unanswered) {
			return
		}
		select {
		case <-o.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(max(2*pause, time.Second), 30*time.Second)
	}
}

// listAgain says whether another list is needed.
func (o *Owner) listAgain(failed bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.listing = failed || o.relist
	o.relist = false
	return o.listing
}

// ask asks once.
func (o *Owner) ask(answers chan<- listing) {
	// The time before the list counts, which takes long where a shim does not answer: what starts meanwhile need not be in it.
	a := listing{asked: time.Now()}
	defer func() {
		if p := recover(); p != nil {
			slog.Error("listing the containers failed in Solopod's own code", "panic", p, "stack", string(debug.Stack()))
			a.err = fmt.Errorf("it failed in Solopod's own code: %v", p)
		}
		answers <- a
	}()
	ctx, cancel := context.WithTimeout(o.ctx, listLimit)
	defer cancel()
	a.found, a.err = o.config.Lister.List(ctx)
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
	for _, uid := range o.tell(asked, found) {
		slog.Info("there is no record of a pod that has containers; they are removed, and it begins anew where a manifest names it", "uid", uid)
	}
}

// tell gives every pod what was found of it, and returns the orphans that were not known.
func (o *Owner) tell(asked time.Time, found map[string][]state.Found) (orphans []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for uid := range found {
		if o.pods[uid] == nil && uid != "" && o.ctx.Err() == nil {
			o.begin(uid, func() state.State {
				s := state.Orphan(o.host, o.config.ClockOffset(), uid)
				s.Decided = o.applied
				return s
			})
			orphans = append(orphans, uid)
		}
	}
	for uid, w := range o.pods {
		w.Send(state.Listed{Asked: asked, At: now, Found: found[uid]})
	}
	return orphans
}
