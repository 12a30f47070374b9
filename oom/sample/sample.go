// Package sample remembers of containers what is gone when the kernel has killed a process of theirs for memory: how their memory grew, and
// the command lines of their largest processes. It looks at what has a limit, or at all when the machine is short of memory; the
// nearer the limit, the oftener. Nothing is written down: who begins anew knows nothing of before.
package sample

import (
	"context"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/solopod/solopod/oom/growth"
	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/cgroup"
)

// Subject is what is known of a container beside its cgroup.
type Subject struct {
	// Command is the main process' command line as the manifest has it; empty where it leaves that to the image.
	Command []string
	// Hidden: values of Secrets may stand in command lines, and those that processes have are told to nobody.
	Hidden  bool
	Started time.Time
}

// Config is what a Sampler works with.
type Config struct {
	// Subject finds a container by its ID.
	Subject func(id string) (Subject, bool)
	// Machine is what the machine has of memory, and what of it is left, in bytes.
	Machine func() (total, available uint64, err error)
	// Numbers: processes have the numbers here that the kernel's log has.
	Numbers bool
}

const (
	// soon is how much earlier than due a container may be looked at as others are, as a part of its wait: machines at rest wake less often.
	soon = 4
	// short is the part of the machine's memory that is left when containers without a limit are looked at, too.
	short = 4
	// eager is the wait from which on the processes are looked at: what rests far from its limit has longer ones. scanGap is the least time
	// between two looks at them, and scanLimit how long one may take: a process can keep its command line from who asks.
	eager, scanGap, scanLimit = 30 * time.Second, 5 * time.Second, time.Second
	// late is how long a container that has ended is remembered: its kills may be told late.
	late = 30 * time.Second
	// fresh is how old a sample may be that counts as what there was at a kill.
	fresh = time.Minute
	// quiet is when is looked when there is no container.
	quiet = time.Hour
)

// Sampler is safe for concurrent use.
type Sampler struct {
	config Config
	began  time.Time
	wake   chan struct{}
	places aside.Places
	world  world

	mu         sync.Mutex
	containers map[string]*container // by ID
}

// world is what is looked at. Tests have another one.
type world struct {
	used, limit func(cgroupPath string) (int64, error)
	largest     func(cgroupPath string) []command
}

// container is one that runs, or has ended just now.
type container struct {
	id, cgroup string
	subject    Subject
	age        time.Duration // at the sampler's beginning; less than zero when it began later
	ring       growth.Ring
	commands   []command
	due, wait  time.Duration
	scanned    time.Duration
	over       time.Duration // when it ended; zero while it runs
}

// New makes a Sampler that looks at nothing before Run.
func New(c Config) *Sampler {
	return &Sampler{
		config: c, began: time.Now(), wake: make(chan struct{}, 1), containers: map[string]*container{},
		world: world{cgroup.MemoryUsage, cgroup.MemoryLimit, largest},
	}
}

func (s *Sampler) now() time.Duration { return time.Since(s.began) }

// Run looks at containers until ctx ends.
func (s *Sampler) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-timer.C:
		}
		timer.Reset(s.round(ctx))
	}
}

