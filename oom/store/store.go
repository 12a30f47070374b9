// Package store keeps records of kills for memory, over restarts and reboots: of each pod the last ones, so that a pod that is killed
// again and again pushes out none of another's.
//
// In its file each line is a JSON object, and a later one counts: a record, a record that is gone, or a mark, which is how far the
// kernel's log and the kill counters were followed when all before it had been written.
package store

import (
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/solopod/solopod/oom/record"
)

// Bounds of what is kept.
const (
	ofPod = 50   // records of one pod, or of all that belongs to none
	inAll = 1000 // records; those of the pod that has the most go first
)

// Limits of writing.
const (
	// gather is the least time between two writes: a storm of kills is written in pieces.
	gather = time.Second
	// storm is what that time grows to, twofold each time, for as long as there is more to write whenever it is over.
	storm = 10 * time.Second
	// seldom is the least time between two waits for the disk. What was written between them survives a crash of Solopod, not a power cut.
	seldom = 30 * time.Second
	// closeLimit is how long the end of Solopod waits for records to be written.
	closeLimit = 3 * time.Second
	// flushLimit is how long Flush waits at most.
	flushLimit = 3 * time.Second
)

// Store is safe for concurrent use. It writes in a goroutine of its own, from Begin to Close: who adds a record waits for no disk.
type Store struct {
	path string
	mark func() any
	pods func() map[string]bool

	mu   sync.Mutex
	list []record.Record // by the order in which they came
	// count is how many of them each pod has, by UID.
	count map[string]int
	// there are the pods that there were at the last write, by UID; nil when nobody knows.
	there map[string]bool
	// noted are lines that are not written yet.
	noted []line
	// anew: the file is to be written anew, as what is in it does not count any more, or nobody knows what is in it.
	anew bool

	wake    chan struct{}
	closing chan struct{}
	done    chan struct{}
	begun   atomic.Bool
	// flush are those who wait for a write.
	flush chan chan struct{}

	file writer // run's
}

// line is one of the file's.
type line struct {
	Record *record.Record  `json:"record,omitempty"`
	Gone   string          `json:"gone,omitempty"` // a record's ID
	Mark   json.RawMessage `json:"mark,omitempty"`
}

// Open reads the records of the file at path, and what stands there as the last mark; nil is none. What cannot be read is told, and set
// aside where it is no file of records.
func Open(path string) (s *Store, mark json.RawMessage) {
	s = &Store{path: path, count: map[string]int{}, wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}), flush: make(chan chan struct{}), file: writer{path: path}}
	lines, whole := load(path)
	s.anew = !whole
	for _, l := range lines {
		switch {
		case l.Record != nil:
			s.add(*l.Record)
		case l.Gone != "":
			s.drop(l.Gone)
		case l.Mark != nil:
			mark = l.Mark
		}
	}
	s.noted = nil // it is all there
	return s, mark
}

// Begin begins to write. mark gives what is to be found as the mark by the next Open; it is called from the store's goroutine, before
// the records are taken that are written in front of it. pods gives the pods that there are, by UID, or nil: those that are gone give way
// to them. Only the first call counts.
func (s *Store) Begin(mark func() any, pods func() map[string]bool) {
	if s.begun.Swap(true) {
		return
	}
	s.mark, s.pods = mark, pods
	go s.run()
}

// Close writes what has not been written, if the disk does not take too long. Nothing may be added afterwards.
func (s *Store) Close() {
	if !s.begun.Load() {
		return
	}
	close(s.closing)
	timer := time.NewTimer(closeLimit)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		slog.Warn("the disk does not take the last records of kills for memory; they are lost", "file", s.path)
	}
}

// Add keeps a record, unless it is there already.
func (s *Store) Add(r record.Record) {
	s.mu.Lock()
	s.add(r)
	s.mu.Unlock()
	s.Touch()
}

// Remove forgets a record.
func (s *Store) Remove(id string) {
	s.mu.Lock()
	s.drop(id)
	s.mu.Unlock()
	s.Touch()
}

