package container

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// silentLimit is how long a shim may not answer for its container to count as ended, when that has no process any more. Until then its
// exit code may be learned: a shim may be swapped out at a start.
const silentLimit = 10 * time.Second

// Silence says which containers have ended though their shims do not answer. It is safe for concurrent use.
type Silence struct {
	cgroups *cgroup.Manager

	mu sync.Mutex
	// since is when a container was first seen to have no process and a shim that does not answer.
	since map[string]time.Time
}

// NewSilence knows of no container yet.
func NewSilence(cgroups *cgroup.Manager) *Silence {
	return &Silence{cgroups: cgroups}
}

// Judge looks at all containers that there are: an Unanswered one of which nothing has run for a while becomes Unknown.
func (s *Silence) Judge(all []engine.Container) {
	var silent []*engine.Container
	for i := range all {
		if c := &all[i]; c.State == engine.Unanswered && !s.cgroups.Holds(c.Labels[LabelPodUID], c.ID) {
			silent = append(silent, c)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, since := time.Now(), map[string]time.Time{}
	for _, c := range silent {
		first, known := s.since[c.ID]
		if !known {
			first = now
		}
		since[c.ID] = first
		if now.Sub(first) >= silentLimit {
			c.State = engine.Unknown
		}
	}
	s.since = since
}

// killWithoutShim ends a container whose shim does not answer, if it has not ended. How it ended nobody will learn.
func killWithoutShim(cgroups *cgroup.Manager, cgroupPath string, w plan.Signal, unsent error) state.SignalSent {
	out := state.SignalSent{Signal: w.Signal}
	if err := cgroups.KillLeftover(cgroupPath); err != nil {
		out.Problem = problem("FailedKillContainer", errors.Join(unsent, err))
		return out
	}
	out.Found = &state.Found{ID: w.ID, Status: state.FoundUnknown}
	return out
}

// answerLimit is how long a shim may take to say how its container is; the engine has a shorter one.
const answerLimit = 4 * time.Second

// endSilentShim ends the shim of a pod in which nothing runs, where it does not answer: it would hold up the pod's removal, and its
// next attempt, for ever. It may be frozen or swapped out. containerd, or its embedded form, clears up after it then.
func endSilentShim(ctx context.Context, e Engine, cgroups *cgroup.Manager, t plan.Target) error {
	uid := string(t.Pod.UID)
	if cgroups.Holds(uid, "") {
		return nil
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
	defer cancel()
	if found, err := e.Get(limited, t.ID); err != nil || found.State != engine.Unanswered {
		return nil //nolint:nilerr // what is not known to be silent is left alone
	}
	return cgroups.KillShims(uid)
}
