package simulation

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
)

// script is what happens to the box. One goroutine runs it.
type script struct {
	box    *box
	r      *rand.Rand
	wanted map[string]*v1.Pod // what the manifests say, by UID
	latest map[string]*v1.Pod // what they said last of each pod
	// since is when the manifests changed last, by UID.
	since map[string]time.Time
	// removed is the deletionTimestamp that was seen first.
	removed map[string]time.Time
	n       int
	turns   uint64
	kept    []keptState
	asked   []question
	applied time.Time // when the present daemon got its manifests first; zero before
	restart map[string]int32
	moved   map[string]sighting // by UID and type, as it was seen last
	gone    map[string]int
	held    held
}

// question is one that must be answered by a time.
type question struct {
	what   string
	answer <-chan struct{}
	by     time.Time
	d      *daemon
}

func newScript(b *box) *script {
	return &script{
		box: b, r: b.draw("script"), wanted: map[string]*v1.Pod{}, latest: map[string]*v1.Pod{}, since: map[string]time.Time{},
		removed: map[string]time.Time{}, restart: map[string]int32{}, moved: map[string]sighting{}, gone: map[string]int{},
		held: newHeld(),
	}
}

func (s *script) begin() {
	b := s.box
	b.images[imagePresent], b.registry[imagePulled] = true, true
	b.ips, b.resolver = addresses[s.r.IntN(len(addresses))], "resolver"
	for i := range 1 + s.r.IntN(3) {
		s.latest[podUID(i)] = newPod(s.r, i)
		chooseOOM(b.draw("oom", podUID(i)), s.latest[podUID(i)])
		s.wanted[podUID(i)] = s.latest[podUID(i)]
		s.changed(podUID(i))
	}
	s.up()
}

// up starts the daemon and has it read the manifests.
func (s *script) up() {
	s.box.start()
	s.applied = time.Time{}
	s.wait(time.Duration(s.r.Int64N(int64(50 * time.Millisecond))))
	s.apply()
	s.question("Reconciled", s.box.daemon.owner.Reconciled(), 45*time.Second)
	after := time.Duration(s.r.Int64N(int64(10 * time.Second)))
	d := s.box.daemon
	time.AfterFunc(after, func() {
		s.box.mu.Lock()
		alive := d.alive
		s.box.mu.Unlock()
		if alive {
			d.owner.ImagesScanned()
		}
	})
}

func (s *script) question(what string, answer <-chan struct{}, limit time.Duration) {
	s.asked = append(s.asked, question{what: what, answer: answer, by: time.Now().Add(limit), d: s.box.daemon})
}

func (s *script) changed(uid string) {
	s.held.released(uid)
	s.since[uid] = time.Now()
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.changed[uid] = time.Now()
	for key, h := range s.box.histories {
		if key[:len(uid)+1] == uid+"/" {
			h.streak = -1
		}
	}
}

// apply gives the owner what the manifests say.
func (s *script) apply() {
	if d := s.box.daemon; d != nil {
		if s.applied.IsZero() {
			s.applied = time.Now()
		}
		d.owner.Apply(s.desired(), map[string]reference.Objects{})
	}
}

// wait passes time, and then checks what must always hold.
func (s *script) wait(d time.Duration) {
	pause(d)
	synctest.Wait()
	s.check()
}

// step has one thing happen.
func (s *script) step() {
	s.n++
	s.wait(s.pauseLength())
	b := s.box
	if b.daemon == nil {
		s.up()
		s.wait(0)
		return
	}
	uids := slices.Sorted(maps.Keys(s.latest))
	uid := uids[s.r.IntN(len(uids))]
	switch n := s.r.IntN(100); {
	case n < 30:
		s.edit(uid)
	case n < 45:
		s.remove(uid)
	case n < 55:
		s.restartByHand(uid)
	case n < 62:
		s.kill(b.kill)
	case n < 65:
		s.kill(b.cut)
		s.forgetAll()
	case n < 68:
		s.drain()
	case n < 75:
		b.note("---- image %s comes", imageLate)
		b.mu.Lock()
		b.images[imageLate] = true
		b.mu.Unlock()
		b.daemon.owner.Broadcast(state.ImagesReady{Names: []string{"docker.io/library/" + imageLate}})
	case n < 82:
		s.killForMemory(uid)
	case n < 86:
		b.note("---- what hangs is let go")
		b.letGo()
	case n < 90:
		b.note("---- events are subscribed to again")
		b.daemon.owner.Resync()
	case n < 92:
		s.move()
	case n < 94:
		s.question("Settled "+uid, s.settled(uid), 15*time.Minute)
	case n < 97:
		s.evict(uid)
	case n < 99:
		s.readmit(uid)
	}
	s.wait(0)
}

// move gives the machine other addresses, or another resolver configuration. Now and then it begins without an address.
func (s *script) move() {
	b := s.box
	b.mu.Lock()
	if s.r.IntN(2) == 0 {
		b.ips = addresses[1+s.r.IntN(len(addresses)-1)]
	} else {
		b.resolver = fmt.Sprintf("resolver-%d", s.n)
	}
	e := state.HostChanged{IPs: b.ips, Resolver: b.resolver}
	b.mu.Unlock()
	b.note("---- the machine has the addresses %v, and the resolver %s", e.IPs, e.Resolver)
	b.daemon.owner.SetHost(e)
}

