package plan

import (
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
)

// follow wants what the rules ask for.
func (p *planner) follow() {
	s := p.s
	d, o := wantedPod(s), ObservedOf(s)
	if s.Eviction != nil {
		p.decide(state.EvictionDecided{Ends: evicts(d, o)})
	}
	starts := map[string]bool{}
	for _, a := range Next(d, o, p.now) {
		if start, ok := a.(StartContainer); ok {
			starts[start.Name] = true
		}
		p.take(a)
	}
	p.unmake(starts)
	foresee(p, d, o)
	p.tellBackoff(d, o)
	if s.SetUp && s.Wanted() && s.StopBy.IsZero() {
		p.network()
		p.limits()
	}
	p.measure()
	p.clearDirt()
	p.deletions()
}

// take turns one action of the rules into what has to run, or be decided.
func (p *planner) take(a Action) {
	switch a := a.(type) {
	case WaitUntil:
		p.at(a.T)
	case SetUpPod:
		p.setUp()
	case TearDownPod, DiscardPod:
		p.clear(true)
	case SuspendPod:
		p.clear(false)
	case StartContainer:
		p.start(a)
	case ResizeContainer:
		p.resize(a.Name)
	case RefreshVolumes:
		p.want(ShowVolumes{Pod: p.s.Pod, Inputs: p.s.Inputs(p.s.Pod), Content: p.s.Shown})
	default:
		p.decideOn(a)
	}
}

// decideOn takes an action that needs no look at the world.
func (p *planner) decideOn(a Action) {
	switch a := a.(type) {
	case FailPod:
		p.decide(state.PodFailed{Reason: a.Reason, Message: a.Message})
	case MarkInitialized:
		p.decide(state.Initialized{})
	case BeginAnew:
		p.decide(state.BegunAnew{Trigger: a.Trigger, Backoff: a.Backoff})
	case StopContainer:
		c := p.s.Containers[a.Name]
		if c.Now.Exit != nil {
			return // it has ended
		}
		if a.Tells && p.s.Noted < c.Now.Judged {
			return // it may end at once, with 0; its grace period begins when the next Solopod would know why
		}
		p.decide(state.StopBegun{At: p.now, Name: a.Name, Grace: a.Grace, Reason: a.Reason, Replace: a.Replace, EndsPod: a.EndsPod, Awaits: a.Awaits})
	case TakeTurn:
		if p.s.Containers[a.Name].Now.Exit == nil {
			p.decide(state.TurnCome{At: p.now, Name: a.Name})
		}
	case AbandonHook:
		p.decide(state.HookOver{At: p.now, Name: a.Name})
	case KillContainer:
		if p.s.Containers[a.Name].Now.Exit == nil {
			p.decide(state.KillBegun{At: p.now, Name: a.Name})
		}
	case RemoveContainer:
		if p.s.Containers[a.Name].Making == nil {
			p.decide(state.Removed{Name: a.Name})
		}
	}
}

// setUp makes the sandbox, in steps: what is left of an earlier one goes, then what it needs is looked at, then what it
// competes for is claimed.
func (p *planner) setUp() {
	s := p.s
	if s.Dirty || !s.Quiet() {
		if f := s.Flights[state.ThingSandbox]; f != nil && f.Kind == state.KindSetUp {
			p.want(SetUp{Pod: s.Pod, Key: s.Revisions.Shared})
		}
		return // clearDirt and the deletions go on
	}
	if err := absent(s); err != nil {
		p.decide(state.NotPrepared{At: p.now, Problem: state.Problem{Reason: "FailedMount", Message: err.Error()}})
		return
	}
	lacking := false
	for _, v := range s.Pod.Spec.Volumes {
		if v.Image != nil && s.Images[v.Image.Reference] != nil {
			p.pull(v.Image.Reference)
			lacking = true
		}
	}
	switch {
	case lacking:
	case s.GrantedFor != s.Revisions.Shared:
		p.want(Claim{Pod: s.Pod, Had: s.Grant, Key: s.Revisions.Shared})
	default:
		p.want(SetUp{Pod: s.Pod, Grant: s.Grant, Inputs: s.Inputs(s.Pod), Known: known(s, s.Pod, s.Objects), Key: s.Revisions.Shared})
	}
}

