package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/solopod/solopod/manifests/source/watch"
	"github.com/solopod/solopod/runner/durable"
)

// maxLedger bounds the ledger's file, in bytes: some ten thousand archives.
const maxLedger = 4 << 20

// ledger remembers which archives of the watched directory were imported, so that a start does not read them all again.
type ledger struct {
	path    string
	mu      sync.Mutex
	entries map[string]ledgerEntry // by the archive's path
}

type ledgerEntry struct {
	Size     int64    `json:"size"`
	Modified int64    `json:"modified"` // nanoseconds since 1970
	Images   []string `json:"images"`
	// inode tells archives apart that are made to have the same time and size. It is zero for what an earlier run imported: not every
	// file system has numbers that last.
	inode uint64
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

// names are the archives of dir that were imported. Those of other directories are forgotten.
func (l *ledger) names(dir string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for path := range l.entries {
		if filepath.Dir(path) != dir {
			delete(l.entries, path)
			continue
		}
		out = append(out, filepath.Base(path))
	}
	return out
}

func (l *ledger) find(path string, v watch.Version) (ledgerEntry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[path]
	if !ok || e.Size != v.Size || e.Modified != v.Modified || e.inode != 0 && e.inode != v.Inode {
		return ledgerEntry{}, false
	}
	e.inode = v.Inode
	l.entries[path] = e
	return e, true
}

// forget takes effect on the disk with the next note.
func (l *ledger) forget(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.entries, path)
}

// note writes the file. It is called by one at a time.
func (l *ledger) note(path string, v watch.Version, images []string) error {
	l.mu.Lock()
	l.entries[path] = ledgerEntry{v.Size, v.Modified, images, v.Inode}
	data, err := json.MarshalIndent(l.entries, "", "  ")
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return durable.WriteFile(l.path, data, 0o600)
}
