package source

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
)

const podText = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec:\n  containers: [{name: c, image: i}]\n"

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// The manifests directory: what it makes of good, bad, forbidden and missing files.
func TestDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		temporary := filepath.Join(dir, ".new")
		if err := os.WriteFile(temporary, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(temporary, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	named := func(name string) string { return strings.Replace(podText, "NAME", name, 1) }
	write("a.yaml", named("a"), 0o644)
	contents, problems := decode.Decode("old.yaml", []byte(named("old")), decode.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	snapshots := make(chan manifests.Snapshot, 100)
	d := NewDirectory(dir, decode.Options{}, []manifests.Desired{{Pod: contents.Pods[0], File: "old.yaml"}}, func(s manifests.Snapshot) { snapshots <- s })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	// until waits for these pods, and for a problem or an error of the directory.
	until := func(pods, said string) {
		t.Helper()
		deadline := time.After(patience)
		for last := ""; ; {
			select {
			case s := <-snapshots:
				names := map[string]bool{}
				for _, p := range s.Pods {
					names[p.Pod.Name] = true
				}
				text := s.DirectoryError
				for _, f := range s.Files {
					text += f.Problems.Error()
				}
				last = text
				same := len(names) == len(strings.Fields(pods))
				for _, name := range strings.Fields(pods) {
					same = same && names[name]
				}
				if same && strings.Contains(text, said) && (said != "" || text == "") {
					return
				}
			case <-deadline:
				t.Fatalf("not within %s: pods %s, %q; last %q", patience, pods, said, last)
			}
		}
	}
	until("a old", "") // a file that is gone at the start is missing once
	until("a", "")
	write("b.yaml", named("b"), 0o644)
	until("a b", "")
	write("b.yaml", strings.Replace(named("b"), "image", "imag", 1), 0o644)
	until("a b", "b.yaml:5:26: spec.containers[0].imag: unknown field")
	write("b.yaml", named("b"), 0o666)
	until("a b", "chmod o-w")
	write("b.yaml", named("c"), 0o644)
	until("a c", "")
	write("s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: v}\n", 0o644)
	until("a c", "s.yaml holds a Secret and can be read by everyone")
	if err := os.Remove(filepath.Join(dir, "s.yaml")); err != nil {
		t.Fatal(err)
	}
	until("a c", "")
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	until("a c", "cannot be used: "+dir+" can be written by everyone")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	until("a c", "")
}

// check says the same of a directory, and never waits for what is no file.
func TestCheckDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/tty", filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	problems, err := Check([]string{dir}, decode.Options{})
	if err != nil || !strings.Contains(problems.Error(), "a.yaml:1:1: expected an object") || !strings.Contains(problems.Error(), "b.yaml: cannot be read: it is not a regular file but a device") {
		t.Errorf("%v %v", problems, err)
	}
}

// What check says of a directory is what the daemon says of it, also of files that others can shape or read.
func TestCheckIsTheDaemon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME}\nstringData: {k: v}\n"
	for name, f := range map[string]struct {
		text string
		mode os.FileMode
		gid  int
	}{
		"good.yaml":        {podText, 0o644, -1},
		"bad.yaml":         {strings.Replace(podText, "image", "imag", 1), 0o644, -1},
		"everyone.yaml":    {podText, 0o666, -1},
		"group.yaml":       {podText, 0o664, 4711},
		"both.yaml":        {secret, 0o666, -1},
		"secret.yaml":      {secret, 0o600, -1},
		"told-secret.yaml": {secret, 0o644, -1},
		"behind.txt":       {podText, 0o666, -1},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Replace(f.text, "NAME", strings.TrimSuffix(name, ".yaml"), 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if f.gid >= 0 && os.Geteuid() == 0 { // else nobody may give it away
			if err := os.Chown(path, -1, f.gid); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(path, f.mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link.yaml": "behind.txt", "device.yaml": "/dev/tty"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	checked, err := Check([]string{dir}, decode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := verdicts(checked)
	if count := len(checked.Errors()); count < 6 {
		t.Errorf("check finds %d errors: %v", count, checked)
	}

	last, deadline := []string(nil), time.After(patience)
	snapshots := make(chan manifests.Snapshot, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- NewDirectory(dir, decode.Options{}, nil, func(s manifests.Snapshot) { snapshots <- s }).Run(ctx)
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for !slices.Equal(last, want) {
		select {
		case s := <-snapshots:
			var all manifests.Problems
			for _, f := range s.Files {
				all = append(all, f.Problems...)
			}
			last = verdicts(all)
		case <-deadline:
			t.Fatalf("check says\n%s\nthe daemon says\n%s", strings.Join(want, "\n"), strings.Join(last, "\n"))
		}
	}
}

// verdicts are problems as the daemon names their files, in order.
func verdicts(problems manifests.Problems) []string {
	var out []string
	for _, p := range problems {
		p.File = filepath.Base(p.File)
		out = append(out, p.Error())
	}
	slices.Sort(out)
	return out
}

// Of a file that is named alone check only warns that others can read its Secrets; who can write it is not asked.
func TestCheckNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(path, []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: v}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if problems, err := Check([]string{path}, decode.Options{}); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	problems, err := Check([]string{path}, decode.Options{})
	said := problems.Error()
	if err != nil || len(problems) != 1 || len(problems.Errors()) > 0 || !strings.Contains(said, "chmod 0600 "+path) {
		t.Errorf("%v %v", problems, err)
	}
}