// pull fetches an image that is known to be missing.
func (p *planner) pull(ref string) { pullFor(p, p.s.Pod, p.s.Objects, ref) }

func pullFor(p *planner, pod *v1.Pod, objects reference.Objects, ref string) {
	image := p.s.Images[ref]
	tellPullBackoff(p, ref, image)
	if image.AwaitsScan || image.Policy == v1.PullNever || !p.due(image.Retry) {
		return
	}
	p.want(Pull{Ref: ref, Pod: pod, Known: known(p.s, pod, objects)})
}

func known(s *state.State, pod *v1.Pod, objects reference.Objects) Known {
	k := Known{Secrets: map[string]*v1.Secret{}}
	for _, named := range pod.Spec.ImagePullSecrets {
		k.Secrets[named.Name] = objects.Secrets[named.Name]
	}
	for _, c := range s.Containers {
		if c.Image != "" {
			k.Had = append(k.Had, c.Image)
		}
	}
	return k
}

// tellPullBackoff: a pull that has failed shows as that at first, and as one that waits from when the kubelet, which syncs a pod that
// has failed after ten seconds (pkg/kubelet, backOffPeriod), would look again; with the first waits, as long as that, from half of them on.
func tellPullBackoff(p *planner, ref string, image *state.Image) {
	if image.BacksOff || image.Retry.Failures == 0 {
		return
	}
	told := image.Retry.Set.Add(min(image.Retry.Delay/2, state.InitialBackoff))
	if told.After(p.now) {
		p.at(told)
		return
	}
	p.decide(state.PullBacksOff{Ref: ref})
}

// clear undoes the sandbox when nothing uses it.
func (p *planner) clear(all bool) {
	s := p.s
	if f := s.Flights[state.ThingSandbox]; s.Quiet() && (p.due(s.ClearRetry) || f != nil && f.Kind == state.KindClear) {
		p.want(Clear{Pod: applied(p.s), All: all, Gone: all && !s.Wanted()})
	}
}

// clearDirt clears what a set-up that failed, or was cut off, has left.
func (p *planner) clearDirt() {
	if p.s.Dirty && !p.s.SetUp && !p.s.AnyRuns() && p.wants[state.ThingSandbox] == nil {
		p.clear(false)
	}
}

// network connects the pod beside the creation of its first container.
func (p *planner) network() {
	s := p.s
	if s.Network == nil && s.SharedRevision == s.Revisions.Shared {
		p.want(Attach{Pod: s.Applied, Key: s.SharedRevision, Resolver: s.Host.Resolver})
	}
	if s.Network != nil && s.Resolver != s.Host.Resolver {
		p.want(ShowResolver{Pod: s.Applied, Resolver: s.Host.Resolver})
	}
}

// lacksAddress says whether a container shows an address that the machine does not have yet, as before its network is up. A pod with the
// host's network runs without one: it may be what brings the network up.
func lacksAddress(s *state.State, spec *v1.Container) bool {
	return reference.NeedsHostAddress(spec) && len(s.Host.IPs) == 0 || reference.NeedsAddress(spec) && len(s.Network.IPs) == 0
}

// limits gives the pod as a whole what an edit changed of it.
func (p *planner) limits() {
	if s := p.s; s.Resized != s.Revisions.Resized && s.SharedRevision == s.Revisions.Shared {
		p.want(SetLimits{Pod: s.Pod, Resized: s.Revisions.Resized})
	}
}

