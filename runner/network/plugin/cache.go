package plugin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
)

// maxCached bounds what libcni remembers of one attachment, in bytes: its configuration and the plugins' answer.
const maxCached = 4 << 20

// CacheDir is where libcni remembers what plugins gave, which it must be able to write: below root, or while that is read-only below
// state, with a copy of what was there. Once root can be written again it gets back what has become of that. An error comes with the
// directory that is to be used in spite of it.
func CacheDir(root, state string) (string, error) {
	kept, moved := filepath.Join(root, "cni"), filepath.Join(state, "cni")
	answers := make(chan bool, 1)
	go func() { answers <- durable.IsReadOnly(root) }() // left behind when the disk does not answer: the start goes on
	var readOnly bool
	select {
	case readOnly = <-answers:
	case <-time.After(cacheLimit):
		return kept, fmt.Errorf("%s does not answer", root)
	}
	_, err := os.Lstat(moved)
	isMoved := err == nil
	if readOnly {
		if isMoved {
			return moved, nil
		}
		if err := seed(moved, kept); err != nil {
			return kept, fmt.Errorf("%s is read-only, and what CNI plugins gave cannot be copied from there: no pod can be attached by CNI: %w", root, err)
		}
		return moved, nil
	}
	if !isMoved {
		return kept, nil
	}
	if err := errors.Join(foreign.RemoveAll(results(kept)), copyResults(kept, moved)); err != nil {
		return moved, fmt.Errorf("what CNI plugins gave while %s was read-only cannot be copied there: %w", root, err)
	}
	return kept, foreign.RemoveAll(moved)
}

// cacheLimit is how long CacheDir waits for a disk to take an empty file.
const cacheLimit = 5 * time.Second

// results is where libcni has a file for each attachment.
func results(cache string) string { return filepath.Join(cache, "results") }

// seed makes to a copy of from, whole or not at all.
func seed(to, from string) error {
	half := to + ".new"
	if err := foreign.RemoveAll(half); err != nil {
		return err
	}
	if err := os.MkdirAll(results(half), 0o700); err != nil {
		return err
	}
	if err := copyResults(half, from); err != nil {
		return err
	}
	return os.Rename(half, to)
}

func copyResults(to, from string) error {
	entries, err := os.ReadDir(results(from))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(results(to), 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		data, err := durable.ReadFile(filepath.Join(results(from), e.Name()), maxCached)
		if errors.Is(err, durable.ErrDamaged) {
			continue // libcni could not use it either
		}
		if err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(results(to), e.Name()), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
