package names

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/internal/stuck"
)

// The daemon ends in time though a change of names does not; what comes behind its end is refused.
func TestCloseWhilePublishing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{})
		give, ok := n.turn.Try() // somebody publishes
		if !ok {
			t.Fatal("somebody publishes already")
		}
		begun := time.Now()
		n.Close()
		if took := time.Since(begun); took != endLimit {
			t.Errorf("it takes %s", took)
		}
		give()
		n.Close()
		n.Close()
		if err := n.Publish(t.Context(), nil); err != ErrClosed { //nolint:errorlint // it is this one
			t.Error(err)
		}
	})
}

// A program is looked for, but not for long: the keeper tries to start one of which the disk does not tell.
func TestExecutable(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	n := New(Config{})
	look := func() error { return n.executable(t.Context(), program) }
	if err := look(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is none: %v", err)
	}
	if err := os.WriteFile(program, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := look(); err == nil {
		t.Error("a file that cannot be executed is taken for a program")
	}
	answer := stuck.FileSystem(t, dir)
	for range 2 {
		if err := look(); err != nil {
			t.Errorf("the disk does not answer: %v", err)
		}
	}
	answer()
	eventually(t, "the disk answers again", func() bool { return look() != nil })
}
