package inspection

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A runtime that never stops to talk is not listened to: it is told as one that was not looked at.
func TestFloodingRuntime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runc")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec yes\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := &looker{ctx: context.Background(), facts: &Facts{Settings: Settings{"runtime": path}}, seen: map[string]bool{}}
	l.runtimes()
	if len(l.facts.Runtimes) != 0 || !strings.Contains(strings.Join(l.facts.Unseen, "\n"), "it says too much") {
		t.Errorf("%+v, %q", l.facts.Runtimes, l.facts.Unseen)
	}
}
