package step

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/kills"
	"github.com/solopod/solopod/runner/pod/state"
)

// killedForMemory stops a pod whose processes were killed for memory as often as it says.
func killedForMemory(s *next, name string, killed uint64, when, at time.Time) {
	if s.Failed != nil || !s.DeletedAt.IsZero() { // the manifests may not have spoken yet, of what came while Solopod was away
		return
	}
	all, message := kills.Stops(s.Pod, s.OOMEnds, name, killed, when)
	if s.OOMEnds = all; message != "" {
		s.Failed = &state.Failure{Reason: state.ReasonOOM, Message: message, At: wall(at)}
		s.warn("", "OOMStopped", "%s", message)
	}
}

// oomChoiceChanged lets a pod begin anew that was stopped for kills, and whose manifest says something else of these now.
func oomChoiceChanged(s *next, old *v1.Pod, at time.Time) {
	if old == nil || old == s.Pod {
		return
	}
	for _, key := range []string{manifests.OOMActionAnnotation, manifests.OOMStopAfterAnnotation} {
		if old.Annotations[key] == s.Pod.Annotations[key] {
			continue
		}
		s.OOMEnds = nil
		if s.Failed != nil && s.Failed.Reason == state.ReasonOOM {
			revive(s, at)
		}
	}
}

// applyExplained notes why a container was killed for memory. That may be known before its end is, or some seconds after it.
func applyExplained(s *next, e state.Explained) {
	for _, c := range s.Containers {
		if c.Running && c.ID == e.ID && (c.Now.Explained.Text == "" || e.At.Sub(c.Now.Explained.At) > kills.Window) {
			c.Now.Explained = e
		}
		c.Ended, c.Last = kills.Explain(c.Ended, e), kills.Explain(c.Last, e)
	}
}
