package simulation

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// land changes the world as an effect does that succeeds.
func (d doer) land(uid string, w plan.Work) state.Result {
	b := d.box
	if _, ok := w.(plan.Clear); ok {
		defer d.claimsFree(uid)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch w := w.(type) {
	case plan.FindSandbox:
		s := b.sandboxes[uid]
		return state.SandboxFound{Complete: w.SameBoot && s != nil && s.mounted && s.attached}
	case plan.Claim:
		return d.claim(uid, w)
	case plan.SetUp:
		return d.setUp(uid, w)
	case plan.Attach:
		s := b.sandboxes[uid]
		if s == nil || !s.mounted {
			b.violatedLocked("%s is attached to the network without a sandbox", uid)
			return state.Attached{Problem: state.Problem{Message: "no sandbox"}}
		}
		s.attached, s.resolver = true, b.resolver
		attached := state.Attached{Resolver: w.Resolver}
		if !w.Pod.Spec.HostNetwork {
			attached.Attachment.IPs = []string{"10.0.0.7"}
		}
		return attached
	case plan.ShowResolver:
		if s := b.sandboxes[uid]; s != nil {
			s.resolver = b.resolver
		}
		return state.ResolverShown{Resolver: w.Resolver}
	case plan.Clear:
		return d.clear(uid, w)
	case plan.ShowVolumes:
		return state.VolumesShown{Content: w.Content}
	case plan.SetLimits:
		return state.LimitsSet{Resized: w.Resized}
	case plan.Measure:
		return d.measure(uid)
	case plan.Foresee:
		return d.foresee(w)
	case plan.Pull:
		if !b.registry[w.Ref] && !b.images[w.Ref] {
			return state.ImagePulled{Problem: state.Problem{Reason: "ErrImagePull", Message: "not found"}}
		}
		b.images[w.Ref] = true
		return state.ImagePulled{}
	}
	return d.landOnContainer(uid, w)
}

func (d doer) landOnContainer(uid string, w plan.Work) state.Result {
	b := d.box
	switch w := w.(type) {
	case plan.Create:
		return d.create(uid, w)
	case plan.Start:
		return d.start(w)
	case plan.Resize:
		if c := b.containers[w.ID]; c == nil || c.status != state.FoundRunning {
			return state.Resized{Problem: state.Problem{Message: "no such process"}}
		}
		return state.Resized{Resources: w.Resources}
	case plan.ReadOutput:
		return state.OutputRead{}
	case plan.Hook:
		return state.HookEnded{PreStop: w.PreStop}
	case plan.Signal:
		return d.signal(w)
	case plan.Examine:
		c := b.containers[w.ID]
		if c == nil {
			return state.Examined{}
		}
		if w.Lost && c.status == state.FoundRunning {
			b.exitLocked(c, 137)
			b.ends[c.id] = ending{code: 137, at: c.ended, lost: true}
		}
		return state.Examined{Kills: c.kills, Message: fmt.Sprintf("last words of %.6s", w.ID)}
	case plan.Drain:
		return state.LogComplete{Text: "the end of the log"}
	case plan.Delete:
		if c := b.containers[w.ID]; c != nil && c.status == state.FoundRunning && !w.Kill {
			b.violatedLocked("container %s/%s %.6s is deleted while it runs", uid, c.name, c.id)
		}
		if c := b.containers[w.ID]; c != nil && c.status == state.FoundRunning {
			c.status = state.FoundUnknown // it is killed, and nobody asks how it ended
		}
		delete(b.containers, w.ID)
		return state.LeftoverGone{}
	}
	panic(fmt.Sprintf("no such effect: %T", w))
}

// refuse is what comes of a command that cannot be started: the attempt has ended with that, if it still counts.
func (d doer) refuse(w plan.Work) state.Result {
	b := d.box
	is, uid := w.Is(), uidOf(w)
	b.mu.Lock()
	c, ok := w.(plan.Create)
	missing := ok && !b.images[c.Spec.Image]
	b.mu.Unlock()
	if missing {
		return d.land(uid, w)
	}
	d.half(w)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends[is.ID] = ending{code: state.ExitOfStartError, at: time.Now()}
	b.history(uid, is.Name).refused++
	problem := state.Problem{Reason: state.ReasonStartError, Message: "no such command", Refused: true}
	if is.Kind == state.KindStart {
		return state.Started{Problem: problem}
	}
	return state.Made{LeftBehind: true, Problem: problem}
}

// half is what an effect leaves that fails.
func (d doer) half(w plan.Work) {
	b := d.box
	b.mu.Lock()
	defer b.mu.Unlock()
	switch w := w.(type) {
	case plan.SetUp:
		s := b.sandbox(string(w.Pod.UID))
		s.data = true
	case plan.Create:
		if len(w.ID)%2 == 0 && b.containers[w.ID] == nil { // something may be there
			b.containers[w.ID] = &container{
				id: w.ID, uid: string(w.Pod.UID), name: w.Name, attempt: w.Attempt, revision: w.Revision, spec: w.Spec, boot: b.boot,
				status: state.FoundUnknown, created: time.Now(), changed: make(chan struct{}),
			}
		}
	}
}

// foresee says what images are missing. b.mu is held.
func (d doer) foresee(w plan.Foresee) state.Result {
	var out state.Foreseen
	for _, ref := range w.Refs {
		if !d.box.images[ref] {
			out.Missing = append(out.Missing, state.Lack{Ref: ref})
		}
	}
	return out
}

// claim takes the pod's name and the host ports. b.mu is held, as for all below.
func (d doer) claim(uid string, w plan.Claim) state.Result {
	for other, name := range d.names {
		if other != uid && name == manifests.Key(w.Pod) {
			return state.Claimed{Problem: state.Problem{Reason: state.ReasonNameTaken, Message: "the name is taken", Claim: true}}
		}
	}
	ports := portsOf(w.Pod)
	for other, has := range d.ports {
		for port := range ports {
			if other != uid && has[port] {
				return state.Claimed{Problem: state.Problem{Reason: "FailedClaim", Message: fmt.Sprintf("port %d is taken", port), Claim: true}}
			}
		}
	}
	b := d.box
	if len(ports) > 0 && !b.calm && !b.spared(uid) && b.drawLocked("listens", uid).Float64() < b.temper.fail {
		delete(d.ports, uid)
		delete(d.names, uid)
		return state.Claimed{Problem: state.Problem{Reason: "HostPortConflict", Message: "a program listens there"}, Released: true}
	}
	d.ports[uid] = ports
	d.names[uid] = manifests.Key(w.Pod)
	return state.Claimed{}
}

func portsOf(p *v1.Pod) map[int32]bool {
	out := map[int32]bool{}
	for _, port := range state.HostPorts(p) {
		out[port.HostPort] = true
	}
	return out
}

func (d doer) setUp(uid string, w plan.SetUp) state.Result {
	b := d.box
	for port := range portsOf(w.Pod) {
		if !d.ports[uid][port] {
			b.violatedLocked("%s is set up without its port %d", uid, port)
		}
	}
	if d.names[uid] != manifests.Key(w.Pod) {
		b.violatedLocked("%s is set up without its name", uid)
	}
	s := b.sandbox(uid)
	if s.mounted {
		b.violatedLocked("%s is set up twice", uid)
	}
	s.mounted, s.data, s.shared, s.pod = true, true, w.Key, manifests.Key(w.Pod)
	s.done, s.begun = map[string]bool{}, map[string]bool{}
	return state.SandboxMade{}
}

func (d doer) clear(uid string, w plan.Clear) state.Result {
	b := d.box
	for _, c := range b.containers {
		if c.uid == uid && !c.late && (c.status == state.FoundRunning || c.status == state.FoundCreated) {
			b.violatedLocked("the sandbox of %s is cleared while container %s %.6s exists (%v)", uid, c.name, c.id, c.status)
		}
	}
	s := b.sandbox(uid)
	s.mounted, s.attached = false, false
	b.cleared[uid] = time.Now()
	if w.Gone {
		b.removals[uid]++
		b.goneAt[uid] = time.Now()
	}
	if w.All {
		s.data = false
		delete(b.sandboxes, uid)
	}
	panicked, ok := d.panics[uid]
	voided := !d.alive || ok && time.Since(panicked) < tooLong // who asked for it is no more, and the record may have the history
	for key, h := range b.histories {
		if len(key) > len(uid) && key[:len(uid)+1] == uid+"/" {
			h.streak = -1
			if w.Gone {
				h.last, h.attempts, h.refused, h.free = nil, map[int]string{}, 0, voided && b.disk.written[uid] != nil
			}
		}
	}
	delete(d.ports, uid)
	delete(d.names, uid)
	return state.Cleared{All: w.All}
}

// claimsFree tells the pods that others have given something back.
func (d doer) claimsFree(string) {
	d.box.mu.Lock()
	alive := d.alive
	d.box.mu.Unlock()
	if alive {
		d.owner.Broadcast(state.ClaimsFree{})
	}
}

func (d doer) measure(uid string) state.Result {
	b := d.box
	if b.calm {
		return state.Measured{}
	}
	b.mu.Unlock()
	over := b.draw("measure", uid).IntN(20) == 0
	b.mu.Lock()
	if over {
		return state.Measured{Over: "it has written too much"}
	}
	return state.Measured{}
}

func (d doer) create(uid string, w plan.Create) state.Result {
	b := d.box
	if !b.images[w.Spec.Image] {
		return state.Made{Problem: state.Problem{Reason: "ErrImageNotPresent", Message: "not present", Lacks: w.Spec.Image}}
	}
	if s := b.sandboxes[uid]; s == nil || !s.mounted {
		if d.alive {
			b.violatedLocked("container %s/%s is created without a sandbox", uid, w.Name)
		}
		return state.Made{Problem: state.Problem{Reason: "CreateContainerError", Message: "no sandbox"}}
	}
	for _, e := range w.Spec.Env {
		if e.ValueFrom == nil || !d.alive {
			continue
		}
		if shown, err := w.Inputs.Field(e.ValueFrom.FieldRef.FieldPath); err != nil || shown == "" {
			b.violatedLocked("container %s/%s shows %q as %s (%v)", uid, w.Name, shown, e.ValueFrom.FieldRef.FieldPath, err)
		}
	}
	b.pids++
	isInit, sidecar, order := false, false, 0
	for i := range w.Pod.Spec.InitContainers {
		if c := &w.Pod.Spec.InitContainers[i]; c.Name == w.Name {
			isInit, sidecar, order = true, manifests.IsSidecar(c), i
		}
	}
	b.containers[w.ID] = &container{
		id: w.ID, uid: uid, pod: manifests.Key(w.Pod), name: w.Name, attempt: w.Attempt, revision: w.Revision, spec: w.Spec, init: isInit && !sidecar, sidecar: sidecar, order: order,
		boot: b.boot, status: state.FoundCreated, created: time.Now(), pid: b.pids, changed: make(chan struct{}),
	}
	return state.Made{Pid: b.pids, Image: w.Spec.Image, ImageID: "sha256:" + w.Spec.Image, StopSignal: state.StopSignal(w.Spec, "")}
}

func (d doer) start(w plan.Start) state.Result {
	b := d.box
	c := b.containers[w.ID]
	if c == nil || c.status != state.FoundCreated {
		return state.Started{Problem: state.Problem{Reason: "RunContainerError", Message: "no such container"}}
	}
	b.checkStart(c, w.Pod)
	b.sandbox(c.uid).begun[c.name] = true
	c.status, c.started = state.FoundRunning, time.Now()
	b.live(c)
	return state.Started{When: c.started}
}

func (d doer) signal(w plan.Signal) state.Result {
	b := d.box
	c := b.containers[w.ID]
	switch {
	case c == nil:
		return state.SignalSent{Signal: w.Signal, Found: &state.Found{ID: w.ID, Name: w.Name}}
	case c.status != state.FoundRunning:
		found := c.found()
		return state.SignalSent{Signal: w.Signal, Found: &found}
	}
	c.condemned = c.condemned || c.judgedBy == d.n
	b.dieOf(c, w.Signal)
	return state.SignalSent{Signal: w.Signal}
}
