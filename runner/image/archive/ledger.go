package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/solopod/solopod/runner/durable"
)

// maxLedger bounds the ledger's file, in bytes: some ten thousand archives.
const maxLedger = 4 << 20

// ledger remembers which archives of the watched directory were imported, so that a start does not read them all again.
type ledger struct {
	path    string
	mu      sync.Mutex
	entries map[string]ledgerEntry

	writing sync.Mutex // one write at a time; mu is not held meanwhile
}

type ledgerEntry struct {
	Size     int64    `json:"size"`
	Modified int64    `json:"modified"` // nanoseconds since 1970
	Images   []string `json:"images"`
}

// openLedger reads the file. One that is missing means that every archive is read again; one that is damaged is also set aside.
func openLedger(path string) *ledger {
	l := &ledger{path: path, entries: map[string]ledgerEntry{}}
	data, err := durable.ReadFile(path, maxLedger)
	if err == nil {
		err = json.Unmarshal(data, &l.entries)
	}
	if l.entries == nil && err == nil { // the word null
		err = fmt.Errorf("it is empty")
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return l
	}
	l.entries = map[string]ledgerEntry{}
	told, aside := durable.SetAside(path, err)
	slog.Warn("the list of imported archives is damaged; every archive is read again", "done", told, "err", errors.Join(err, aside))
	return l
}

func (l *ledger) find(path string, info fs.FileInfo) (ledgerEntry, bool) {
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

func (l *ledger) note(path string, info fs.FileInfo, images []string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	known := make([]string, 0, len(l.entries))
	for old := range l.entries {
		known = append(known, old)
	}
	l.mu.Unlock()
	var gone []string
	for _, old := range known {
		if _, err := os.Lstat(old); os.IsNotExist(err) {
			gone = append(gone, old)
		}
	}
	l.mu.Lock()
	for _, old := range gone {
		delete(l.entries, old)
	}
	l.entries[path] = ledgerEntry{info.Size(), info.ModTime().UnixNano(), images}
	data, err := json.MarshalIndent(l.entries, "", "  ")
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return durable.WriteFile(l.path, data, 0o600)
}
