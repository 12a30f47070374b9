// Package record keeps what the objects of manifests have come to in files, without anybody waiting for the disk.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/durable"
)

const (
	// MaxSize is the longest file, in bytes, that is read.
	MaxSize = 16 << 20
	// retryWrite is when a write that failed is tried again: a full disk has no event.
	retryWrite = 10 * time.Second
	// closeLimit is how long the end of Solopod waits for the disk.
	closeLimit = 3 * time.Second
)

// Store keeps a record in a file, which is written when it has changed. Who saves does not wait for the disk: a goroutine,
// which ends when there is nothing to write, writes the newest.
type Store struct {
	path string
	last []byte // what was saved; the caller's of Save

	mu      sync.Mutex
	next    []byte        // not written yet
	idle    chan struct{} // closed when the goroutine has ended; nil while there is none
	closing chan struct{}
	told    bool // that it cannot be written
}

// New makes a Store of the file at path. Nothing is read yet.
func New(path string) *Store { return &Store{path: path, closing: make(chan struct{})} }

// Read reads the file; what there is none of stays as it is.
func (s *Store) Read(into any) error {
	data, err := durable.ReadFile(s.path, MaxSize)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// Save has what is given written, as JSON. It is called by one goroutine.
func (s *Store) Save(st any) error {
	data, err := json.Marshal(st)
	if err == nil {
		s.SaveText(data)
	}
	return err
}

// SaveText is Save for what is JSON already, and nobody changes any more.
func (s *Store) SaveText(data []byte) {
	if bytes.Equal(data, s.last) {
		return
	}
	s.last = data
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = data
	if s.idle == nil {
		s.idle = make(chan struct{})
		go s.write(s.idle)
	}
}

// write writes until there is nothing more.
func (s *Store) write(idle chan struct{}) {
	defer close(idle)
	for {
		s.mu.Lock()
		data := s.next
		if s.next = nil; data == nil {
			s.idle = nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if s.tell(durable.WriteFile(s.path, data, 0o600)) {
			continue
		}
		s.mu.Lock()
		if s.next == nil {
			s.next = data
		}
		s.mu.Unlock()
		select {
		case <-time.After(retryWrite):
		case <-s.closing:
			return
		}
	}
}

// tell says once that the state cannot be written.
func (s *Store) tell(err error) (written bool) {
	if err != nil && !s.told {
		slog.Error("cannot write down what is known of Jobs and other objects; it is tried again", "file", s.path, "err", err)
	}
	s.told = err != nil
	return err == nil
}

// awaitLimit is how long a step waits for the disk before pods begin or go that the record tells of. A disk that takes longer does
// not hold Jobs: what was not written may then be done again after a crash.
const awaitLimit = time.Second

// Await waits, within awaitLimit, until what was saved is written: else a Job whose pods are dropped would run again after a crash,
// and a run of a CronJob twice.
func (s *Store) Await() {
	s.mu.Lock()
	idle := s.idle
	s.mu.Unlock()
	if idle == nil {
		return
	}
	limit := time.NewTimer(awaitLimit)
	defer limit.Stop()
	select {
	case <-idle:
	case <-limit.C:
	}
}

// Close waits, within a limit, until what was saved is written.
func (s *Store) Close() {
	close(s.closing)
	s.mu.Lock()
	idle := s.idle
	s.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-time.After(closeLimit):
		slog.Error("the disk does not take what is known of Jobs and other objects", "file", s.path)
	}
}

// Saved says whether anything has been since New. It is for who saves.
func (s *Store) Saved() bool { return s.last != nil }

// SetAside puts a file that cannot be used out of the way, and says in the log what it was the record of.
func (s *Store) SetAside(what string, why error) {
	told, err := durable.SetAside(s.path, why)
	if err != nil {
		slog.Error(what+" is damaged", "file", s.path, "err", err)
		return
	}
	slog.Error(what+" is damaged", "file", s.path, "done", told)
}
