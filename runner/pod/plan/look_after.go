package plan

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/runner/pod/state"
)

// lookAfter wants what holds whatever the manifests say: what runs is watched, what has ended is cleared.
func (p *planner) lookAfter() {
	s := p.s
	if s.Adoption.Sandbox {
		p.want(FindSandbox{Pod: applied(p.s), Grant: s.Grant, Network: s.Network, SameBoot: s.BootID == s.Host.BootID})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Containers)) {
		if c := s.Containers[name]; c.Running {
			p.lookAfterRunning(name, c)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.Leftovers)) {
		l := s.Leftovers[id]
		if l.Drain && s.Adoption == (state.Adoption{}) && p.due(l.Retry) {
			p.want(Drain{Target: p.leftover(id, l), Terminal: l.Terminal, Stdin: l.Stdin, Text: l.FromLog})
		}
	}
}

func (p *planner) leftover(id string, l *state.Leftover) Target {
	return Target{Pod: applied(p.s), Name: l.Name, ID: id, Attempt: l.Attempt}
}

func (p *planner) lookAfterRunning(name string, c *state.Container) {
	s := p.s
	pod := applied(p.s)
	spec := manifests.ContainerOf(pod, name)
	t := Target{Pod: pod, Name: name, ID: c.ID, Attempt: c.Attempt}
	if c.Now.Exit != nil {
		p.want(Examine{Target: t, Lost: c.Now.Exit.Lost != "", Killed: c.Now.Exit.Code == state.ExitOfKill && !c.Now.Killed})
		return
	}
	if !c.Now.Attached {
		p.want(ReadOutput{Target: t, Terminal: c.Terminal, Stdin: c.Stdin})
	}
	if s.Adoption.Containers {
		return // whether it really runs is to be found out
	}
	p.want(WatchKills{Target: t})
	if signal := c.WantedSignal(); signal != 0 && p.due(c.Now.Signals) {
		p.want(Signal{Target: t, Signal: signal})
	}
	if c.Now.PreStop {
		p.want(Hook{Target: t, Handler: c.PreStop, PreStop: true, Host: p.host(pod)})
	}
	if spec == nil {
		return
	}
	if c.Now.Stopping {
		if state.ProbeOf(spec, state.Readiness) != nil && c.Started && !c.Now.Killed && c.EndsReady(s) {
			p.want(Probe{Target: t, Spec: spec, Kind: state.Readiness, Host: p.host(pod), Started: c.StartedAt})
		}
		return
	}
	if !c.Hooked && state.HasPostStart(spec) && c.Verdict == nil {
		p.want(Hook{Target: t, Handler: spec.Lifecycle.PostStart, Ports: spec.Ports, Host: p.host(pod)})
		return
	}
	if !c.Hooked || c.Verdict != nil {
		return
	}
	kinds := []state.ProbeKind{state.Liveness, state.Readiness}
	if !c.Started {
		kinds = []state.ProbeKind{state.Startup}
	}
	for _, kind := range kinds {
		if state.ProbeOf(spec, kind) != nil {
			p.want(Probe{Target: t, Spec: spec, Kind: kind, Host: p.host(pod), Started: c.StartedAt})
		}
	}
}

// deletions removes ended containers. A restarted container is created before the old one is deleted, which is faster, and
// keeps the pod's shim, which ends with its last container: nothing may be created in that moment.
func (p *planner) deletions() {
	s := p.s
	if p.creates || flies(p.s, state.KindCreate) {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(s.Leftovers)) {
		l := s.Leftovers[id]
		if l.Drain || s.Saved < l.Step || !p.due(l.Retry) {
			continue // how it ended must be on the disk before the container, which could tell it again, is gone
		}
		p.want(Delete{Target: p.leftover(id, l), KeepFiles: attemptInUse(p.s, l), Kill: l.Kill})
	}
}

// attemptInUse: another container has the directory of this attempt.
func attemptInUse(s *state.State, l *state.Leftover) bool {
	c := s.Containers[l.Name]
	return c != nil && (c.Running && c.Attempt == l.Attempt || c.Making != nil && c.Making.Attempt == l.Attempt)
}

// flies: an effect of this kind works, and was not left behind.
func flies(s *state.State, kind string) bool {
	for _, f := range s.Flights {
		if f.Kind == kind && !f.Left {
			return true
		}
	}
	return false
}

// limitsStorage says whether the pod limits what it writes to the disk.
func limitsStorage(pod *v1.Pod) bool {
	for _, c := range manifests.AllContainers(pod) {
		if !c.Resources.Limits.StorageEphemeral().IsZero() {
			return true
		}
	}
	for i := range pod.Spec.Volumes {
		if amount.SizeLimit(&pod.Spec.Volumes[i]) > 0 {
			return true
		}
	}
	return false
}

// measure looks at what the pod has written, where it limits that.
func (p *planner) measure() {
	s := p.s
	if !s.SetUp || s.Failed != nil || !s.Wanted() || !limitsStorage(s.Pod) {
		return
	}
	if s.MeasureAt.After(p.now) && !flies(p.s, state.KindMeasure) {
		p.at(s.MeasureAt)
		return
	}
	w := Measure{Pod: s.Pod}
	for _, c := range manifests.AllContainers(s.Pod) {
		if known := s.Containers[c.Name]; known != nil && known.Running {
			w.Running = append(w.Running, Target{Pod: s.Pod, Name: c.Name, ID: known.ID, Attempt: known.Attempt})
		}
	}
	p.want(w)
}
