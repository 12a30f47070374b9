package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/internal/testbox"
)

func TestMatcher(t *testing.T) {
	name, digest := "docker.io/library/app:1", digestOf("1")
	for ref, want := range map[string]bool{
		"app:1": true, "docker.io/library/app:1": true, "app:2": false, "app": false, "app@" + digest: true, "app:2@" + digest: true,
		"other/app@" + digest: false, "app@" + digestOf("2"): false, "": false, "App": false,
	} {
		if got := Matcher(ref)(name, digest); got != want {
			t.Errorf("%q: %t", ref, got)
		}
	}
}

// brought is a shop that has imported an image from an archive, and watches on.
func brought(t *testing.T) (*Store, *testbox.Engine, engine.Image) {
	t.Helper()
	s, e := shop(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.tar"), []byte("brought:1"), 0o600); err != nil {
		t.Fatal(err)
	}
	scanned := make(chan struct{})
	go s.Watch(t.Context(), dir, func() { close(scanned) }) //nolint:errcheck // it ends with the test
	<-scanned
	got, err := s.Get(t.Context(), "brought:1")
	if err != nil {
		t.Fatal(err)
	}
	return s, e, got
}

// An image that was collected is imported anew from its archive when it is asked for, before a registry is; a start brings it not back.
func TestCollect(t *testing.T) {
	s, e, got := brought(t)
	if s.Uses()[got.Digest].IsZero() {
		t.Error("it was not used")
	}
	if err := s.Collect(t.Context(), []string{got.Name}, got.Digest); err != nil {
		t.Fatal(err)
	}
	if list, err := e.ListImages(t.Context()); err != nil || strings.Contains(list[0].Name, "brought") {
		t.Errorf("%v, %v", list, err)
	}
	if again, err := s.Pull(t.Context(), "brought:1", nil); err != nil || again.Name != got.Name {
		t.Errorf("%v, %v", again, err)
	}
	if calls := e.Calls("Pull"); len(calls) > 0 {
		t.Errorf("a registry was asked: %q", calls)
	}
	// Of another one there is no archive.
	if err := s.Collect(t.Context(), []string{"docker.io/other/app:1"}, digestOf("3")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "other/app:1"); !errors.Is(err, engine.ErrNotFound) {
		t.Error(err)
	}
}

// Where it cannot be noted, as on a full disk, an image is collected nevertheless. A name that means another image by now stays.
func TestCollectWithoutNote(t *testing.T) {
	dir, root, e := t.TempDir(), t.TempDir(), testbox.NewEngine()
	outcomes := map[string]int{}
	s := NewStore(e, root, Settings{Outside: true}, func([]engine.Image) {}, func(string, error) {}, func(operation string, _ time.Time, err error) {
		outcomes[fmt.Sprint(operation, " ", err)]++
	})
	if err := os.WriteFile(filepath.Join(dir, "a.tar"), []byte("brought:1"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	scanned, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Watch(ctx, dir, func() { close(scanned) }) }()
	<-scanned
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), "brought:1")
	if err != nil {
		t.Fatal(err)
	}
	// No file can be put where a directory lies.
	list := filepath.Join(root, "archives.json")
	if err := errors.Join(os.Remove(list), os.MkdirAll(filepath.Join(list, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := s.Collect(t.Context(), []string{got.Name}, digestOf("9")); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "brought:1"); err != nil {
		t.Errorf("an image went that has come since: %v", err)
	}
	if err := s.Collect(t.Context(), []string{got.Name}, got.Digest); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "brought:1"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
	if outcomes["remove <nil>"] != 2 {
		t.Error(outcomes)
	}
}

// A pull does not wait for ever for an archive whose import takes long.
func TestBringLimit(t *testing.T) {
	s, e, got := brought(t)
	if err := s.Collect(t.Context(), []string{got.Name}, got.Digest); err != nil {
		t.Fatal(err)
	}
	s.bringLimit = 10 * time.Millisecond
	release := e.Hang("Import", false)
	defer release()
	if _, err := s.Pull(t.Context(), "brought:1", nil); err != nil || len(e.Calls("Pull")) != 1 {
		t.Errorf("%v; a registry was asked: %q", err, e.Calls("Pull"))
	}
}
