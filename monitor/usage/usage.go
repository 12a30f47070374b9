// Package usage keeps what pods take up on disks. It measures in the background, at intervals, and only while somebody asks for it: an
// answer never waits for a walk through files, and a machine on which nobody asks stays idle.
//
// What is walked is shaped by containers. Each place is measured again after a minute, or after fifty times what it took the last time.
// Places that take long have turns of their own, with pauses between, so that they hold neither a processor nor the others.
package usage

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/storage"
)

// Source has what is measured; the Runner's Disks are one.
type Source interface {
	Places() []storage.Place
	// Measure looks at a place for at most limit.
	Measure(ctx context.Context, p storage.Place, limit time.Duration) (storage.Measured, error)
}

// Purpose is what somebody asks for.
type Purpose int

const (
	// Claims are PersistentVolumeClaims.
	Claims Purpose = iota
	// Layers are what containers have written into their root file systems.
	Layers
	// Everything is all that pods have on disks.
	Everything
	purposes
)

const (
	// interval is the kubelet's between two measurements (volumeStatsAggPeriod).
	interval = time.Minute
	// rarer is how many times longer than a measurement took the next one is away.
	rarer = 50
	// patience is how long after the last question measuring goes on.
	patience = 10 * time.Minute
	// trial is how long the first measurement of a place may take, long a later one.
	trial, long = time.Second, 30 * time.Second
	// costly is what makes a place one of those that wait for each other, pause how many times longer than one took.
	costly = 200 * time.Millisecond
	pause  = 9
	// slack is how much too early a place may be measured, together with others.
	slack = 5 * time.Second
	// listing is how long a list of places is good while somebody asks.
	listing = 5 * time.Second
	forever = math.MaxInt64
)

// Meter measures. It is safe for concurrent use.
type Meter struct {
	source Source
	wake   chan struct{}

	mu      sync.Mutex
	asked   [purposes]time.Time
	listed  time.Time
	places  []place
	figures map[string]*figure // by the place's key
	// rest is when the next costly place has its turn.
	rest time.Time
	// settled is closed when everything that is asked for has been tried; nil while nobody waits for that.
	settled chan struct{}
}

// place is one with its figure, which others may have in common.
type place struct {
	storage.Place
	figure *figure
}

// figure is what is known of a place.
type figure struct {
	measured storage.Measured
	known    bool
	due      time.Time
	cost     time.Duration // of the last measurement; zero before it
	failing  bool
}

// New makes a Meter, which measures while Run runs.
func New(s Source) *Meter {
	return &Meter{source: s, wake: make(chan struct{}, 1), figures: map[string]*figure{}}
}

// Run measures until ctx ends.
func (m *Meter) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(m.work(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-timer.C:
		}
	}
}

// work measures what is due, and says how long nothing is.
func (m *Meter) work(ctx context.Context) time.Duration {
	m.list()
	for ctx.Err() == nil {
		p, limit, wait := m.next(time.Now())
		if wait > 0 {
			return wait
		}
		begun := time.Now()
		measured, err := m.source.Measure(ctx, p, limit)
		m.take(p, measured, err, begun, time.Now())
	}
	return forever
}

// list asks for the places, while somebody asks for what they take up, and forgets those that are gone, or all when nobody does.
func (m *Meter) list() {
	now := time.Now()
	m.mu.Lock()
	wanted := m.wantedAtAll(now)
	m.mu.Unlock()
	var places []storage.Place
	if wanted {
		places = m.source.Places()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listed, m.places = now, make([]place, len(places))
	there := make(map[string]*figure, len(places))
	for i, p := range places {
		key := p.Key()
		f := there[key]
		if f == nil {
			f = m.figures[key]
		}
		if f == nil {
			f = &figure{due: now}
		}
		there[key], m.places[i] = f, place{p, f}
	}
	m.figures = there
}

func (m *Meter) wantedAtAll(now time.Time) bool {
	return slices.ContainsFunc(m.asked[:], func(at time.Time) bool { return !at.IsZero() && now.Sub(at) < patience })
}

// wanted says whether somebody has asked for a place. It is called with the lock held.
func (m *Meter) wanted(p *storage.Place, now time.Time) bool {
	recently := func(of Purpose) bool { return !m.asked[of].IsZero() && now.Sub(m.asked[of]) < patience }
	return recently(Everything) || p.Claim != "" && recently(Claims) || p.Kind == storage.Layer && recently(Layers)
}

// next is the place to measure now and how long that may take, or how long there is none. Of those that are due it is the one that took
// least the last time: who makes his own large holds up himself.
func (m *Meter) next(now time.Time) (p storage.Place, limit, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best *figure
	wait = forever
	for i := range m.places {
		f := m.places[i].figure
		if !m.wanted(&m.places[i].Place, now) {
			continue
		}
		until := f.due.Sub(now)
		early := until > slack
		if f.cost > costly {
			until = max(until, m.rest.Sub(now))
			early = until > 0
		}
		if early {
			wait = min(wait, until)
			continue
		}
		if best == nil || f.cost < best.cost {
			best, p = f, m.places[i].Place
		}
	}
	if best == nil {
		if m.settled != nil {
			close(m.settled)
			m.settled = nil
		}
		return p, 0, wait
	}
	if limit = long; best.cost == 0 {
		limit = trial
	}
	return p, limit, 0
}

// take notes what a measurement came to. What cannot be measured is unknown, and tried again as others are.
func (m *Meter) take(p storage.Place, measured storage.Measured, err error, begun, ended time.Time) {
	cost := max(ended.Sub(begun), 1)
	hangs := errors.Is(err, aside.ErrHangs)
	m.mu.Lock()
	f := m.figures[p.Key()]
	first := f.cost == 0 && !hangs
	f.due = ended.Add(interval)
	if hangs { // that took no work, and says nothing of what it takes when the disk answers again
		f.cost = max(f.cost, 1)
	} else {
		f.cost = cost
		if cost > costly {
			m.rest = ended.Add(pause * cost)
		}
	}
	switch late := errors.Is(err, context.DeadlineExceeded); {
	case late && first && cost > costly:
		f.due = ended // with more time, in a turn of its own
	case late || err == nil: // what fails otherwise may have waited for its disk, which may be well soon
		f.due = ended.Add(max(interval, rarer*cost))
	}
	f.measured, f.known = measured, err == nil
	tell := err != nil && !f.failing && !first
	f.failing = err != nil && !first
	m.mu.Unlock()
	if tell {
		slog.Warn("cannot measure what a pod takes up on a disk, so metrics do not have it", "pod", p.Namespace+"/"+p.Pod, string(p.Kind), p.Name, "err", err)
	}
}

// ask notes that somebody wants to know something.
func (m *Meter) ask(what Purpose) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked[what] = now
	if now.Sub(m.listed) >= listing {
		m.listed = now // others need not wake it again
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// Await waits until all that somebody has begun to ask for has been looked at once, but no longer than limit: for the first question in
// a while, whose answer would know nothing.
func (m *Meter) Await(ctx context.Context, what Purpose, limit time.Duration) {
	now := time.Now()
	m.mu.Lock()
	known := !m.asked[what].IsZero() && now.Sub(m.asked[what]) < patience
	var settled chan struct{}
	if !known {
		if m.settled == nil {
			m.settled = make(chan struct{})
		}
		settled = m.settled
		m.listed = time.Time{}
	}
	m.mu.Unlock()
	m.ask(what)
	if known {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
	case <-ctx.Done():
	}
}