// addresses are what the machine may have; none at first.
var addresses = [][]string{nil, {"192.0.2.1"}, {"192.0.2.2"}, {"192.0.2.2", "2001:db8::2"}}

func (s *script) settled(uid string) <-chan struct{} {
	if w := s.box.daemon.owner.Worker(uid); w != nil {
		return w.Settled()
	}
	done := make(chan struct{})
	close(done)
	return done
}

// pauseLength is mostly short, sometimes long.
func (s *script) pauseLength() time.Duration {
	switch s.r.IntN(4) {
	case 0:
		return time.Duration(s.r.Int64N(int64(30 * time.Millisecond)))
	case 1:
		return time.Duration(s.r.Int64N(int64(2 * time.Second)))
	case 2:
		return time.Duration(s.r.Int64N(int64(30 * time.Second)))
	}
	return time.Duration(s.r.ExpFloat64() * float64(time.Minute))
}

func (s *script) edit(uid string) {
	if s.r.IntN(6) == 0 {
		s.changeUID(uid)
		return
	}
	if s.wanted[uid] == nil {
		if s.r.IntN(2) == 0 || s.wanted[twinUID(uid)] != nil {
			return
		}
		s.box.note("---- the manifest of %s comes back", uid)
		s.wanted[uid] = s.latest[uid]
	} else {
		next, what := edit(s.r, s.latest[uid], s.n)
		s.box.note("---- the manifest of %s changes: %s", uid, what)
		s.dropHistories(s.latest[uid], next)
		s.box.editedNow(uid)
		s.latest[uid], s.wanted[uid] = next, next
	}
	delete(s.removed, uid)
	s.changed(uid)
	s.apply()
}

// changeUID has the manifest name another pod under the same name, whether it named one or not.
func (s *script) changeUID(uid string) {
	twin := twinUID(uid)
	if s.wanted[twin] != nil {
		uid, twin = twin, uid
	}
	s.box.note("---- the manifest of %s changes: its UID is %s", uid, twin)
	next := s.latest[uid].DeepCopy()
	next.UID = types.UID(twin)
	if old := s.latest[twin]; old != nil {
		s.dropHistories(old, next)
	}
	delete(s.wanted, uid)
	s.latest[twin], s.wanted[twin] = next, next
	for _, id := range []string{uid, twin} {
		delete(s.removed, id)
		s.changed(id)
	}
	s.apply()
}

// dropHistories: a container that the manifest no longer names begins at 0 when it comes back.
func (s *script) dropHistories(old, next *v1.Pod) {
	named := map[string]bool{}
	for _, c := range allContainers(next) {
		named[c.Name] = true
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	for name := range named {
		s.box.history(string(old.UID), name).dropped = false
	}
	for _, c := range allContainers(old) {
		if !named[c.Name] {
			h := s.box.history(string(old.UID), c.Name)
			h.free, h.dropped = true, true
			delete(s.restart, string(old.UID)+"/"+c.Name)
		}
	}
}

func (s *script) remove(uid string) {
	if s.wanted[uid] == nil {
		return
	}
	s.box.note("---- the manifest of %s goes", uid)
	delete(s.wanted, uid)
	delete(s.removed, uid)
	s.changed(uid)
	s.apply()
}

func (s *script) restartByHand(uid string) {
	w := s.box.daemon.owner.Worker(uid)
	if w == nil {
		return
	}
	name := ""
	if s.r.IntN(2) == 0 {
		name = s.latest[uid].Spec.Containers[0].Name
	}
	s.box.note("---- somebody restarts %s %q", uid, name)
	s.changed(uid)
	s.question("restart of "+uid, w.Ask(state.RestartAsked{Container: name}), 6*time.Minute)
}

func (s *script) killForMemory(uid string) {
	b := s.box
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(b.containers)) {
		if c := b.containers[id]; c.uid == uid && c.status == state.FoundRunning && !b.spared(uid) {
			b.killForMemory(c, s.r.IntN(2) == 0)
			return
		}
	}
}

// drain ends the machine in order.
func (s *script) drain() {
	b := s.box
	b.note("---- the machine goes down")
	total := time.Duration(5+s.r.IntN(40)) * time.Second
	begin := time.Now()
	b.mu.Lock()
	b.daemon.drainBy = begin.Add(total - total/4)
	b.mu.Unlock()
	b.daemon.owner.Drain(context.Background(), total, total/4)
	if took := time.Since(begin); took > total+25*time.Second {
		b.violated("the drain took %s of %s", took, total)
	}
	s.wait(0)
	s.kill(b.kill)
	b.note("---- the machine is off")
	b.mu.Lock()
	b.reboot(func() bool { return true })
	b.mu.Unlock()
}