// Touch has the mark written, soon.
func (s *Store) Touch() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Flush has all written that is known, and waits for that: it then survives a crash of Solopod. Where the disk takes too long, or nothing is
// written (before Begin, and after Close), it does not wait.
func (s *Store) Flush() {
	if !s.begun.Load() {
		return
	}
	timer, written := time.NewTimer(flushLimit), make(chan struct{})
	defer timer.Stop()
	select {
	case s.flush <- written:
	case <-s.done:
		return
	case <-timer.C:
		return
	}
	select {
	case <-written:
	case <-timer.C:
	}
}

// Move moves the times of the records that ofBoot says to be of this boot: the clock was set by so much.
func (s *Store) Move(by time.Duration, ofBoot func(record.Record) bool) {
	s.mu.Lock()
	for i := range s.list {
		if ofBoot(s.list[i]) {
			s.list[i].Time = s.list[i].Time.Add(by)
			s.anew = true
		}
	}
	s.mu.Unlock()
	s.Touch()
}

// List returns the records, the oldest first. Nobody may change what they point to.
func (s *Store) List() []record.Record {
	s.mu.Lock()
	out := slices.Clone(s.list)
	s.mu.Unlock()
	slices.SortStableFunc(out, func(a, b record.Record) int { return a.Time.Compare(b.Time) })
	return out
}

// add is called with the lock held.
func (s *Store) add(r record.Record) {
	if slices.ContainsFunc(s.list, func(old record.Record) bool { return old.ID == r.ID }) {
		return
	}
	s.bound(r.Pod.UID)
	s.list = append(s.list, r)
	s.count[r.Pod.UID]++
	s.note(line{Record: &r})
}

// drop is called with the lock held.
func (s *Store) drop(id string) {
	i := slices.IndexFunc(s.list, func(r record.Record) bool { return r.ID == id })
	if i < 0 {
		return
	}
	s.cut(i)
	s.note(line{Gone: id})
}

// cut takes a record out, by its place. The lock is held.
func (s *Store) cut(i int) {
	pod := s.list[i].Pod.UID
	if s.count[pod]--; s.count[pod] == 0 {
		delete(s.count, pod)
	}
	s.list = slices.Delete(s.list, i, i+1)
}

// note has a line written. The lock is held. What a disk that does not answer keeps waiting is bounded: then the whole file is written.
func (s *Store) note(l line) {
	if s.anew {
		return
	}
	if s.noted = append(s.noted, l); len(s.noted) > 2*inAll {
		s.noted, s.anew = nil, true
	}
}

// bound makes room for one more record of a pod: it lets go of the oldest of that pod, if it has as many as it may, or else, where there are
// as many as there may be, of the pod that has the most, of those that are gone before the others. What goes for another pod's is
// written down, before that: who reads the file does not know who was there. The lock is held.
func (s *Store) bound(of string) {
	switch {
	case s.count[of] >= ofPod:
		s.cut(slices.IndexFunc(s.list, func(r record.Record) bool { return r.Pod.UID == of }))
	case len(s.list) >= inAll:
		s.drop(s.list[s.giving()].ID)
	}
}

// giving is where the record is that has to give way: the oldest of the pod that has to.
func (s *Store) giving() (at int) {
	most, gone := 0, false
	for i := range s.list { // in their order, so that it is the same one whenever the file is read
		pod := s.list[i].Pod.UID
		isGone := s.there != nil && pod != "" && !s.there[pod]
		if n := s.count[pod]; isGone && !gone || isGone == gone && n > most {
			at, most, gone = i, n, isGone
		}
	}
	return at
}

// lasting are the noted lines but for those of records that have been let go since. The lock is held.
func (s *Store) lasting() []line {
	there := map[string]bool{}
	for i := range s.list {
		there[s.list[i].ID] = true
	}
	return slices.DeleteFunc(s.noted, func(l line) bool { return l.Record != nil && !there[l.Record.ID] })
}
