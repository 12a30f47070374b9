package event

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/durable"
)

// store keeps events in two files of one JSON object a line, where a later line of the same event replaces an earlier one. That
// in memory (a tmpfs) gets each at once, for the next run of Solopod; that on the disk gets those since the last time in one
// piece: soon after a warning, else when there are many, or Solopod ends. So flash is written to seldom, and a power cut takes
// seconds.
type store struct {
	memory, disk string
	pending      []*v1.Event // not on the disk yet
	flushed      time.Time
	timer        *time.Timer
	reported     bool
}

const (
	// soon is how long a warning may be in memory alone; seldom is the least time between two writes to the disk.
	soon   = 5 * time.Second
	seldom = 30 * time.Second
	// maxPending is how many notes may be in memory alone, whatever they are.
	maxPending = maxEvents
	// maxFile is when a file is written anew, without what has been replaced or is too old.
	maxFile = 1 << 20
)

func newStore(memory, disk string) *store { return &store{memory: memory, disk: disk} }

// load reads both files, and says which events are of this boot. What cannot be read, as the line that a power cut left, is left
// out.
func (s *store) load() (list []*v1.Event, ofBoot map[string]bool) {
	latest := map[string]*v1.Event{}
	order := map[string]int{} // times in the files have seconds, so that their order tells the rest
	ofBoot = map[string]bool{}
	lineNumber := 0
	for _, path := range []string{s.disk, s.memory} {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			lineNumber++
			ev := &v1.Event{}
			if json.Unmarshal(lines.Bytes(), ev) != nil || ev.Name == "" {
				continue
			}
			if path == s.memory {
				ofBoot[ev.Name] = true
			}
			if old := latest[ev.Name]; old == nil || !ev.LastTimestamp.Before(&old.LastTimestamp) {
				latest[ev.Name], order[ev.Name] = ev, lineNumber
			}
		}
		f.Close() //nolint:errcheck // only read from
	}
	for _, ev := range latest {
		list = append(list, ev)
	}
	slices.SortFunc(list, func(a, b *v1.Event) int {
		if c := a.LastTimestamp.Compare(b.LastTimestamp.Time); c != 0 {
			return c
		}
		return order[a.Name] - order[b.Name]
	})
	return list[max(len(list)-maxEvents, 0):], ofBoot
}

// note writes an event into memory, and has flush called when it is time for the disk.
func (s *store) note(ev *v1.Event, flush func()) {
	s.pending = append(s.pending, ev)
	if err := s.appendTo(s.memory, []*v1.Event{ev}, false); err != nil {
		s.complain(err)
	}
	worth := ev.Type == v1.EventTypeWarning && ev.Count == 1 // a repetition is not worth a write
	if s.timer == nil && (worth || len(s.pending) >= maxPending) {
		s.timer = time.AfterFunc(max(soon, seldom-time.Since(s.flushed)), flush)
	}
}

// flush writes to the disk what is not there. all are the events that count, ofBoot those of them that happened in this boot.
func (s *store) flush(all, ofBoot []*v1.Event) {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.flushed = time.Now()
	if s.pending = once(s.pending); len(s.pending) > 0 {
		if err := s.appendTo(s.disk, s.pending, true); err != nil {
			s.complain(err)
			s.pending = s.pending[max(len(s.pending)-maxPending, 0):] // the next time, as far as they still count
		} else {
			s.pending = nil
		}
	}
	if tooLong(s.disk) {
		if err := durable.WriteFile(s.disk, lines(all), 0o600); err != nil {
			s.complain(err)
		}
	}
	if tooLong(s.memory) {
		s.replaceMemory(ofBoot)
	}
}

func tooLong(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > maxFile
}

// once leaves each event in its last place, as it is now.
func once(list []*v1.Event) []*v1.Event {
	var out []*v1.Event
	seen := map[string]bool{}
	for _, ev := range slices.Backward(list) {
		if !seen[ev.Name] {
			seen[ev.Name] = true
			out = append(out, ev)
		}
	}
	slices.Reverse(out)
	return out
}

// replaceMemory writes the file in memory anew.
func (s *store) replaceMemory(list []*v1.Event) {
	if err := durable.Replace(s.memory, lines(list), 0o600); err != nil {
		s.complain(err)
	}
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

func (s *store) appendTo(path string, list []*v1.Event, sync bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // what counts was synced
	if _, err := f.Write(lines(list)); err != nil {
		return err
	}
	if sync {
		return f.Sync()
	}
	return nil
}

// complain says once that events are not kept.
func (s *store) complain(err error) {
	if !s.reported {
		slog.Warn("cannot keep events; they are lost when Solopod ends", "err", err)
	}
	s.reported = true
}
