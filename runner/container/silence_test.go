package container

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/pod/plan"
)

// A container without a process has ended when its shim has not answered for a while; one that has a process, or whose shim has said
// something meanwhile, has not.
func TestSilence(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "web", oneContainer)
	sleeper(t, l.cgroupDirs(plan.Target{Pod: pod, Name: "c", ID: "runs"})...)
	labels := map[string]string{LabelPodUID: string(pod.UID)}
	look := func(s *Silence, answers string) map[string]string {
		var all []engine.Container
		for _, id := range []string{"runs", "ended", "answers"} {
			state := engine.Unanswered
			if id == answers {
				state = engine.Running
			}
			all = append(all, engine.Container{ID: id, State: state, Labels: labels})
		}
		s.Judge(all)
		out := map[string]string{}
		for _, c := range all {
			out[c.ID] = c.State
		}
		return out
	}
	cgroups := l.Cgroups
	synctest.Test(t, func(t *testing.T) {
		s := NewSilence(cgroups)
		if got := look(s, ""); got["ended"] != engine.Unanswered {
			t.Errorf("at once: %v", got)
		}
		time.Sleep(silentLimit - time.Second) //nolint:forbidigo // of the bubble
		if got := look(s, "answers"); got["ended"] != engine.Unanswered || got["answers"] != engine.Running {
			t.Errorf("a moment before: %v", got)
		}
		time.Sleep(time.Second) //nolint:forbidigo // of the bubble
		if got := look(s, ""); got["ended"] != engine.Unknown || got["runs"] != engine.Unanswered || got["answers"] != engine.Unanswered {
			t.Errorf("after a while: %v", got)
		}
	})
}
