package event

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/durable"
)

// store keeps events in two files of one JSON object a line, where a later line of the same event replaces an earlier one. That
// in memory (a tmpfs) gets each at once, for the next run of Solopod; that on the disk gets those since the last time in one
// piece: soon after a warning, else when there are many, or Solopod ends. So flash is written to seldom, and a power cut takes
// seconds.
//
// A goroutine of its own writes: who reports an event waits for no disk, and while a disk does not answer what is noted is
// bounded.
type store struct {
	memory, disk string
	// events returns all that count, and those of them that happened in this boot.
	events func() (all, ofBoot []*v1.Event)

	mu    sync.Mutex
	noted []*v1.Event // not written anywhere yet
	moved bool        // the times of this boot's events have changed

	wake    chan struct{}
	flushes chan chan struct{} // each is closed when all that was noted before is on the disk, if it can be
	closing chan struct{}
	done    chan struct{}

	// What follows is run's.
	pending []*v1.Event // not on the disk yet
	anew    map[string]bool
	longest map[string]int64 // when a file is written anew, in bytes
	flushed time.Time
	timer   <-chan time.Time
	told    map[string]bool // that events are not kept in a file
}

const (
	// soon is how long a warning may be in memory alone; seldom is the least time between two writes to the disk.
	soon   = 5 * time.Second
	seldom = 30 * time.Second
	// maxPending is how many notes may be in memory alone, whatever they are.
	maxPending = maxEvents
	// maxFile is when a file is written anew, without what has been replaced or is too old.
	maxFile = 1 << 20
	// closeLimit is how long the end of Solopod waits for events to be written.
	closeLimit = 3 * time.Second
)

func newStore(memory, disk string) *store {
	return &store{
		memory: memory, disk: disk, anew: map[string]bool{}, told: map[string]bool{}, longest: map[string]int64{}, wake: make(chan struct{}, 1), flushes: make(chan chan struct{}),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
}

// note has an event written. ev must not change afterwards.
func (s *store) note(ev *v1.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noted = append(s.noted, ev); len(s.noted) > 2*maxPending {
		s.noted = newest(s.noted)
	}
	s.wakeUp()
}

// replaceMemory has the file in memory written anew.
func (s *store) replaceMemory() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = true
	s.wakeUp()
}

func (s *store) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// close writes what is not written, if the disk does not take too long.
func (s *store) close() {
	select {
	case <-s.closing:
	default:
		close(s.closing)
	}
	select {
	case <-s.done:
	case <-time.After(closeLimit):
		slog.Warn("the disk does not take the last events; they are lost", "file", s.disk)
	}
}

// run writes until close.
func (s *store) run() {
	defer close(s.done)
	for {
		select {
		case <-s.wake:
			s.remember()
		case <-s.timer:
			s.flush()
		case flushed := <-s.flushes:
			s.remember()
			s.flush()
			close(flushed)
		case <-s.closing:
			s.remember()
			s.flush()
			return
		}
	}
}

// remember writes what is noted into memory, and sets the timer when it is time for the disk.
func (s *store) remember() {
	s.mu.Lock()
	noted := s.noted
	s.anew[s.memory] = s.anew[s.memory] || s.moved
	s.noted, s.moved = nil, false
	s.mu.Unlock()
	switch {
	case s.anew[s.memory]:
		s.rewrite(s.memory)
	case len(noted) > 0:
		if !s.append(s.memory, noted, false) || s.tooLong(s.memory) {
			s.rewrite(s.memory)
		}
	}
	if s.pending = append(s.pending, noted...); len(s.pending) > 2*maxPending {
		s.pending = newest(s.pending)
	}
	worth := slices.ContainsFunc(noted, func(ev *v1.Event) bool {
		return ev.Type == v1.EventTypeWarning && ev.Count == 1 // a repetition is not worth a write
	})
	if s.timer == nil && (worth || len(s.pending) >= maxPending) {
		s.timer = time.After(max(soon, seldom-time.Since(s.flushed)))
	}
}

// flush writes to the disk what is not there.
func (s *store) flush() {
	s.timer, s.flushed = nil, time.Now()
	s.pending = newest(s.pending)
	if len(s.pending) > 0 && !s.anew[s.disk] {
		if s.append(s.disk, s.pending, true) {
			s.pending = nil
		}
	}
	if s.anew[s.disk] || s.tooLong(s.disk) {
		s.rewrite(s.disk)
	}
	if s.anew[s.disk] {
		s.timer = time.After(seldom) // again, with what still counts then
	}
}

// append writes events behind those of a file. When it fails the file has to be written anew: half a line may be at its end, and would
// spoil the next one.
func (s *store) append(path string, list []*v1.Event, sync bool) (written bool) {
	err := appendTo(path, list, sync)
	s.complain(path, err)
	if err != nil {
		s.anew[path] = true
	}
	return err == nil
}

// rewrite replaces a file by what counts.
func (s *store) rewrite(path string) {
	list, ofBoot := s.events()
	write := durable.WriteFile
	if path == s.memory {
		list, write = ofBoot, durable.Replace
	}
	data := lines(list)
	err := write(path, data, 0o600)
	s.complain(path, err)
	if err != nil {
		return
	}
	delete(s.anew, path)
	s.longest[path] = max(maxFile, 2*int64(len(data))) // long events are not to be written anew with each other
	if path == s.disk {
		s.pending = nil
	}
}

func (s *store) tooLong(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Size() > max(maxFile, s.longest[path])
}

// newest leaves each event in its last place, as it is now, and of those no more than may be pending.
func newest(list []*v1.Event) []*v1.Event {
	var out []*v1.Event
	seen := map[string]bool{}
	for _, ev := range slices.Backward(list) {
		if !seen[ev.Name] && len(out) < maxPending {
			seen[ev.Name] = true
			out = append(out, ev)
		}
	}
	slices.Reverse(out)
	return out
}

func lines(list []*v1.Event) []byte {
	var out bytes.Buffer
	for _, ev := range list {
		if data, err := json.Marshal(ev); err == nil {
			out.Write(append(data, '\n'))
		}
	}
	return out.Bytes()
}

func appendTo(path string, list []*v1.Event, sync bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	_, err := durable.Append(path, lines(list), 0o600, sync)
	return err
}

// complain says, once until it works again, that events are not kept.
func (s *store) complain(path string, err error) {
	if err != nil && !s.told[path] {
		slog.Warn("cannot keep events; they are lost when Solopod ends", "file", path, "err", err)
	}
	s.told[path] = err != nil
}