// kill ends the daemon. What the disk does not have of a pod need not be known afterwards.
func (s *script) kill(how func()) {
	b := s.box
	for uid := range s.latest {
		w := b.daemon.owner.Worker(uid)
		if w == nil {
			b.mu.Lock()
			if b.disk.written[uid] != nil {
				b.outdated(uid)
			}
			b.mu.Unlock()
			continue
		}
		data, err := w.Snapshot().State.Encode()
		b.mu.Lock()
		if err != nil || string(b.disk.written[uid]) != string(data) {
			s.forget(uid)
			b.outdated(uid)
		}
		b.mu.Unlock()
	}
	how()
	s.applied = time.Time{}
}

// outdated: the disk has an old record of a pod. b.mu is held.
func (b *box) outdated(uid string) {
	b.stale[uid] = time.Now()
	for key, h := range b.histories {
		if !strings.HasPrefix(key, uid+"/") {
			continue
		}
		h.free = true
		if h.last != nil {
			h.last.condemned = false // the disk did not take the verdict
		}
	}
}

func (s *script) forgetAll() {
	for uid := range s.latest {
		s.forget(uid)
	}
}

// spared: the pods without faults are what they should be, whatever hangs in others.
func (s *script) spared() {
	b := s.box
	if b.seed%4 != 0 {
		return
	}
	if b.daemon == nil {
		s.up()
	}
	uids := []string{podUID(0), twinUID(podUID(0))}
	b.mu.Lock()
	taken := false // it waits for others that have its port, or for an address
	for _, uid := range uids {
		p := s.wanted[uid]
		taken = taken || p != nil && (len(state.HostPorts(p)) > 0 || len(b.ips) == 0)
	}
	b.mu.Unlock()
	if taken {
		return
	}
	s.until(25*time.Minute, "a pod without faults, while others have them,", func() []string {
		return append(s.unlike(uids[0]), s.unlike(uids[1])...)
	})
}

// bound is how long the box may take to come to rest: the longest back-offs, grace periods and limits after each other.
const bound = 40 * time.Minute

// settle ends the faults, and waits until the box is as its manifests say.
func (s *script) settle() {
	b := s.box
	if b.daemon == nil {
		s.up()
	}
	b.note("==== no more faults")
	b.mu.Lock()
	b.calm = true
	b.images[imageLate] = true
	if len(b.ips) == 0 {
		b.ips = addresses[1]
	}
	moved := state.HostChanged{IPs: b.ips, Resolver: b.resolver}
	b.mu.Unlock()
	b.daemon.owner.SetHost(moved)
	b.letGo()
	b.daemon.owner.Broadcast(state.ImagesReady{Names: []string{"docker.io/library/" + imageLate}})
	b.daemon.owner.Resync()
	for _, uid := range slices.Sorted(maps.Keys(s.latest)) {
		if s.r.IntN(2) == 0 {
			s.readmit(uid)
		}
	}
	s.likeManifests()
	if b.failed() {
		return
	}
	// At rest nothing goes on.
	s.count()
	before := s.turnsNow()
	s.wait(10 * time.Minute)
	if n := s.turnsNow() - before; n > s.restful() {
		b.violated("%d turns within 10 minutes of rest", n)
	}
	for _, uid := range slices.Sorted(maps.Keys(s.latest)) {
		for _, p := range s.unlike(uid) {
			b.violated("at rest: %s", p)
		}
	}
	s.begunAnew()
	s.answered(true)
}

// likeManifests waits until the box is as its manifests say.
func (s *script) likeManifests() {
	s.until(bound, "the box", func() []string {
		var out []string
		for _, uid := range slices.Sorted(maps.Keys(s.latest)) {
			out = append(out, s.unlike(uid)...)
		}
		return append(out, s.left()...)
	})
}

// restful is how many turns ten minutes of rest may have: the probes' answers, measurements, and now and then another try for an image.
func (s *script) restful() uint64 {
	n := uint64(200)
	for _, p := range s.wanted {
		if len(p.Spec.Volumes) > 0 {
			n += 2 * uint64(10*time.Minute/state.MeasureInterval) // its disk is measured
		}
		for _, c := range allContainers(p) {
			for _, probe := range []*v1.Probe{c.LivenessProbe, c.ReadinessProbe} {
				if probe != nil {
					n += 600/uint64(probe.PeriodSeconds) + 1
				}
			}
		}
	}
	return n
}

// until waits until there are no more differences.
func (s *script) until(limit time.Duration, who string, differences func() []string) {
	deadline := time.Now().Add(limit)
	step := 500 * time.Millisecond
	for {
		s.wait(step)
		left := differences()
		if len(left) == 0 || s.box.failed() {
			return
		}
		if time.Now().After(deadline) {
			s.box.violated("%s is not what it should be after %s: %v", who, limit, left)
			return
		}
		step = min(2*step, 20*time.Second)
	}
}

func (s *script) turnsNow() uint64 {
	var n uint64
	for _, snapshot := range s.box.daemon.owner.Snapshots() {
		if w := s.box.daemon.owner.Worker(string(snapshot.Pod.UID)); w != nil {
			n += w.Turns()
		}
	}
	return n
}

// count adds up the turns, for the report.
func (s *script) count() {
	if s.box.daemon != nil {
		s.turns = s.turnsNow()
	}
}
