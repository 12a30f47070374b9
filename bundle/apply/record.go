package apply

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/solopod/solopod/bundle"
	"github.com/solopod/solopod/runner/durable"
)

// Applied is a bundle that was applied.
type Applied struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Digest  string    `json:"digest"`
	Signer  string    `json:"signer"`
	Time    time.Time `json:"time"`
	// File is what its file in the manifests directory has.
	File digest.Digest `json:"fileDigest"`
	// Newest is the newest version that the box has had, with its digest, where an older one was applied by force.
	Newest       string `json:"newest,omitempty"`
	NewestDigest string `json:"newestDigest,omitempty"`
}

// newest are the version and digest of the newest one that the box has had.
func (a Applied) newest() (version, digest string) {
	if a.Newest != "" {
		return a.Newest, a.NewestDigest
	}
	return a.Version, a.Digest
}

const (
	// maxRecord bounds the record's file, in bytes.
	maxRecord = 4 << 20
	// maxNames is how many bundles are remembered. Nothing is forgotten to make room: what is forgotten can come back.
	maxNames = 1000
)

// record remembers of each bundle the version that was applied last, and the newest that the box has had.
type record struct {
	path string
	mu   sync.Mutex // never held over a write
	had  map[string]Applied
}

// openRecord reads the record; told says that it is lost.
func openRecord(path string) (r *record, told string) {
	r = &record{path: path, had: map[string]Applied{}}
	had, told := durable.ReadJSON[map[string]Applied](path, maxRecord, nil)
	if told != "" {
		told = "which bundles this box has had is not known any more, so that older ones would be taken: " + told
	}
	maps.Copy(r.had, had)
	return r, told
}

// older says why a bundle is not applied without force; nil when it is.
func (r *record) older(now Applied) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, ok := r.had[now.Name]
	if !ok || now.Version == before.Version && now.Digest == before.Digest {
		return nil
	}
	version, digest := before.newest()
	switch c := bundle.Compare(now.Version, version); {
	case c > 0 || c == 0 && now.Digest == digest:
		return nil
	case c == 0:
		return fmt.Errorf("bundle %s %s is another one of this version than the one that this box has had (%s); raise its version, or apply it with --force", now.Name, now.Version, digest)
	}
	return fmt.Errorf("bundle %s %s is older than %s, which this box has had; to go back apply it with --force", now.Name, now.Version, version)
}

// put notes a bundle, on the disk. One calls it at a time.
func (r *record) put(now Applied) error {
	r.mu.Lock()
	next := maps.Clone(r.had)
	r.mu.Unlock()
	if before, ok := next[now.Name]; ok {
		if version, digest := before.newest(); bundle.Compare(version, now.Version) > 0 {
			now.Newest, now.NewestDigest = version, digest
		}
	}
	next[now.Name] = now
	if len(next) > maxNames {
		return fmt.Errorf("this box remembers %d bundles, which is as many as it can; take those out of %s that will not come again", maxNames, r.path)
	}
	data, err := json.MarshalIndent(next, "", " ")
	if err == nil {
		err = durable.WriteFile(r.path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot note the bundle's version before it is applied: %w", err)
	}
	r.mu.Lock()
	r.had = next
	r.mu.Unlock()
	return nil
}

func (r *record) list() []Applied {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.had), func(a, b Applied) int { return strings.Compare(a.Name, b.Name) })
}
