package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
)

// Plan returns what to do for a pod now. It changes nothing. When it decides something (Decide), the other effects are left
// for the plan that follows the decision.
func Plan(s state.State, now time.Time) []Effect {
	p := &planner{s: &s, now: now, wants: map[string]Work{}}
	p.lookAfter()
	if p.ruled() {
		p.follow()
	}
	return p.effects()
}

type planner struct {
	s   *state.State
	now time.Time
	// wants are the effects that should run, by thing; order is that in which they were thought of.
	wants     map[string]Work
	order     []string
	decisions []state.Event
	wake      time.Time
	// creates: a container is being created, or is about to be.
	creates bool
}

// ruled: the rules hold. Before, nobody has said what should run, or it is not known what does.
func (p *planner) ruled() bool {
	return p.s.Adoption == (state.Adoption{}) && (p.s.Decided || !p.s.StopBy.IsZero())
}

func (p *planner) want(w Work) {
	thing := w.Is().Thing()
	if due := p.s.Pauses[thing].Due(); due.After(p.now) {
		p.at(due)
		return
	}
	if p.wants[thing] == nil {
		p.wants[thing] = w
		p.order = append(p.order, thing)
	}
}

// at asks for another plan at t.
func (p *planner) at(t time.Time) {
	if t.After(p.now) && (p.wake.IsZero() || t.Before(p.wake)) {
		p.wake = t
	}
}

// due says whether what has failed may be tried again, and has it looked at when it may.
func (p *planner) due(b state.Backoff) bool {
	if t := b.Due(); t.After(p.now) {
		p.at(t)
		return false
	}
	return true
}

func (p *planner) decide(e state.Event) { p.decisions = append(p.decisions, e) }

// effects compares what should run with what does.
func (p *planner) effects() []Effect {
	for _, thing := range slices.Sorted(maps.Keys(p.s.Flights)) {
		p.leave(thing, p.s.Flights[thing])
	}
	var out []Effect
	for _, d := range p.decisions {
		out = append(out, Decide{d})
	}
	if len(out) > 0 {
		return out
	}
	for _, thing := range slices.Sorted(maps.Keys(p.s.Flights)) {
		f := p.s.Flights[thing]
		if !p.wanted(thing, f) && f.Cancelled.IsZero() && (f.Void || !runsOut[f.Kind] || toNobody(p.s, f)) {
			out = append(out, Cancel{thing})
		}
	}
	for _, thing := range p.order {
		if p.s.Flights[thing] == nil {
			out = append(out, Run{p.wants[thing]})
		}
	}
	if !p.wake.IsZero() {
		out = append(out, Wake{p.wake})
	}
	return out
}

// wanted: the effect that runs is the one that should.
func (p *planner) wanted(thing string, f *state.Flight) bool {
	w := p.wants[thing]
	if w == nil || f.Void {
		return false
	}
	is := w.Is()
	return is.Kind == f.Kind && is.Key == f.Key
}

// toNobody: a signal that hangs is for what has ended meanwhile. The next attempt's would wait for it.
func toNobody(s *state.State, f *state.Flight) bool {
	if f.Kind != state.KindSignal {
		return false
	}
	c := s.Containers[f.Name]
	return c == nil || c.ID != f.ID || c.Now.Exit != nil
}

// leave gives an effect up that does not end.
func (p *planner) leave(thing string, f *state.Flight) {
	end := f.Deadline
	if !f.Cancelled.IsZero() && (end.IsZero() || f.Cancelled.Before(end)) {
		end = f.Cancelled
	}
	if f.Left || end.IsZero() {
		return
	}
	end = end.Add(Heed)
	if end.After(p.now) {
		p.at(end)
		return
	}
	p.decide(state.LeftBehind{Thing: thing, At: p.now})
}

// id makes a container's id in the form that tools expect, 64 hex digits. It is the same for the same input, and no other
// attempt has it, as two tries of one attempt do not begin in the same nanosecond.
func (p *planner) id(name string, attempt int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %d %s", p.s.Pod.UID, name, attempt, p.now.UnixNano(), p.s.Host.BootID))
	return hex.EncodeToString(sum[:])
}

// host is the address that probes and hooks ask.
func (p *planner) host(pod *v1.Pod) string {
	if ip := p.s.Host.IP(); ip != "" && pod.Spec.HostNetwork {
		return ip // as the kubelet: a host-network pod's address is the machine's
	}
	if p.s.Network != nil && len(p.s.Network.IPs) > 0 {
		return p.s.Network.IPs[0]
	}
	return "127.0.0.1"
}

// applied is the pod as its sandbox was made.
func applied(s *state.State) *v1.Pod {
	if s.Applied != nil {
		return s.Applied
	}
	return s.Pod
}

// wantedPod is the pod of the manifests in the rules' terms; nil when it shall go.
func wantedPod(s *state.State) *Desired {
	if s.Decided && !s.DeletedAt.IsZero() {
		return nil
	}
	return Described(s)
}

