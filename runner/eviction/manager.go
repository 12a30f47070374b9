package eviction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/eviction/rank"
	"github.com/solopod/solopod/runner/eviction/threshold"
)

// Limits of what the Manager waits for.
const (
	// endLimit is how long the next eviction waits for a pod to be gone, beyond its grace period (podCleanupTimeout in the kubelet).
	endLimit = 30 * time.Second
	// immediately is what pods get to end in where a hard threshold is crossed (immediateEvictionGracePeriodSeconds).
	immediately = time.Second
	// again is how long after something was reclaimed it is tried again.
	again = time.Minute
	// askLimit is for an answer of a pod's worker.
	askLimit = 10 * time.Second
	// reclaimLimit is for one try.
	reclaimLimit = 20 * time.Second
	// patience is for how long there must have been nothing to evict for that to be told: after a start pods do not run yet.
	patience = near
	// readyLimit is for Ready: nothing is done before, and then without.
	readyLimit = 30 * time.Second
)

// Manager evicts pods, and lets them in again. It belongs to the goroutine of Run.
type Manager struct {
	config  Config
	signals []threshold.Signal // that have a threshold
	watch   threshold.Watch
	trend   trend
	// calm is since when nothing of a resource is short, by the resource; the zero time where it is.
	calm map[string]time.Time
	// going is the pod that is being evicted, and until when it is waited for; gently: a soft threshold is why. leaves: it was seen to end.
	going  string
	until  time.Time
	gently bool
	leaves bool
	// leaving are pods that were seen to end.
	leaving map[string]leave
	// settled is when the next pod may be let in.
	settled time.Time
	// tried is when a reclaim was tried last, by its name.
	tried map[string]time.Time
	// crossed are signals that have crossed a threshold. short are those that did, for long enough, and helpless those for which nothing could
	// be evicted, with the time of the last try.
	crossed  map[threshold.Signal]bool
	short    map[threshold.Signal]bool
	helpless map[threshold.Signal]time.Time
	// vain is since when nothing can be evicted for a signal.
	vain map[threshold.Signal]time.Time
	// told are events of signals, by their reasons, that are not told again before the signal's resource was calm.
	told  map[threshold.Signal][]string
	blind bool // a level could not be measured, which was told
}

// leave is how the end of a pod is waited for: until a time. hurried: it was told that there is a second left.
type leave struct {
	until   time.Time
	hurried bool
}

// New makes a Manager, which does nothing before Run.
func New(c Config) *Manager {
	m := &Manager{
		config: c, watch: threshold.Watch{List: c.Thresholds}, calm: map[string]time.Time{}, tried: map[string]time.Time{},
		short: map[threshold.Signal]bool{}, helpless: map[threshold.Signal]time.Time{}, vain: map[threshold.Signal]time.Time{}, told: map[threshold.Signal][]string{}, leaving: map[string]leave{},
	}
	for _, s := range threshold.Signals {
		if slices.ContainsFunc(c.Thresholds, func(t threshold.Threshold) bool { return t.Signal == s }) {
			m.signals = append(m.signals, s)
		}
	}
	return m
}

// Run works until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	now := time.Now()
	for _, s := range threshold.Signals {
		m.calm[s.Resource()] = now
	}
	m.awaitReady(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for ctx.Err() == nil {
		timer.Reset(m.round(ctx))
		m.await(ctx, timer.C)
	}
	return nil
}

