package pod_test

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/status"
	"github.com/solopod/solopod/runner/pod/step"
)

// benchmarkTurn measures what a turn costs for one event that changes nothing that others see, as a probe's answer, and for one that
// does.
func benchmarkTurn(b *testing.B, p *v1.Pod) {
	now := time.Now()
	s := step.Step(state.New(host, 0, p, true), state.Desired{At: now, Pod: p})
	s.SetUp, s.SharedRevision, s.Applied, s.GrantedFor = true, s.Revisions.Shared, s.Pod, s.Revisions.Shared
	s.Network, s.Resized = &state.Attachment{IPs: []string{"10.0.0.2"}}, s.Revisions.Resized
	for _, c := range p.Spec.Containers {
		s.Containers[c.Name] = &state.Container{
			ID: c.Name, Running: true, Started: true, Ready: true, Hooked: true, Revision: s.Revisions.Containers[c.Name], Resources: s.Revisions.Resources[c.Name],
		}
	}
	b.Run("quiet", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			next := step.Step(s, state.ClaimsFree{})
			plan.Plan(next, now)
			if !status.Same(&s, &next) || !state.SameRecord(&s, &next) {
				b.Fatal("something has changed")
			}
		}
	})
	b.Run("seen", func(b *testing.B) {
		b.ReportAllocs()
		encoder := state.Encoder{}
		for b.Loop() {
			next := step.Step(s, state.ClaimsFree{})
			plan.Plan(next, now)
			status.Of(next, now)
			if _, err := encoder.Encode(next); err != nil {
				b.Fatal(err)
			}
		}
	})
}
