package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/owner"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// daemon is one life of the process.
type daemon struct {
	n     int // of its life
	box   *box
	owner *owner.Owner
	dead  chan struct{} // closed with its end

	// under box.mu
	alive  bool
	ports  map[string]map[int32]bool // by UID: the host ports that a pod has; two have the same after an outdated record
	names  map[string]string         // names of pods, by UID
	active map[string]bool           // effects that run, by pod and thing
	begins map[string][]time.Time
	panics map[string]time.Time // by UID: when the pod's code, or an effect's, panicked last
	voided map[string]time.Time // by UID: when the pod's code did, so that what ran does not count
	last   map[string]time.Time // by UID: when an effect other than a pull ended last
	// endBegan is when the end of a pod began, by UID; drainBy is when the machine goes down.
	endBegan map[string]time.Time
	drainBy  time.Time
	// deafLists counts the questions for containerd's list that hung for ever.
	deafLists int
	// hooks are the containers whose postStart hooks run, by pod and thing; left are those with an effect that was left behind.
	hooks map[string]string
	left  map[string]bool
}

func (b *box) host() state.Host {
	return state.Host{Node: "box", IPs: b.ips, Resolver: b.resolver, BootID: fmt.Sprintf("boot-%d", b.boot)}
}

// start begins a life of the daemon with what is on the disk.
func (b *box) start() *daemon {
	b.mu.Lock()
	d := &daemon{
		box: b, dead: make(chan struct{}), alive: true, ports: map[string]map[int32]bool{}, names: map[string]string{}, active: map[string]bool{}, begins: map[string][]time.Time{},
		panics: map[string]time.Time{}, voided: map[string]time.Time{}, last: map[string]time.Time{}, endBegan: map[string]time.Time{}, hooks: map[string]string{}, left: map[string]bool{},
	}
	b.lives++
	d.n = b.lives
	b.daemon = d
	host := b.host()
	var states []state.State
	for _, uid := range slices.Sorted(maps.Keys(b.disk.written)) {
		s, err := state.Decode(b.disk.written[uid], uid, host, false)
		if err != nil {
			b.violatedLocked("the record of %s cannot be read: %v", uid, err)
			continue
		}
		states = append(states, s)
		if sandbox := b.sandboxes[uid]; s.Applied != nil && sandbox != nil && sandbox.mounted { // it has its ports before others ask
			d.ports[uid] = portsOf(s.Applied)
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(b.sandboxes)) {
		if b.disk.written[uid] == nil {
			states = append(states, state.Orphan(host, 0, uid))
		}
		if sandbox := b.sandboxes[uid]; sandbox.mounted {
			d.names[uid] = sandbox.pod
		}
	}
	b.mu.Unlock()
	b.note("---- the daemon starts (%s)", host.BootID)
	d.owner = owner.New(owner.Config{
		Host: host, ClockOffset: func() time.Duration { return 0 }, Doer: doer{d}, Records: records{d}, Lister: lister{d}, Report: d.report,
	})
	d.owner.Adopt(states)
	d.owner.Resync()
	return d
}

// kill ends the daemon at once.
func (b *box) kill() {
	b.mu.Lock()
	d := b.daemon
	if d == nil {
		b.mu.Unlock()
		return
	}
	d.alive = false
	b.daemon = nil
	for key, h := range b.histories {
		h.streak = -1
		uid, _, _ := strings.Cut(key, "/")
		b.outlived(uid, h)
	}
	close(d.dead)
	b.mu.Unlock()
	b.note("---- the daemon is killed")
	d.owner.Stop()
}

// outlived: a pod that was cleared is taken up again from the record that has its history, if that is still there. b.mu is held.
func (b *box) outlived(uid string, h *history) {
	if h.last == nil && !b.goneAt[uid].IsZero() && b.disk.written[uid] != nil {
		h.free = true
	}
}

// cut ends the power.
func (b *box) cut() {
	b.kill()
	b.note("---- the power is cut")
	r := b.draw("cut")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reboot(func() bool { return r.IntN(2) == 0 })
}

// reboot takes away what does not outlive one. b.mu is held.
func (b *box) reboot(lucky func() bool) {
	b.boot++
	b.lastCut = time.Now()
	b.disk.cut(lucky)
	for _, c := range b.containers {
		c.status, c.pid = state.FoundUnknown, 0
	}
	for _, s := range b.sandboxes {
		s.mounted, s.attached = false, false
		s.done, s.begun = map[string]bool{}, map[string]bool{}
	}
	for _, h := range b.histories {
		h.free, h.streak = true, -1
	}
}

// editedNow notes that the pod's manifest is another one.
func (b *box) editedNow(uid string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.edited[uid] = time.Now()
}

func (b *box) wasEvicted(uid string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.evicted[uid] = true
}

// replaced: what runs is not stopped for an edit whose images are not there. b.mu is held.
func (b *box) replaced(p *v1.Pod, r state.Report) {
	uid := string(p.UID)
	if !strings.Contains(r.Message, "manifest changed") || b.evicted[uid] || !b.stale[uid].IsZero() || !b.begun[uid+"/"+r.Container].Before(b.edited[uid]) {
		return
	}
	running := b.running(uid)
	for _, c := range manifests.AllContainers(p) {
		if !b.images[c.Image] && running[c.Name] != nil {
			b.violatedLocked("%s: %s, and image %s is not there", p.UID, r.Message, c.Image)
		}
	}
}

// report is the owner's.
func (d *daemon) report(p *v1.Pod, r state.Report) {
	b := d.box
	uid := string(p.UID)
	b.note("%s told: %s %s: %s", uid, r.Container, r.Reason, r.Message)
	b.mu.Lock()
	b.told[r.Reason]++
	switch r.Reason {
	case "Started":
		b.begun[uid+"/"+r.Container] = time.Now()
	case "Killing":
		b.replaced(p, r)
	case "OOMStopped":
		b.stopped[uid] = true
	case "InternalError":
		d.panics[uid] = time.Now()
		if strings.HasPrefix(r.Message, "Solopod's own code failed") {
			d.voided[uid] = time.Now()
		}
		for key, h := range b.histories {
			if strings.HasPrefix(key, uid+"/") {
				b.outlived(uid, h)
			}
		}
	case "OOMRestart":
		b.anew(uid, r.Message)
	case "EffectLeftBehind":
		d.left[uid+"/"+r.Container] = true
	}
	b.mu.Unlock()
	d.noteVerdict(uid, r)
	d.noteStop(p, r)
	if r.Reason != "InternalError" && !b.isCalm() && !b.spared(uid) && b.draw("report", uid, r.Reason).Float64() < b.temper.reports {
		if r.Reason == "Removed" { // the record that it is taken up from still has its history
			b.mu.Lock()
			b.outdated(uid)
			b.mu.Unlock()
		}
		panic("injected: a fault in the pod's own code")
	}
}

// anew: containers that had not crashed run again because another one, which message names, was killed. b.mu is held.
func (b *box) anew(uid, message string) {
	for key, h := range b.histories {
		if name, ok := strings.CutPrefix(key, uid+"/"); ok && !strings.HasPrefix(message, "container "+name+" ") {
			h.streak = -1
		}
	}
}

// mostDeafLists is how many questions for containerd's list may hang for ever in one life of the daemon: it asks no more than four at once.
const mostDeafLists = 3

// lister is containerd's list.
type lister struct{ d *daemon }

// List implements owner.Lister.
func (l lister) List(ctx context.Context) (map[string][]state.Found, error) {
	b := l.d.box
	f := l.d.fate("", "List", "")
	wait, gate := time.After(f.before), (<-chan struct{})(nil)
	if f.hang && f.deaf && b.seed%4 == 0 { // it is one for all pods: where some have no faults it answers in the end
		b.mu.Lock()
		l.d.deafLists++
		f.hang = l.d.deafLists <= mostDeafLists
		b.mu.Unlock()
	}
	if f.hang {
		wait, gate = nil, b.gate()
	}
	done := ctx.Done()
	if f.deaf {
		done = nil
	}
	select {
	case <-wait:
	case <-gate:
	case <-done:
		return nil, ctx.Err()
	case <-l.d.dead:
		return nil, errDead
	}
	if f.fail {
		return nil, errors.New("containerd does not answer")
	}
	b.mu.Lock()
	out := map[string][]state.Found{}
	for _, id := range slices.Sorted(maps.Keys(b.containers)) {
		c := b.containers[id]
		found := c.found()
		if found.Status == state.FoundRunning && !b.calm && f.late {
			found.Status = state.FoundUnanswered
		}
		out[c.uid] = append(out[c.uid], found)
		if b.options.Trace {
			b.trace = append(b.trace, fmt.Sprintf("              %s listed: %s attempt %d %.6s status %d", c.uid, c.name, c.attempt, c.id, found.Status))
		}
	}
	b.mu.Unlock()
	select {
	case <-time.After(f.after):
	case <-l.d.dead:
	}
	return out, nil
}

func (c *container) found() state.Found {
	return state.Found{
		ID: c.id, Name: c.name, Attempt: c.attempt, Revision: c.revision, CreatedAt: c.created, Pid: c.pid, Status: c.status,
		ExitCode: c.code, ExitedAt: c.ended,
	}
}

// begin notes that an effect begins, and checks that it may.
func (d *daemon) begin(uid string, w plan.Work) (end func()) {
	is := w.Is()
	key := uid + " " + is.Thing()
	b := d.box
	b.note("%s begins %s %s %.6s", uid, is.Kind, is.Name, is.ID)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.effects[is.Kind]++
	if d.active[key] && is.Kind != state.KindPull { // a pod that is gone does not wait for its pulls
		b.violatedLocked("two effects work on %s", key)
	}
	d.active[key] = true
	switch w := w.(type) {
	case plan.Signal:
		d.checkTurn(w)
		d.checkAsked(w)
	case plan.SetUp:
		delete(d.endBegan, uid) // an end that had begun does not go on
	case plan.Create:
		delete(d.endBegan, uid)
		d.checkHooks(w)
	}
	hook, ok := w.(plan.Hook)
	if postStart := ok && !hook.PreStop; postStart {
		d.hooks[key] = hook.ID
	}
	if d.alive { // when it is dead all ends at once
		d.checkPace(key + " " + is.Kind)
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		d.active[key] = false
		delete(d.hooks, key)
		if is.Kind != state.KindPull {
			d.last[uid] = time.Now()
		}
	}
}

// Most effects of a kind on one thing that a window of time may see, for whatever reasons.
const (
	window     = 10 * time.Second
	mostBegins = 12
)

// checkPace: nothing spins. b.mu is held.
func (d *daemon) checkPace(key string) {
	now := time.Now()
	list := append(d.begins[key], now)
	for len(list) > 0 && now.Sub(list[0]) > window {
		list = list[1:]
	}
	d.begins[key] = list
	if len(list) > mostBegins {
		d.box.violatedLocked("%s was begun %d times within %s", key, len(list), window)
		d.begins[key] = nil
	}
}

// desired is what the manifests say, as the owner takes it.
func (s *script) desired() map[string]manifests.Desired {
	out := map[string]manifests.Desired{}
	for uid, p := range s.wanted {
		out[uid] = manifests.Desired{Pod: p, File: uid + ".yaml"}
	}
	return out
}