// round looks at those containers that are due, and returns how long there is nothing to do.
func (s *Sampler) round(ctx context.Context) time.Duration {
	m := &machine{read: s.config.Machine}
	for _, c := range s.due() {
		if ctx.Err() != nil {
			return quiet
		}
		s.look(ctx, c, m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next, now := quiet, s.now()
	for _, c := range s.containers {
		if c.over == 0 {
			next = min(next, max(c.due-now, 0))
		}
	}
	return next
}

// due are the containers that are due, or nearly so where one is; those that have ended for long are forgotten.
func (s *Sampler) due() (out []*container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, one := s.now(), false
	for id, c := range s.containers {
		switch {
		case c.over > 0 && now-c.over > late:
			delete(s.containers, id)
		case c.over == 0 && c.due-c.wait/soon <= now:
			out, one = append(out, c), one || c.due <= now
		}
	}
	if !one {
		return nil
	}
	return out
}

// machine is the machine's memory, read at most once in a round.
type machine struct {
	read             func() (total, available uint64, err error)
	known            bool
	total, available int64
}

func (m *machine) look() (total, available int64) {
	if !m.known {
		m.known = true
		if total, available, err := m.read(); err == nil {
			m.total, m.available = int64(min(total, 1<<62)), int64(min(available, 1<<62)) //nolint:gosec // they fit
		}
	}
	return m.total, m.available
}

// look takes a sample of a container, if it is worth it, and says when the next one is due.
func (s *Sampler) look(ctx context.Context, c *container, m *machine) {
	limit, used, err := s.measure(c, m)
	s.mu.Lock()
	now := s.now()
	if err == nil && used.taken {
		c.ring.Add(growth.Sample{At: now, Bytes: used.bytes})
	}
	c.wait = c.ring.Wait(used.free, limit, c.age+now)
	if !used.taken { // nothing is learned of it early
		c.wait = c.ring.Wait(used.free, limit, quiet)
	}
	c.due = now + c.wait
	scan := used.taken && c.wait < eager && s.config.Numbers && !c.subject.Hidden && (c.scanned == 0 || now-c.scanned >= scanGap)
	if scan {
		c.scanned = now
	}
	s.mu.Unlock()
	if !scan {
		return
	}
	path := c.cgroup
	found, err := aside.Do(ctx, &s.places, "what runs in "+path, scanLimit, func() ([]command, error) { return s.world.largest(path), nil })
	if err != nil {
		return
	}
	s.mu.Lock()
	c.commands = merged(found, c.commands)
	s.mu.Unlock()
}

// usage is what a container uses, and what is free below the nearest limit; it is not taken where there is none.
type usage struct {
	bytes, free int64
	taken       bool
}

// measure finds what a container uses of its own limit, or else of its pod's, or of the machine when that is short.
func (s *Sampler) measure(c *container, m *machine) (limit int64, u usage, err error) {
	of := c.cgroup
	limit, err = s.world.limit(of)
	if err == nil && limit == 0 {
		of = path.Dir(c.cgroup)
		limit, err = s.world.limit(of)
	}
	if err != nil {
		return 0, u, err
	}
	if limit == 0 {
		total, available := m.look()
		if total == 0 || available > total/short {
			return total, usage{free: available}, nil
		}
		limit, u.free, of = total, available, ""
	}
	if u.bytes, err = s.world.used(c.cgroup); err != nil {
		return 0, u, err
	}
	switch of {
	case "":
	case c.cgroup:
		u.free = limit - u.bytes
	default:
		all, err := s.world.used(of)
		if err != nil {
			return 0, u, err
		}
		u.free = limit - all
	}
	u.taken = true
	return limit, u, nil
}

// begin has a container looked at from now on.
func (s *Sampler) begin(cgroupPath string) (id string) {
	id = idOf(cgroupPath)
	subject, _ := s.config.Subject(id)
	s.mu.Lock()
	now := s.now()
	c := s.containers[id]
	if c == nil {
		c = &container{id: id, cgroup: cgroupPath}
		s.containers[id] = c
	}
	c.subject, c.over, c.due, c.age = subject, 0, now, -now
	if !subject.Started.IsZero() {
		c.age += max(time.Since(subject.Started), 0)
	}
	for id, c := range s.containers {
		if c.over > 0 && now-c.over > late {
			delete(s.containers, id)
		}
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return id
}

func (s *Sampler) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[id]; c != nil {
		c.over = max(s.now(), 1)
	}
}

// idOf is the ID of the container whose cgroup it is, as runner/cgroup names them: ID, or with systemd PREFIX-ID.scope.
func idOf(cgroupPath string) string {
	id := path.Base(cgroupPath)
	if scope, ok := strings.CutSuffix(id, ".scope"); ok {
		_, id, _ = strings.Cut(scope, "-")
	}
	return id
}

// Complete adds to a record what is remembered of its container. It waits for nobody.
func (s *Sampler) Complete(r record.Record) record.Record {
	if r.Source != record.Log {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.containers[r.ContainerID]
	if c == nil {
		return r
	}
	if r.Command == "" {
		r.Command = c.commandOf(&r)
	}
	at, bytes := s.now()-max(time.Since(r.Time), 0), int64(0)
	if r.Owner == record.Container && r.Usage != nil {
		bytes = *r.Usage
	}
	if g, ok := c.ring.Killed(at, bytes); ok {
		r.Growth = &g
	}
	if r.Owner == record.Machine || r.Owner == record.Pods || r.Owner == record.Ancestor {
		r.PodUsage = s.usageOf(c, at, r.Victim.RSS())
	}
	return r
}

// usageOf is what the pod of a container used at a time, of which one process had some; nil where it was not looked at just before.
func (s *Sampler) usageOf(of *container, at time.Duration, process int64) *int64 {
	var sum int64
	for _, c := range s.containers {
		last, ok := c.ring.Last()
		if path.Dir(c.cgroup) != path.Dir(of.cgroup) || c.over > 0 && c != of {
			continue
		}
		if !ok || at-last.At > fresh {
			return nil
		}
		if c == of { // it may have grown since
			last.Bytes = max(last.Bytes, process)
		}
		sum += last.Bytes
	}
	return &sum
}

// Counter counts kills of a container, by its cgroup's path, for as long as it runs. oom/watch has one.
type Counter interface {
	Watch(cgroupPath string, report func(kills uint64)) (stop func(), err error)
	Kills(cgroupPath string) (uint64, error)
}

// Heard is a counter whose containers are looked at for as long as their kills are watched.
func (s *Sampler) Heard(c Counter) Counter { return heard{c, s} }

type heard struct {
	Counter
	s *Sampler
}

// Watch implements Counter.
func (h heard) Watch(cgroupPath string, report func(kills uint64)) (stop func(), err error) {
	unwatch, err := h.Counter.Watch(cgroupPath, report)
	if err != nil {
		return nil, err
	}
	id := h.s.begin(cgroupPath)
	return func() {
		h.s.end(id)
		unwatch()
	}, nil
}