// Described is the pod's latest manifest in the rules' terms, whether the pod shall go or not.
func Described(s *state.State) *Desired {
	pod := s.Pod
	d := &Desired{
		SharedRevision: s.Revisions.Shared, ContentRevision: s.Shown,
		RestartPolicy: pod.Spec.RestartPolicy, Grace: state.GraceOf(pod),
		OOMRestartsPod: pod.Annotations[manifests.OOMActionAnnotation] == manifests.OOMRestartsPod,
	}
	if limit := pod.Spec.ActiveDeadlineSeconds; limit != nil {
		d.ActiveDeadline = time.Duration(*limit) * time.Second
	}
	for i := range pod.Spec.InitContainers {
		c := container(s, &pod.Spec.InitContainers[i])
		c.Sidecar = manifests.IsSidecar(&pod.Spec.InitContainers[i])
		d.InitContainers = append(d.InitContainers, c)
	}
	for i := range pod.Spec.Containers {
		d.Containers = append(d.Containers, container(s, &pod.Spec.Containers[i]))
	}
	return d
}

func container(s *state.State, c *v1.Container) Container {
	out := Container{Name: c.Name, Revision: s.Revisions.Containers[c.Name], Resources: s.Revisions.Resources[c.Name], PostStart: state.HasPostStart(c)}
	if c.RestartPolicy != nil {
		out.RestartPolicy = *c.RestartPolicy
	}
	for _, r := range c.RestartPolicyRules {
		rule := RestartRule{All: r.Action == v1.ContainerRestartRuleActionRestartAllContainers}
		if r.ExitCodes != nil {
			rule.NotIn, rule.Codes = r.ExitCodes.Operator == v1.ContainerRestartRuleOnExitCodesOpNotIn, r.ExitCodes.Values
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

// ObservedOf is the state in the rules' terms.
func ObservedOf(s *state.State) *Observed {
	o := &Observed{
		SetUp: s.SetUp, SharedRevision: s.SharedRevision, ContentRevision: s.Content, Anything: s.Anything(), SetUpRetry: s.Retry.Due(),
		StopBy: s.StopBy, Grace: state.GraceOf(s.Pod), Containers: map[string]*Status{},
		Initialized: s.Initialized, Failed: s.Failed != nil, StartedAt: s.StartTime, EndBy: s.EndBy, Starting: s.Starting(),
		Hindered: map[string]bool{},
	}
	for i := range s.Pod.Spec.Containers {
		if c := &s.Pod.Spec.Containers[i]; state.HasPostStart(c) && hindered(s, c) {
			o.Hindered[c.Name] = true
		}
	}
	if s.SharedRevision == "" && !s.Dirty {
		o.SharedRevision = s.Revisions.Shared // only claimed so far
	}
	if s.Failed != nil {
		o.Revive, o.FailedGrace, o.Discards = s.Failed.Revive, s.Failed.Grace, s.Failed.Discards()
	}
	applied := s.Applied
	if applied == nil {
		applied = s.Pod
	}
	for i := range applied.Spec.InitContainers {
		if c := &applied.Spec.InitContainers[i]; manifests.IsSidecar(c) {
			o.Sidecars = append(o.Sidecars, c.Name)
		}
	}
	for name, c := range s.Containers {
		status := &Status{
			Revision: c.Revision, Resources: c.Resources, Running: c.Running, Backoff: c.Backoff,
			Stopping: c.Now.Stopping, KillAt: c.Now.KillAt, Killed: c.Now.Killed, ReplacedByEdit: c.Replaced,
			Retry: c.Now.Retry.Due(), Started: c.Started, Hook: c.Now.PreStop, Awaits: c.Now.Awaits,
			Hooked: c.Hooked, Begun: c.Begun, Making: c.Making != nil,
		}
		if c.Verdict != nil {
			status.Unhealthy, status.UnhealthyGrace = c.Verdict.Reason, c.Verdict.Grace
		}
		if c.Ended != nil {
			status.Ended, status.ExitCode, status.FinishedAt, status.ForMemory = true, c.Ended.ExitCode, c.Ended.FinishedAt, c.Ended.ForMemory()
		}
		o.Containers[name] = status
	}
	return o
}

// hindered: what a container's next attempt needs has failed, or hangs.
func hindered(s *state.State, c *v1.Container) bool {
	if image := s.Images[c.Image]; image != nil && image.Retry.Failures > 0 {
		return true
	}
	if s.LeftBehind(c.Name) > 0 || s.Pauses[state.ThingOf(state.KindCreate, c.Name)].Failures > 0 {
		return true
	}
	known := s.Containers[c.Name]
	return known != nil && (known.Now.WaitingReason != "" || known.Now.Retry.Failures > 0)
}

// absent names the first object that the pod's volumes need and that does not exist.
func absent(s *state.State) error { return reference.Absent(s.Pod, s.Objects) }
