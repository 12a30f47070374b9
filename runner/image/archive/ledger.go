package archive

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/solopod/solopod/manifests/source/watch"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/turn"
)

// maxLedger bounds the ledger's file, in bytes: some ten thousand archives.
const maxLedger = 4 << 20

// ledger remembers which archives of the watched directory were imported, so that a start does not read them all again.
type ledger struct {
	path    string
	mu      sync.Mutex
	entries map[string]ledgerEntry // by the archive's path
	// writing is taken over reading entries and the write: what is newer must not be overwritten by what is older.
	writing turn.Turn
	write   func(path string, data []byte, mode fs.FileMode) error
}

// writeLimit is how long a write waits for another one.
const writeLimit = 10 * time.Second

var errWriting = errors.New("its disk has not answered the write before")

type ledgerEntry struct {
	Size     int64    `json:"size"`
	Modified int64    `json:"modified"` // nanoseconds since 1970
	Images   []string `json:"images"`
	// Collected are those of Images that were removed to make room, with their digests: the archive is not read for them before somebody
	// wants one.
	Collected map[string]string `json:"collected,omitempty"`
	// inode tells archives apart that are made to have the same time and size. It is zero for what an earlier run imported: not every
	// file system has numbers that last.
	inode uint64
}

// openLedger reads the file. One that is missing means that every archive is read again; one that is damaged is also set aside.
func openLedger(path string) *ledger {
	l := &ledger{path: path, entries: map[string]ledgerEntry{}, writing: turn.New(writeLimit, errWriting), write: durable.WriteFile}
	entries, told := durable.ReadJSON[map[string]ledgerEntry](path, maxLedger, nil)
	if told != "" {
		slog.Warn("the list of imported archives is damaged; every archive is read again", "done", told)
	}
	maps.Copy(l.entries, entries)
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

// note writes the file. It may hang.
func (l *ledger) note(path string, v watch.Version, images []string) error {
	l.mu.Lock()
	l.entries[path] = ledgerEntry{Size: v.Size, Modified: v.Modified, Images: images, inode: v.Inode}
	l.mu.Unlock()
	return l.save()
}

// save writes the file. It may hang.
func (l *ledger) save() error {
	return l.writing.Do(context.Background(), func() error { // bounded by itself
		l.mu.Lock()
		data, err := json.MarshalIndent(l.entries, "", "  ")
		l.mu.Unlock()
		if err != nil {
			return err
		}
		return l.write(l.path, data, 0o600)
	})
}

// collect notes that images of a digest are about to be removed, by their names; it says whether an archive has brought one.
func (l *ledger) collect(names []string, digest string) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for path, e := range l.entries {
		collected := map[string]string{}
		for _, name := range names {
			if slices.Contains(e.Images, name) {
				collected[name] = digest
			}
		}
		if len(collected) == 0 {
			continue
		}
		maps.Copy(collected, e.Collected)
		e.Collected, changed = collected, true
		l.entries[path] = e
	}
	return changed
}

// collected finds the archive of a collected image that means says is meant, by its name and digest.
func (l *ledger) collected(means func(name, digest string) bool) (path string, found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for path, e := range l.entries {
		for name, digest := range e.Collected {
			if means(name, digest) {
				return path, true
			}
		}
	}
	return "", false
}
