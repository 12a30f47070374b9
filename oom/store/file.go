package store

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/solopod/solopod/runner/durable"
)

const (
	// maxRead is how much of a file is read, of its end: more than any that Solopod writes.
	maxRead = 16 << 20
	// maxFile is when a file is written anew, without what does not count any more, in bytes.
	maxFile = 1 << 20
)

// load reads a file's lines; whole says that there was nothing else in it.
func load(path string) (out []line, whole bool) {
	whole, err := durable.ReadLines(path, maxRead, "record", func(text []byte) bool {
		var l line
		if json.Unmarshal(text, &l) != nil || !l.good() {
			return false
		}
		out = append(out, l)
		return true
	})
	if err == nil {
		return out, whole
	}
	told, failed := durable.SetAside(path, err)
	if failed != nil {
		told = failed.Error()
	}
	slog.Warn("the file of kills for memory is damaged", "file", path, "err", err, "done", told)
	return nil, false
}

func (l *line) good() bool {
	if l.Record != nil {
		return l.Record.ID != "" && !l.Record.Time.IsZero()
	}
	return l.Gone != "" || l.Mark != nil
}

// run writes until Close.
func (s *Store) run() {
	defer close(s.done)
	between := gather
	for {
		var sync <-chan time.Time
		if s.file.behind {
			sync = time.After(time.Until(s.file.waited.Add(seldom)))
		}
		select {
		case <-s.wake:
			s.write(false)
			if !s.pause(between) {
				return
			}
			if between = min(2*between, storm); len(s.wake) == 0 {
				between = gather
			}
		case written := <-s.flush:
			s.flushed(written)
		case <-sync:
			s.write(true)
		case <-s.closing:
			s.write(true)
			return
		}
	}
}

// pause waits, and says whether there is more to do afterwards; Close ends it with what has been noted.
func (s *Store) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case written := <-s.flush:
			s.flushed(written)
		case <-s.closing:
			s.write(true)
			return false
		}
	}
}

// flushed writes for one who waits for it, and for all others who do.
func (s *Store) flushed(written chan struct{}) {
	all := []chan struct{}{written}
	for more := true; more; {
		select {
		case written := <-s.flush:
			all = append(all, written)
		default:
			more = false
		}
	}
	s.write(false)
	for _, written := range all {
		close(written)
	}
}

// write brings the file up to date. The first write after a quiet time waits for the disk, others do with sync.
func (s *Store) write(sync bool) {
	mark, err := json.Marshal(s.mark()) // before the records: what the mark has seen is written in front of it
	if err != nil {
		slog.Error("a mark cannot be written down", "err", err) // it is of our own types
		return
	}
	var there map[string]bool
	if s.pods != nil {
		there = s.pods()
	}
	s.mu.Lock()
	s.there = there
	lines, anew := s.lasting(), s.anew
	if anew {
		lines = nil
		for i := range s.list {
			r := s.list[i]
			lines = append(lines, line{Record: &r})
		}
	}
	s.noted, s.anew = nil, false
	s.mu.Unlock()
	lines = append(lines, line{Mark: mark})
	// A file that is written anew takes the other's place: after a power cut it must not be an empty one.
	if s.file.put(lines, anew, sync || anew || time.Since(s.file.waited) >= seldom) {
		return
	}
	s.mu.Lock()
	s.anew, s.noted = true, nil
	s.mu.Unlock()
}

// writer is the file as it is written.
type writer struct {
	path string
	// waited is when the disk was last waited for; behind: not all that counts is on it.
	waited time.Time
	behind bool
	size   int64 // as it was last written anew
	told   bool  // that it cannot be written
}

// put adds lines to the file, or makes it anew of them. Where it says false, the file must be made anew, now or later: half a line may be
// at its end, or it has become long.
func (w *writer) put(lines []line, anew, sync bool) bool {
	var data bytes.Buffer
	out := json.NewEncoder(&data)
	for _, l := range lines {
		if err := out.Encode(l); err != nil {
			slog.Error("a record cannot be written down", "err", err) // it is of our own types
		}
	}
	size, err := w.store(data.Bytes(), anew, sync)
	if err != nil && !w.told {
		slog.Warn("records of kills for memory cannot be written; they are lost when Solopod ends, unless there is room again before", "file", w.path, "err", err)
	}
	w.told, w.behind = err != nil, err != nil || !sync
	if sync {
		w.waited = time.Now()
	}
	if err != nil {
		return false
	}
	if anew {
		w.size = size
	}
	return size <= max(maxFile, 2*w.size)
}

func (w *writer) store(data []byte, anew, sync bool) (size int64, err error) {
	if anew {
		return int64(len(data)), durable.WriteFile(w.path, data, 0o600)
	}
	return durable.Append(w.path, data, 0o600, sync)
}
