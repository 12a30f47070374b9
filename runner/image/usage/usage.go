// Package usage remembers when images came and when they were used last, over restarts. A file is written when an image has come, is not
// used any more, or has gone: not while it is used.
package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/clock"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/turn"
)

// maxFile bounds the file, in bytes: some ten thousand images.
const maxFile = 4 << 20

// Times are those of an image.
type Times struct {
	// Came is when it was first seen.
	Came time.Time `json:"came"`
	// Used is when it was seen to be used last; zero: never.
	Used time.Time `json:"used,omitzero"`
	// InUse: somebody uses it.
	InUse bool `json:"inUse,omitempty"`
}

// Ledger has the times of all images. It is safe for concurrent use.
type Ledger struct {
	path string
	// moved says by how much the clock was set since the last call.
	moved func() time.Duration

	mu      sync.Mutex
	entries map[string]Times // by digest
	// taken are the uses of this run that entries know.
	taken   map[string]time.Time
	unsaved bool
	failed  bool // the last write has, which was told

	// writing is taken over reading entries and the write: what is newer must not be overwritten by what is older.
	writing turn.Turn
	write   func(path string, data []byte, mode fs.FileMode) error
}

// writeLimit is how long a write waits for another one.
const writeLimit = 10 * time.Second

var errWriting = errors.New("its disk has not answered the write before")

// Open reads the file. One that is missing or damaged means that all images have come just now.
func Open(path string) *Ledger {
	offset := clock.Offset()
	l := &Ledger{path: path, entries: map[string]Times{}, taken: map[string]time.Time{}, writing: turn.New(writeLimit, errWriting), write: durable.WriteFile, moved: func() time.Duration {
		moved := clock.Moved(offset)
		offset += moved
		return moved
	}}
	entries, told := durable.ReadJSON[map[string]Times](path, maxFile, nil)
	if told != "" {
		slog.Warn("the record of when images were used is damaged; all of them count as come just now", "done", told)
	}
	maps.Copy(l.entries, entries)
	return l
}

// Look takes which images there are, by digest, and whether somebody uses each now; used are times at which some were used since.
// It returns the times of all of them. A clock that was set moves the times along.
func (l *Ledger) Look(present map[string]bool, used map[string]time.Time, now time.Time) map[string]Times {
	l.mu.Lock()
	defer l.mu.Unlock()
	moved := l.moved()
	// Times are those of the wall clock, which survive a restart and can be moved along. Of a use in this run it is known how long ago it was.
	ago := now.Sub
	now = now.Round(0)
	next := make(map[string]Times, len(present))
	for digest, uses := range present {
		t, known := l.entries[digest]
		if !known {
			t.Came = now
		} else {
			t = t.shifted(moved, now)
		}
		last := t
		if at, known := used[digest]; known && at != l.taken[digest] {
			l.taken[digest] = at
			if at = now.Add(-ago(at)); at.After(t.Used) {
				t.Used = at
			}
		}
		if uses || t.InUse { // it was until now, as far as is known
			t.Used = now
		}
		t.InUse = uses
		// While it is used the time need not be written: it is when that was over.
		l.unsaved = l.unsaved || !known || moved != 0 || t.InUse != last.InUse || !uses && t.Used != last.Used
		next[digest] = t
	}
	l.unsaved = l.unsaved || len(next) < len(l.entries)
	maps.DeleteFunc(l.taken, func(digest string, _ time.Time) bool { _, there := present[digest]; return !there })
	l.entries = next
	return maps.Clone(next)
}

// shifted moves times along with a clock that was set; none is in the future.
func (t Times) shifted(moved time.Duration, now time.Time) Times {
	shift := func(at time.Time) time.Time {
		if at.IsZero() {
			return at
		}
		if at = at.Add(moved); at.After(now) {
			return now
		}
		return at
	}
	return Times{shift(t.Came), shift(t.Used), t.InUse}
}

// Save writes the file if there is something new. It may hang. One that cannot be written is told once.
func (l *Ledger) Save() {
	err := l.writing.Do(context.Background(), l.save) // bounded by itself
	l.mu.Lock()
	defer l.mu.Unlock()
	tell := err != nil && !l.failed
	l.failed = err != nil
	if tell {
		slog.Warn("cannot write when images were used; after a restart they count as used as it was written last", "err", fmt.Errorf("%s: %w", l.path, err))
	}
}

func (l *Ledger) save() error {
	l.mu.Lock()
	unsaved := l.unsaved
	data, err := json.Marshal(l.entries)
	l.unsaved = false
	l.mu.Unlock()
	if !unsaved {
		return nil
	}
	if err == nil {
		err = l.write(l.path, data, 0o600)
	}
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.unsaved = true
	}
	return err
}