// start brings a container's next attempt one step further.
func (p *planner) start(a StartContainer) {
	s := p.s
	c, spec := s.Containers[a.Name], manifests.ContainerOf(s.Pod, a.Name)
	if c != nil && c.Making != nil {
		p.goOn(c, a.Name, spec)
		return
	}
	if s.LeftBehind(a.Name) >= mostLeft {
		if c != nil && c.Now.WaitingReason != state.ReasonHeldBack {
			p.decide(state.HeldBack{Name: a.Name})
		}
		return // what returns has it looked at again
	}
	if s.Images[spec.Image] != nil && (c == nil || c.Now.Lacks == "" || c.Now.Lacks == spec.Image) {
		p.pull(spec.Image)
		return
	}
	if p.creates || flies(p.s, state.KindCreate) || flies(p.s, state.KindDelete) || flies(p.s, state.KindSetLimits) {
		return // one after the other: they share a shim
	}
	if s.Resized != s.Revisions.Resized || s.Network == nil && reference.NeedsAddress(spec) {
		return
	}
	if lacksAddress(s, spec) {
		if c == nil || c.Now.WaitingMessage != state.NoAddress {
			p.decide(state.AddressAwaited{Name: a.Name})
		}
		return // until the machine has one
	}
	attempt := c.NextAttempt()
	for _, l := range s.Leftovers {
		if l.Name == a.Name && (l.Attempt == attempt || l.Kill) {
			return // the files of the try before go first, and what may run
		}
	}
	id := p.id(a.Name, attempt)
	making := &state.Making{
		ID: id, Attempt: attempt, Revision: s.Revisions.Containers[a.Name], Resources: s.Revisions.Resources[a.Name],
		Backoff: a.Backoff, Spec: spec, Began: p.now,
	}
	if s.Flights[state.ThingOf(state.KindCreate, a.Name)] == nil { // what was left behind there may never end
		p.creates = true
	}
	p.want(Create{
		Target: Target{Pod: s.Pod, Name: a.Name, ID: id, Attempt: attempt}, Spec: spec, Revision: making.Revision, Grant: s.Grant,
		Inputs: s.Inputs(s.Pod), Known: known(s, s.Pod, s.Objects), Making: making, Sizes: p.sizes(),
	})
}

// sizes identify the resources of the pod and of all its containers. A creation gives the pod as a whole its limits; one that
// began with others would take back what an edit has changed meanwhile.
func (p *planner) sizes() string {
	return state.Hash([]any{p.s.Revisions.Resized, p.s.Revisions.Resources})
}

// goOn: the attempt is being made.
func (p *planner) goOn(c *state.Container, name string, spec *v1.Container) {
	s, m := p.s, c.Making
	if m.Revision != s.Revisions.Containers[name] {
		return // it is edited away
	}
	t := Target{Pod: s.Pod, Name: name, ID: m.ID, Attempt: m.Attempt}
	switch {
	case !m.Created:
		if f := s.Flights[state.ThingOf(state.KindCreate, name)]; f == nil || !f.Left {
			p.creates = true
		}
		p.want(Create{Target: t, Spec: spec, Revision: m.Revision, Making: m, Sizes: p.sizes()})
	case s.Network != nil && s.SetUp && s.Noted >= s.AttachedAt: // the next Solopod must know the pod as complete
		p.want(Start{Target: t, Spec: m.Spec})
	}
}

// unmake gives attempts up that were created and are no longer wanted.
func (p *planner) unmake(starts map[string]bool) {
	for name, c := range sorted(p.s.Containers) {
		m := c.Making
		if m == nil || !m.Created || p.s.Flights[state.ThingOf(state.KindStart, name)] != nil {
			continue
		}
		if !starts[name] || m.Revision != p.s.Revisions.Containers[name] || !p.s.SetUp {
			p.decide(state.Unmade{Name: name})
		}
	}
}

func (p *planner) resize(name string) {
	s := p.s
	c := s.Containers[name]
	if c.Now.Exit != nil {
		return
	}
	p.want(Resize{
		Target: Target{Pod: s.Pod, Name: name, ID: c.ID, Attempt: c.Attempt}, Spec: manifests.ContainerOf(s.Pod, name),
		Resources: s.Revisions.Resources[name],
	})
}

// tellBackoff says that restarts have to wait, once for each.
func (p *planner) tellBackoff(d *Desired, o *Observed) {
	if d == nil || !p.s.StopBy.IsZero() {
		return
	}
	for name, c := range sorted(p.s.Containers) {
		if c.Now.BackoffTold {
			continue
		}
		if _, wait := BacksOff(d, o, name, c); wait {
			p.decide(state.BackingOff{Name: name})
		}
	}
}
