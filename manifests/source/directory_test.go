package source

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// What files have said of Services in an earlier run stays while they are bad, goes when they are gone, and is no change at the start.
func TestRecalledServices(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), []byte("apiVersion: v1\nkind: Servic"), 0o644); err != nil {
		t.Fatal(err)
	}
	service := func(name string) *v1.Service {
		return &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	}
	snapshots, changes := make(chan manifests.Snapshot, 100), make(chan manifests.Change, 100)
	d := NewDirectory(dir, decode.Options{}, nil, func(s manifests.Snapshot) { snapshots <- s })
	d.Recall(map[string]manifests.Contents{"bad.yaml": {Services: []*v1.Service{service("bad")}}, "gone.yaml": {Services: []*v1.Service{service("gone")}}})
	d.Tell(func(c manifests.Change) { changes <- c })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for deadline := time.After(patience); ; {
		select {
		case s := <-snapshots:
			if s.Services["default/bad"] == nil {
				t.Fatalf("a bad file takes its service down: %v", s.Services)
			}
			if s.Services["default/gone"] != nil {
				continue
			}
		case <-deadline:
			t.Fatal("the service of a file that is gone is still there")
		}
		break
	}
	told := map[string]manifests.Change{}
	for len(told) < 2 {
		select {
		case c := <-changes:
			told[c.File] = c
		case <-time.After(patience):
			t.Fatalf("told was %+v", told)
		}
	}
	if c := told["gone.yaml"]; !c.Gone || !slices.Equal(c.Removed, []string{"service/default/gone"}) {
		t.Errorf("%+v", c)
	}
	if c := told["bad.yaml"]; c.Refused == "" || len(c.Added)+len(c.Edited)+len(c.Removed) > 0 {
		t.Errorf("%+v", c)
	}
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
	problems, err := Check([]string{dir}, Checking{})
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
	checked, err := Check([]string{dir}, Checking{})
	if err != nil {
		t.Fatal(err)
	}
	want := within(dir, verdicts(checked))
	if count := len(checked.Errors()); count < 6 {
		t.Errorf("check finds %d errors: %v", count, checked)
	}

	daemonSays(t, dir, decode.Options{}, want)
}

// daemonSays waits until a daemon says that of a directory.
func daemonSays(t *testing.T, dir string, opts decode.Options, want []string) {
	t.Helper()
	last, deadline := []string(nil), time.After(patience)
	snapshots := make(chan manifests.Snapshot, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- NewDirectory(dir, opts, nil, func(s manifests.Snapshot) { snapshots <- s }).Run(ctx)
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
			last = within(dir, verdicts(all))
		case <-deadline:
			t.Fatalf("check says\n%s\nthe daemon says\n%s", strings.Join(want, "\n"), strings.Join(last, "\n"))
		}
	}
}

// within are verdicts in which other files of the directory are named as the daemon names them.
func within(dir string, verdicts []string) []string {
	for i, v := range verdicts {
		verdicts[i] = strings.ReplaceAll(v, dir+"/", "")
	}
	slices.Sort(verdicts)
	return verdicts
}

// The same holds of what the world has in its files, together and one by one, strictly or not.
func TestCheckOfTheWorldIsTheDaemon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	section := regexp.MustCompile(`(?m)^-- (\S+) --\n`)
	files, err := filepath.Glob("../decode/testdata/wild/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for at := section.FindStringSubmatchIndex(text); at != nil; at = section.FindStringSubmatchIndex(text) {
			name := text[at[2]:at[3]]
			text = text[at[1]:]
			end := len(text)
			if next := section.FindStringIndex(text); next != nil {
				end = next[0]
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text[:end]), 0o600); err != nil {
				t.Fatal(err)
			}
			names = append(names, filepath.Join(dir, name))
		}
	}
	if len(names) < 100 {
		t.Fatalf("only %d manifests", len(names))
	}
	for _, opts := range []decode.Options{{}, {WarnUnknownFields: true, RefuseClusterKinds: true}} {
		together, err := Check([]string{dir}, Checking{Decode: opts})
		if err != nil {
			t.Fatal(err)
		}
		named, err := Check(names, Checking{Decode: opts, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		want := within(dir, verdicts(together))
		if got := within(dir, verdicts(named)); !slices.Equal(got, want) {
			t.Errorf("one by one check says\n%s\ntogether\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		daemonSays(t, dir, opts, want)
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

// A file that is named alone is still to be copied: who can read its Secrets is judged, as its mode goes with it, who can write it is not.
// In the daemon's directory it is judged like there, and in a checkout its mode is only worth a warning.
func TestCheckNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "s.yaml")
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: v}\n"
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		mode             os.FileMode
		by               Checking
		errors, warnings int
		says             string
	}{
		"private":                {0o600, Checking{}, 0, 0, ""},
		"to be copied":           {0o666, Checking{}, 1, 0, "holds a Secret and can be read by everyone (mode 0666): chmod 0600 " + path},
		"in the directory":       {0o666, Checking{Dir: dir + "/."}, 1, 0, "can be written by everyone"},
		"in a checkout":          {0o666, Checking{Dir: dir, WarnPermissions: true}, 0, 2, "can be written by everyone"},
		"in another's directory": {0o640, Checking{Dir: "/none"}, 0, 0, ""}, // of root's group
	} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() != 0 && c.mode == 0o640 {
			continue
		}
		problems, err := Check([]string{path}, c.by)
		if err != nil || len(problems.Errors()) != c.errors || len(problems.Warnings()) != c.warnings || !strings.Contains(problems.Error(), c.says) {
			t.Errorf("%s: %v %v", name, problems, err)
		}
	}
	// What comes from a pipe says nothing of the file behind it.
	problems, err := Check([]string{Stdin}, Checking{Input: strings.NewReader(secret + "foo: 1\n")})
	if err != nil || len(problems) != 1 || problems[0].File != "stdin" || problems[0].Path != "foo" {
		t.Errorf("%v %v", problems, err)
	}
	// A directory in which nothing is looked at is not silently good.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if problems, err := Check([]string{dir}, Checking{}); err != nil || len(problems.Warnings()) != 1 || !strings.Contains(problems.Error(), "holds no manifest") {
		t.Errorf("%v %v", problems, err)
	}
}