// awaitReady waits until it is known which pods there should be: before, none can be evicted.
func (m *Manager) awaitReady(ctx context.Context) {
	if m.config.Ready == nil {
		return
	}
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	select {
	case <-m.config.Ready:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// await waits for the next round: its time, the alarm, or the end of the pod that goes.
func (m *Manager) await(ctx context.Context, due <-chan time.Time) {
	soonest := time.NewTimer(gap)
	defer soonest.Stop()
	select { // a storm of rings is one
	case <-ctx.Done():
		return
	case <-due:
		return
	case <-soonest.C:
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-due:
			return
		case <-m.config.Alarm.Rings():
			return
		case <-m.config.Changes:
			if m.going != "" && m.gone() {
				return
			}
		}
	}
}

// round measures, and does what follows. It returns how long nothing has to be done.
func (m *Manager) round(ctx context.Context) time.Duration {
	now := time.Now()
	gone := m.going == "" || m.gone() // before it is measured: what it had is free then
	levels, err := m.config.Levels(ctx, m.signals)
	m.tellBlind(ctx, err)
	m.trend.saw(levels, now)
	crossed := m.watch.Look(levels, now)
	m.note(crossed, levels, now)
	m.arm(levels)
	worst, due := threshold.Worst(crossed)
	if !gone && now.Before(m.until) && (!m.gently || !due || worst.Soft) {
		return m.next(levels, now, m.until)
	}
	m.going = ""
	if due {
		m.relieve(ctx, worst, crossed)
		if m.going != "" {
			return m.next(levels, now, m.until)
		}
	}
	// What stays short although nothing can be evicted keeps out those alone that were evicted for it.
	wait := m.next(levels, now, m.readmit(ctx, levels, now))
	if due {
		wait = min(wait, near)
	}
	return wait
}

// tellBlind tells once when something cannot be measured.
func (m *Manager) tellBlind(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil && !m.blind {
		slog.Warn("what is left of the machine cannot be measured, so no pod is evicted for that", "err", err)
	}
	m.blind = err != nil
}

// note keeps what is short, and tells of it at its beginning.
func (m *Manager) note(crossed []threshold.Crossed, levels map[threshold.Signal]threshold.Level, now time.Time) {
	is := map[threshold.Signal]bool{}
	for _, c := range crossed {
		is[c.Signal] = true
		m.stir(c.Signal.Resource(), now)
		said := fmt.Sprintf("%s: %s of %s are available, less than %s", c.Signal, c.Signal.Format(c.Level.Available), c.Signal.Format(c.Level.Capacity), c.Least.Text(c.Signal))
		m.config.Note(c.Signal, said)
		if c.Due && !m.short[c.Signal] { // as the kubelet: once, not with each round
			m.short[c.Signal] = true
			m.tell(c.Signal, "EvictionThresholdMet", said+"; it is reclaimed, and then pods are evicted")
		}
	}
	m.crossed = is
	for _, s := range m.signals {
		if _, known := levels[s]; known && !is[s] {
			delete(m.short, s)
			delete(m.helpless, s)
			delete(m.vain, s)
		}
	}
	for _, s := range threshold.Signals {
		if m.calm[s.Resource()].IsZero() && !slices.ContainsFunc(threshold.Signals, func(o threshold.Signal) bool {
			return o.Resource() == s.Resource() && (is[o] || m.short[o])
		}) {
			m.calm[s.Resource()] = now
		}
	}
}

// stir notes that a resource is short. If it was calm for long enough this is another time, and is told.
func (m *Manager) stir(resource string, now time.Time) {
	if since := m.calm[resource]; !since.IsZero() && now.Sub(since) >= m.config.Transition {
		for s := range m.told {
			if s.Resource() == resource {
				delete(m.told, s)
			}
		}
	}
	m.calm[resource] = time.Time{}
}

// tell makes an event of a signal, once for each time that it is short: a level may go to and fro about its threshold.
func (m *Manager) tell(s threshold.Signal, reason, message string) {
	if !slices.Contains(m.told[s], reason) {
		m.told[s] = append(m.told[s], reason)
		m.config.Tell(v1.EventTypeWarning, reason, message)
	}
}

// arm sets the alarm to the nearest threshold of memory.
func (m *Manager) arm(levels map[threshold.Signal]threshold.Level) {
	l, known := levels[threshold.Memory]
	if left, bounded := threshold.Left(m.config.Thresholds, threshold.Memory, l); known && bounded {
		m.config.Alarm.Arm(left)
	}
}

// next is how long until the next round, or until a time that is not zero.
func (m *Manager) next(levels map[threshold.Signal]threshold.Level, now, at time.Time) time.Duration {
	wait := far
	for _, s := range m.signals {
		l, known := levels[s]
		if !known {
			wait = min(wait, near)
			continue
		}
		if m.crossed[s] { // it may pass
			wait = min(wait, near)
		}
		if left, bounded := threshold.Left(m.config.Thresholds, s, l); bounded {
			wait = min(wait, interval(s, left, l.Capacity, m.trend.falls[s], s == threshold.Memory && m.config.Alarm.Works()))
		}
	}
	for _, t := range []time.Time{at, m.watch.Due(now)} {
		if !t.IsZero() {
			wait = min(wait, max(t.Sub(now), gap))
		}
	}
	return wait
}

// rests says whether nothing could be evicted for a signal just now: to find out what pods have on disks is work.
func (m *Manager) rests(s threshold.Signal) bool {
	since, helpless := m.helpless[s]
	return helpless && s.Condition() == v1.NodeDiskPressure && since.Sub(m.vain[s]) >= patience && time.Since(since) < again
}

// gone says whether the pod that goes has ended, and has given back what it had. One that was edited meanwhile begins anew at once.
func (m *Manager) gone() bool {
	for _, p := range m.config.Pods.List() {
		if p.UID == m.going {
			m.leaves = m.leaves || p.Ending
			return p.Ended || m.leaves && !p.Ending
		}
	}
	return true
}

// relieve reclaims what nobody misses, and evicts one pod if that was not enough.
func (m *Manager) relieve(ctx context.Context, worst threshold.Crossed, crossed []threshold.Crossed) {
	if m.reclaim(ctx, worst) {
		levels, err := m.config.Levels(ctx, m.signals)
		m.tellBlind(ctx, err)
		crossed = m.watch.Look(levels, time.Now())
	}
	for _, c := range byUrgency(crossed) {
		if m.evict(ctx, c) || ctx.Err() != nil {
			return
		}
	}
}

// byUrgency are the thresholds that are due, the worst first, one of a signal.
func byUrgency(crossed []threshold.Crossed) (out []threshold.Crossed) {
	rest := slices.Clone(crossed)
	for {
		worst, ok := threshold.Worst(rest)
		if !ok {
			return out
		}
		out = append(out, worst)
		rest = slices.DeleteFunc(rest, func(c threshold.Crossed) bool { return c.Signal == worst.Signal })
	}
}

// reclaim tries what helps and was not tried of late. It returns whether anything was done.
func (m *Manager) reclaim(ctx context.Context, c threshold.Crossed) (did bool) {
	if _, helpless := m.helpless[c.Signal]; helpless { // that goes on, and what pods make anew meanwhile helps nobody
		return false
	}
	for _, r := range m.config.Reclaims {
		if !slices.Contains(r.Signals, c.Signal) || !m.tried[r.Name].IsZero() && time.Since(m.tried[r.Name]) < again {
			continue
		}
		m.tried[r.Name] = time.Now()
		limited, cancel := context.WithTimeout(ctx, reclaimLimit)
		said, err := r.Do(limited, c.Missing(c.Level))
		cancel()
		if err != nil {
			slog.Warn("cannot reclaim "+r.Name, "err", err)
		}
		if said != "" {
			slog.Info("reclaimed as the machine runs short", "signal", c.Signal, "reclaimed", said)
			did = true
		}
	}
	return did
}

// evict ends the pod that comes first, and says whether there was one. It waits for those that end already, if they are enough.
func (m *Manager) evict(ctx context.Context, c threshold.Crossed) bool {
	if m.rests(c.Signal) {
		return false
	}
	used := m.config.Use(ctx, c.Signal)
	pods, ending := m.running(c.Signal, used)
	if m.leave(ctx, c, ending, used) {
		delete(m.vain, c.Signal)
		return true
	}
	for _, first := range rank.Order(c.Signal, ranked(c.Signal, pods, used)) {
		p := pods[first.UID]
		o := Order{
			UID: p.UID, Signal: c.Signal, Message: message(c, &p, used[p.UID]), Grace: m.grace(c, &p),
		}
		if m.order(ctx, &p, o) {
			m.leaving[p.UID] = leave{time.Now().Add(o.Grace + endLimit), !c.Soft}
			m.awaitEnd(p.UID, c)
			delete(m.vain, c.Signal)
			return true
		}
	}
	if len(ending) == 0 && ctx.Err() == nil {
		m.nothing(c)
	}
	return false
}

// nothing notes that no pod can be evicted for a signal, and tells it where that lasts.
func (m *Manager) nothing(c threshold.Crossed) {
	now := time.Now()
	m.helpless[c.Signal] = now
	since, lasts := m.vain[c.Signal]
	switch {
	case !lasts || now.Before(since):
		m.vain[c.Signal] = now
	case now.Sub(since) >= patience:
		m.tell(c.Signal, "NothingToEvict", fmt.Sprintf("%s: %s are available, less than %s, and no pod takes up any of that which could be evicted; look for what else does",
			c.Signal, c.Signal.Format(c.Level.Available), c.Least.Text(c.Signal)))
	}
}

// running are the pods that take up something of a signal, and those of them that end already. Of others it is forgotten how they ended.
func (m *Manager) running(s threshold.Signal, used map[string]Used) (pods, ending map[string]Pod) {
	pods, ending = map[string]Pod{}, map[string]Pod{}
	leaving := map[string]leave{}
	for _, p := range m.config.Pods.List() {
		if l, known := m.leaving[p.UID]; known && p.Ending {
			leaving[p.UID] = l
		}
		_, runs := used[p.UID]
		if s.Condition() == v1.NodeDiskPressure && p.Ending && p.HeldFor != "" {
			runs = true // its data goes, which is not measured any more
		}
		switch {
		case p.Ended || !runs:
		case p.Ending || p.Held:
			ending[p.UID] = p
		default:
			pods[p.UID] = p
		}
	}
	m.leaving = leaving
	return pods, ending
}

// awaitEnd has the next eviction wait for the end of a pod.
func (m *Manager) awaitEnd(uid string, c threshold.Crossed) {
	m.going, m.until, m.gently, m.leaves = uid, m.leaving[uid].until, c.Soft, false
	m.gone() // it may begin anew before the next look
}

// order asks for a pod's end, and says whether it comes: also of a worker that does not answer in time, which has the order.
func (m *Manager) order(ctx context.Context, p *Pod, o Order) bool {
	err := m.limited(ctx, func(ctx context.Context) error { return m.config.Pods.Evict(ctx, o) })
	if err != nil {
		slog.Warn("cannot evict a pod", "pod", p.Name, "err", err)
	}
	return err == nil || errors.Is(err, context.DeadlineExceeded)
}

// leave waits for pods that end already, within limits, if that frees enough, or what is short is why they end: nobody else has to go for
// what is on its way. A hard threshold leaves them no time. It says whether one is waited for.
func (m *Manager) leave(ctx context.Context, c threshold.Crossed, ending map[string]Pod, used map[string]Used) bool {
	var last string
	freed, ours := uint64(0), false
	for _, r := range slices.Backward(rank.Order(c.Signal, ranked(c.Signal, ending, used))) {
		p := ending[r.UID]
		if !time.Now().Before(m.hurry(ctx, c, &p, used[p.UID])) {
			continue
		}
		last = p.UID // the first in the order in the end
		if r.Unknown {
			r.Usage = math.MaxUint64
		}
		freed += min(r.Usage, math.MaxUint64-freed)
		ours = ours || p.HeldFor != "" && p.HeldFor.Resource() == c.Signal.Resource()
	}
	if last == "" || !ours && freed < c.Missing(c.Level) {
		return false
	}
	m.awaitEnd(last, c)
	return true
}

// hurry leaves a pod that ends a second where a hard threshold is crossed, and returns until when its end is waited for.
func (m *Manager) hurry(ctx context.Context, c threshold.Crossed, p *Pod, used Used) time.Time {
	l, known := m.leaving[p.UID]
	if !known {
		l.until = endLimitOf(p, time.Now())
	}
	if !c.Soft && !l.hurried {
		grace := m.grace(c, p)
		m.order(ctx, p, Order{UID: p.UID, Signal: c.Signal, Message: message(c, p, used), Grace: grace})
		l = leave{time.Now().Add(grace + endLimit), true}
	}
	m.leaving[p.UID] = l
	return l.until
}

// ranked are pods with what they take up of a signal.
func ranked(s threshold.Signal, pods map[string]Pod, used map[string]Used) (out []rank.Pod) {
	for uid, p := range pods {
		u := used[uid]
		out = append(out, rank.Pod{
			UID: uid, Name: p.Name, Priority: p.Priority, Usage: u.Amount, Request: requested(s, &p), Unknown: u.Unknown, More: u.More,
		})
	}
	return out
}

// endLimitOf is until when the end of a pod is waited for that was just seen to go on; of one that was evicted it is known when it began.
func endLimitOf(p *Pod, now time.Time) time.Time {
	began := now
	if p.HeldSince.Before(now) && !p.HeldSince.IsZero() {
		began = p.HeldSince
	}
	return began.Add(p.Grace + endLimit)
}

// limited calls a pod's worker, which answers at once as a rule.
func (m *Manager) limited(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return call(ctx)
}

// grace is what a pod gets to end in.
func (m *Manager) grace(c threshold.Crossed, p *Pod) time.Duration {
	switch {
	case !c.Soft:
		return min(immediately, p.Grace)
	case m.config.MaxGrace > 0:
		return min(m.config.MaxGrace, p.Grace)
	}
	return p.Grace
}

// readmit lets the next pod in again, and returns when there may be another; zero where none waits. One comes at a time, so that what it
// takes up is seen before the next; those of high priority are first.
func (m *Manager) readmit(ctx context.Context, levels map[threshold.Signal]threshold.Level, now time.Time) (next time.Time) {
	held := slices.DeleteFunc(m.config.Pods.List(), func(p Pod) bool { return !p.Held || p.Ending })
	slices.SortFunc(held, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.HeldSince.Compare(b.HeldSince), cmp.Compare(a.Name, b.Name))
	})
	soonest := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, p := range held {
		calm := m.calm[p.HeldFor.Resource()]
		if calm.IsZero() {
			continue // it is short
		}
		at := m.admission(p, calm, now)
		switch {
		case now.Before(at):
			soonest(at)
		case !m.fits(p, levels):
			soonest(now.Add(near))
		default:
			m.settled = now.Add(settle)
			if err := m.limited(ctx, func(ctx context.Context) error { return m.config.Pods.Readmit(ctx, p.UID) }); err != nil {
				slog.Warn("cannot let an evicted pod in again", "pod", p.Name, "err", err)
			}
			return m.settled
		}
	}
	return next
}

// admission is when a pod may be let in again.
func (m *Manager) admission(p Pod, calm, now time.Time) time.Time {
	at := calm.Add(m.config.Transition)
	since := p.HeldSince
	if since.After(now) { // the clock was set back
		since = now
	}
	if own := since.Add(hold(p.Evictions)); own.After(at) {
		at = own
	}
	if m.settled.After(at) {
		at = m.settled
	}
	return at
}

// fits says whether there is room for what a pod has asked for, beyond what must be left.
func (m *Manager) fits(p Pod, levels map[threshold.Signal]threshold.Level) bool {
	for _, s := range m.signals {
		if s.Resource() != p.HeldFor.Resource() {
			continue
		}
		l, known := levels[s]
		if !known {
			return false
		}
		if left, bounded := threshold.Left(m.config.Thresholds, s, l); bounded && left < requested(s, &p) {
			return false
		}
	}
	return true
}
