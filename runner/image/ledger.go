package image

import (
	"encoding/json"
	"os"
	"sync"

	"github.com/solopod/solopod/runner/durable"
)

// ledger remembers which archives of the watched directory were imported, so that a start does not read them all again.
type ledger struct {
	path    string
	mu      sync.Mutex
	entries map[string]ledgerEntry
}

type ledgerEntry struct {
	Size     int64    `json:"size"`
	Modified int64    `json:"modified"` // nanoseconds since 1970
	Images   []string `json:"images"`
}

// openLedger reads the file; one that is missing or damaged means that every archive is read again.
func openLedger(path string) *ledger {
	l := &ledger{path: path, entries: map[string]ledgerEntry{}}
	if data, err := os.ReadFile(path); err == nil {
		if json.Unmarshal(data, &l.entries) != nil || l.entries == nil {
			l.entries = map[string]ledgerEntry{}
		}
	}
	return l
}

func (l *ledger) find(path string, info os.FileInfo) (ledgerEntry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[path]
	return e, ok && e.Size == info.Size() && e.Modified == info.ModTime().UnixNano()
}

func (l *ledger) forget(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.entries, path)
}

func (l *ledger) note(path string, info os.FileInfo, images []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for old := range l.entries {
		if _, err := os.Stat(old); os.IsNotExist(err) {
			delete(l.entries, old)
		}
	}
	l.entries[path] = ledgerEntry{info.Size(), info.ModTime().UnixNano(), images}
	data, err := json.MarshalIndent(l.entries, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(l.path, data, 0o600)
}
