package source

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"aead.dev/minisign"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
)

// memory is a Versions that refuses or fails as it is told.
type memory struct {
	refuses, fails atomic.Bool
	asked          atomic.Int64
}

func (m *memory) Accept(objects []string, version uint64, content string) (string, error) {
	m.asked.Add(1)
	if len(objects) == 0 || len(content) != 43 {
		return "", fmt.Errorf("asked for %q, %d, %q", objects, version, content)
	}
	if m.fails.Load() && version == 13 {
		return "", errors.New("cannot note it")
	}
	if m.refuses.Load() && version == 1 {
		return "is older", nil
	}
	return "", nil
}

// What check says of a directory of signed files is what the daemon says of it.
func TestSignedDirectory(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir, keys := filepath.Join(top, "manifests"), filepath.Join(top, "keys")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	public, private, err := minisign.GenerateKey(rand.Reader)
	must(err)
	_, stranger, err := minisign.GenerateKey(rand.Reader)
	must(err)
	must(os.Mkdir(dir, 0o755))
	must(os.WriteFile(keys, []byte(public.String()+"\n"), 0o644))
	pod := func(name string, version int) string {
		return strings.Replace(strings.Replace(podText, "NAME", name, 1), "metadata: {", fmt.Sprintf("metadata: {annotations: {solopod.io/version: %q}, ", fmt.Sprint(version)), 1)
	}
	put := func(name, text string, signed string, by minisign.PrivateKey, suffix string) {
		t.Helper()
		must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		must(os.WriteFile(filepath.Join(dir, name+suffix), minisign.Sign(by, []byte(signed)), 0o644))
	}
	for i, suffix := range signatureSuffixes {
		name := fmt.Sprint("good", i)
		put(name+".yaml", pod(name, 7), pod(name, 7), private, suffix)
	}
	put("both.yaml", pod("both", 7), pod("both", 7), private, ".minisig") // one of two is enough
	must(os.WriteFile(filepath.Join(dir, "both.yaml.sig"), minisign.Sign(private, []byte("older")), 0o644))
	put("changed.yaml", pod("changed", 7)+"#", pod("changed", 7), private, ".sig")
	put("stranger.yaml", pod("stranger", 7), pod("stranger", 7), stranger, ".sig")
	put("versionless.yaml", strings.Replace(podText, "NAME", "versionless", 1), strings.Replace(podText, "NAME", "versionless", 1), private, ".sig")
	put("bad.yaml", "kind: Pod\n", "kind: Pod\n", private, ".sig")
	put("long.yaml", strings.Repeat("#", decode.MaxFileSize+1), "", private, ".sig")
	must(os.WriteFile(filepath.Join(dir, "unsigned.yaml"), []byte(pod("unsigned", 7)), 0o644))
	must(os.WriteFile(filepath.Join(dir, "fifo.yaml"), []byte(pod("fifo", 7)), 0o644))
	must(unix.Mkfifo(filepath.Join(dir, "fifo.yaml.sig"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "signature.yaml.sig.yaml.sig"), []byte("kind: Pod"), 0o644))

	by := Signing{KeyFile: keys, RequireVersion: true}
	checked, err := Check([]string{dir}, Checking{Signing: &by})
	must(err)
	want := verdicts(checked)
	for _, part := range []string{
		"changed.yaml: is not signed as it must be: changed.yaml.sig does not fit: the file was changed", "stranger.yaml: is not signed as it must be: stranger.yaml.sig is by a key that this box does not know",
		"add that key to " + keys, "versionless.yaml: has no version, and manifestVersions is required", "bad.yaml:1:1: ", "long.yaml: the file has more than",
		"unsigned.yaml: is not signed: there is no unsigned.yaml.sig and no unsigned.yaml.minisig; sign it with \"minisign -Sm unsigned.yaml\" or \"ssh-keygen -Y sign -n solopod -f KEY unsigned.yaml\"",
		"fifo.yaml.sig cannot be read: ",
	} {
		if !strings.Contains(strings.Join(want, "\n"), part) {
			t.Errorf("check does not say %q", part)
		}
	}
	if len(want) != 7 {
		t.Errorf("check says\n%s", strings.Join(want, "\n"))
	}
	named, err := Check([]string{filepath.Join(dir, "good0.yaml"), filepath.Join(dir, "unsigned.yaml")}, Checking{Signing: &by})
	if must(err); len(named) != 1 || !strings.Contains(named.Error(), "unsigned.yaml: is not signed") {
		t.Errorf("of files that are named check says %v", named)
	}

	remembers := &memory{}
	by.Versions = remembers
	snapshots := make(chan manifests.Snapshot, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	d := NewDirectory(dir, decode.Options{}, nil, func(s manifests.Snapshot) { snapshots <- s })
	d.RequireSignatures(by)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	until := func(what string, ok func(s manifests.Snapshot, said []string) bool) {
		t.Helper()
		for deadline := time.After(patience); ; {
			select {
			case s := <-snapshots:
				var all manifests.Problems
				for _, f := range s.Files {
					all = append(all, f.Problems...)
				}
				if ok(s, verdicts(all)) {
					return
				}
			case <-deadline:
				t.Fatalf("not within %s: %s", patience, what)
			}
		}
	}
	until("what check says", func(s manifests.Snapshot, said []string) bool {
		return len(s.Pods) == 3 && slices.Equal(said, want)
	})
	if n := remembers.asked.Load(); n < 3 {
		t.Errorf("the record was asked %d times for 3 good files", n)
	}
	// What the record refuses, and what it cannot note.
	remembers.refuses.Store(true)
	put("good0.yaml", pod("good0", 1), pod("good0", 1), private, ".sig")
	until("it is refused", func(s manifests.Snapshot, said []string) bool {
		return len(s.Pods) == 3 && slices.Contains(said, "good0.yaml: is older")
	})
	remembers.fails.Store(true)
	put("late.yaml", pod("late", 13), pod("late", 13), private, ".sig")
	until("it waits", func(s manifests.Snapshot, said []string) bool {
		return len(s.Pods) == 3 && slices.Contains(said, "late.yaml: cannot note it; it is tried again")
	})
	remembers.fails.Store(false)
	until("it is used", func(s manifests.Snapshot, _ []string) bool { return len(s.Pods) == 4 })
	// Without keys nothing new counts, and nothing goes.
	must(os.Remove(keys))
	until("the keys are missed", func(s manifests.Snapshot, said []string) bool {
		return len(s.Pods) == 4 && strings.Contains(s.DirectoryError, "the keys in "+keys+" cannot be used") &&
			slices.ContainsFunc(said, func(p string) bool { return strings.HasPrefix(p, "good1.yaml: cannot be verified: the keys in") })
	})
	if _, err := Check([]string{dir}, Checking{Signing: &by}); err == nil || !strings.Contains(err.Error(), "the keys in "+keys+" cannot be used") {
		t.Errorf("check without keys: %v", err)
	}
	must(os.WriteFile(keys, []byte(public.String()+"\n"), 0o644))
	until("the keys are back", func(s manifests.Snapshot, said []string) bool {
		return len(s.Pods) == 4 && s.DirectoryError == "" && !strings.Contains(strings.Join(said, "\n"), "good1")
	})
}
