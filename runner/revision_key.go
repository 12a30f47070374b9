package runner

import (
	"crypto/rand"
	"log/slog"
	"path/filepath"

	"github.com/solopod/solopod/runner/durable"
)

const revisionKeySize = 32

// revisionKey reads the key with which pods' revisions identify values of Secrets (state.Host), and makes one where there is none. It
// stays over reboots, as revisions do. Without one, on a disk that cannot be written, revisions are made without: they must be
// the same at the next start, and hold until something changes also when there is a key.
func revisionKey(root string) string {
	path := filepath.Join(root, "revision.key")
	key, err := durable.ReadFile(path, revisionKeySize)
	if err == nil && len(key) == revisionKeySize {
		return string(key)
	}
	key = make([]byte, revisionKeySize)
	rand.Read(key) // it does not fail
	if err := durable.WriteFile(path, key, 0o600); err != nil {
		slog.Warn("the revisions of pods are made without a key", "err", err)
		return ""
	}
	return string(key)
}
