package workload

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/solopod/solopod/manifests/validate"
	"github.com/solopod/solopod/runner/durable"
)

// state is what pods do not tell.
type state struct {
	Jobs map[string]*jobState  `json:"jobs,omitempty"` // by namespace/name
	Cron map[string]*CronState `json:"cron,omitempty"`
}

// jobState is kept of a Job that has ended.
type jobState struct {
	Revision  string  `json:"revision"`
	Outcome   Outcome `json:"outcome"`
	Succeeded int     `json:"succeeded,omitempty"`
	Failed    int     `json:"failed,omitempty"`
	// Message says why it has failed.
	Message    string    `json:"message,omitempty"`
	FinishedAt time.Time `json:"finishedAt"`
}

const (
	// maxState is the longest file, in bytes, that is read.
	maxState = 16 << 20
	// retryWrite is when a write that failed is tried again: a full disk has no event.
	retryWrite = 10 * time.Second
	// closeLimit is how long the end of Solopod waits for the disk.
	closeLimit = 3 * time.Second
)

// store keeps the state in a file, which is written when it has changed. Who saves does not wait for the disk: a goroutine,
// which ends when there is nothing to write, writes the newest.
type store struct {
	path string
	last []byte // what was saved; the caller's of save

	mu      sync.Mutex
	next    []byte        // not written yet
	idle    chan struct{} // closed when the goroutine has ended; nil while there is none
	closing chan struct{}
	told    bool // that it cannot be written
}

func newStore(path string) *store { return &store{path: path, closing: make(chan struct{})} }

// load reads the state. What is no state is set aside: Jobs are then known by their pods, and CronJobs begin now.
func (s *store) load() state {
	out := state{}
	if err := s.read(&out); err != nil {
		out = state{}
		told, err := durable.SetAside(s.path, err)
		if err != nil {
			slog.Error("the record of Jobs is damaged", "file", s.path, "err", err)
		} else {
			slog.Error("the record of Jobs is damaged", "file", s.path, "done", told)
		}
	}
	out.dropUnusable()
	return out
}

func (s *store) read(into *state) error {
	data, err := durable.ReadFile(s.path, maxState)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// dropUnusable leaves out what a damaged file may have lost a part of.
func (st *state) dropUnusable() {
	if st.Jobs == nil {
		st.Jobs = map[string]*jobState{}
	}
	if st.Cron == nil {
		st.Cron = map[string]*CronState{}
	}
	maps.DeleteFunc(st.Jobs, func(_ string, j *jobState) bool { return j == nil || j.Outcome != Complete && j.Outcome != Failed })
	maps.DeleteFunc(st.Cron, func(_ string, c *CronState) bool { return c == nil })
	for _, c := range st.Cron {
		c.Runs = slices.DeleteFunc(c.Runs, func(r *Run) bool {
			return r == nil || r.Job == nil || r.Job.Name == "" || !usable(&r.Job.Spec)
		})
	}
}

// usable says whether a Job of the file is one that validation would have let through: a damaged number must not make a million pods.
func usable(s *batchv1.JobSpec) bool {
	within := func(n *int32, most int32) bool { return n != nil && *n >= 0 && *n <= most }
	return within(s.Parallelism, validate.MaxReplicas) && within(s.BackoffLimit, math.MaxInt32) &&
		(s.Completions == nil || within(s.Completions, validate.MaxReplicas))
}

// save has the state written. It is called by one goroutine.
func (s *store) save(st state) error {
	if len(st.Jobs)+len(st.Cron) == 0 && s.last == nil {
		return nil
	}
	data, err := json.Marshal(st)
	if err != nil || bytes.Equal(data, s.last) {
		return err
	}
	s.last = data
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = data
	if s.idle == nil {
		s.idle = make(chan struct{})
		go s.write(s.idle)
	}
	return nil
}

// write writes until there is nothing more.
func (s *store) write(idle chan struct{}) {
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
func (s *store) tell(err error) (written bool) {
	if err != nil && !s.told {
		slog.Error("cannot write down what Jobs have done; it is tried again", "err", err)
	}
	s.told = err != nil
	return err == nil
}

// noteLimit is how long a step waits for the disk before pods begin or go that the record tells of. A disk that takes longer does
// not hold Jobs: what was not written may then be done again after a crash.
const noteLimit = time.Second

// note waits, within noteLimit, until what was saved is written: else a Job whose pods are dropped would run again after a crash,
// and a run of a CronJob twice.
func (s *store) note() {
	s.mu.Lock()
	idle := s.idle
	s.mu.Unlock()
	if idle == nil {
		return
	}
	limit := time.NewTimer(noteLimit)
	defer limit.Stop()
	select {
	case <-idle:
	case <-limit.C:
	}
}

// close waits, within a limit, until what was saved is written.
func (s *store) close() {
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
		slog.Error("the disk does not take what Jobs have done", "file", s.path)
	}
}
