package runner

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/internal/testbox"
)

// A record that cannot be what was written is set aside and told, and its pod starts from its manifest.
func TestDamagedRecord(t *testing.T) {
	const uid = "uid-of-web"
	for name, damage := range map[string]func(path string) error{
		"directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "in"), 0o755) },
		"zeros":     func(path string) error { return os.WriteFile(path, make([]byte, 4096), 0o600) },
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"cut off": func(path string) error {
			return os.WriteFile(path, []byte(`{"version":1,"file":"web.yaml","pod":{"metad`), 0o600)
		},
		"later": func(path string) error {
			return os.WriteFile(path, []byte(`{"version":1000,"pod":{"metadata":{"uid":"uid-of-web"}}}`), 0o600)
		},
		"lacks a default": func(path string) error {
			return os.WriteFile(path, []byte(`{"version":1,"file":"web.yaml","pod":{"metadata":{"name":"web","namespace":"default","uid":"uid-of-web"},`+
				`"spec":{"volumes":[{"name":"v","configMap":{"name":"c"}}],"containers":[{"name":"c","image":"app"}]}}}`), 0o600)
		},
		"another's": func(path string) error {
			return os.WriteFile(path, []byte(`{"pod":{"metadata":{"uid":"other"}}}`), 0o600)
		},
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"link":      func(path string) error { return os.Symlink("/dev/zero", path) },
		"too large": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 64<<20)) },
		"no directory of the pod": func(path string) error {
			return errors.Join(os.Remove(filepath.Dir(path)), os.WriteFile(filepath.Dir(path), nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			path := filepath.Join(b.config.Root, "pods", uid, "pod.json")
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), damage(path)); err != nil {
				t.Fatal(err)
			}
			if known := b.start(); len(known) > 0 {
				t.Errorf("it knows %v", known)
			}
			b.event("StateDamaged", "the pod starts from its manifest")
			b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
			b.runs("web")
			testbox.Eventually(t, "the record is written anew", func() bool {
				info, err := os.Lstat(path)
				return err == nil && info.Mode().IsRegular()
			})
			b.stop()
			if known := b.start(); len(known) != 1 {
				t.Errorf("the next start knows %v", known)
			}
			b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
			b.runs("web")
			b.clear()
		})
	}
}

// The record of a Solopod that had neither versions nor leftovers is taken up, with what runs.
func TestFormerRecord(t *testing.T) {
	b := newBox(t)
	b.start()
	pod := testbox.Pod(t, "web", oneContainer)
	b.r.Apply(snapshot(pod))
	id := b.runs("web")[0]
	b.stop()
	path := b.r.dirs.RecordPath("uid-of-web")
	var now map[string]any
	if err := json.Unmarshal([]byte(read(t, path)), &now); err != nil {
		t.Fatal(err)
	}
	former := strings.NewReplacer(
		"$POD", string(must(json.Marshal(now["pod"]))), "$SHARED", now["sharedRevision"].(string), "$BOOT", now["bootID"].(string),
		"$OFFSET", string(must(json.Marshal(now["clockOffset"]))), "$NETWORK", string(must(json.Marshal(now["network"]))), "$ID", id,
		"$REVISION", now["containers"].(map[string]any)["c"].(map[string]any)["revision"].(string),
		"$RESOURCES", now["containers"].(map[string]any)["c"].(map[string]any)["resources"].(string),
	).Replace(read(t, "testdata/former-record.json"))
	write(t, path, former)
	if known := b.start(); len(known) != 1 || known[0] != "default/web of former.yaml" {
		t.Errorf("it knows %v", known)
	}
	b.r.Apply(snapshot(pod))
	if ids := b.runs("web"); ids[0] != id || b.restarts("web") != 4 {
		t.Errorf("it runs as %v, after %d restarts", ids, b.restarts("web"))
	}
	last := b.find("web").Status.ContainerStatuses[0].LastTerminationState.Terminated
	if last == nil || last.ExitCode != 3 || last.Message != "it broke" {
		t.Errorf("its last end is %+v", last)
	}
	if got := b.r.Targets()[0].OOMKills; got != 7 {
		t.Errorf("%d kills are known", got)
	}
	if got := b.engine.Calls("Create"); len(got) != 1 {
		t.Errorf("containerd was asked for %v", got)
	}
	b.clear()
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

// What a power cut may have damaged is looked for once in each boot, before anything runs.
func TestRepair(t *testing.T) {
	boot, err := host.BootID()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		before func(b *box, path string) error
		// asked: containerd is asked to repair; noted: the next start does not ask again.
		asked, noted bool
		event        string
	}{
		"first start":    {asked: true, noted: true, event: "ImageRemoved"},
		"same boot":      {before: func(_ *box, path string) error { return os.WriteFile(path, []byte(boot), 0o600) }, noted: true},
		"another boot":   {before: func(_ *box, path string) error { return os.WriteFile(path, []byte("other"), 0o600) }, asked: true, noted: true, event: "ImageRemoved"},
		"is a directory": {before: func(_ *box, path string) error { return os.Mkdir(path, 0o755) }, asked: true, noted: true, event: "StateDamaged"},
		"something runs": {before: func(b *box, _ string) error {
			b.engine.Put(engine.Container{ID: "x", State: engine.Running})
			return nil
		}, noted: true},
		"may run": {before: func(b *box, _ string) error {
			b.engine.Put(engine.Container{ID: "x", State: engine.Unanswered})
			return nil
		}, noted: true},
		"nobody can say":  {before: func(b *box, _ string) error { b.engine.Fail("List", errors.New("no answer")); return nil }},
		"repair fails":    {before: func(b *box, _ string) error { b.engine.Fail("Repair", errors.New("no answer")); return nil }, asked: true},
		"cannot be noted": {before: func(b *box, _ string) error { return unix.Mount("ro", b.config.Root, "tmpfs", unix.MS_RDONLY, "") }, asked: true, event: "CannotKeep"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.engine.Repaired = []string{app}
			b.config.SetAside = "the database was set aside"
			path := filepath.Join(b.config.Root, "boot-id")
			if c.before != nil {
				if err := c.before(b, path); err != nil {
					t.Fatal(err)
				}
			}
			b.start()
			b.event("StateDamaged", "the database was set aside")
			if c.event != "" {
				b.event(c.event, "")
			}
			if asked := len(b.engine.Calls("Repair")) == 1; asked != c.asked {
				t.Errorf("containerd was asked: %t", asked)
			}
			data, err := os.ReadFile(path)
			if noted := err == nil && string(data) == boot; noted != c.noted {
				t.Errorf("it is noted: %t (%q, %v)", noted, data, err)
			}
		})
	}
}

// What is in the place of a directory of ours bars no start.
func TestDirectoriesDamaged(t *testing.T) {
	b := newBox(t)
	for _, path := range []string{"root/pods", "state/pods", "log/pods", "log/containers"} {
		write(t, filepath.Join(b.dir, path), "no directory")
	}
	b.start()
	for _, path := range []string{"root/pods", "state/pods", "log/pods", "log/containers"} {
		b.event("StateDamaged", filepath.Join(b.dir, path)+", a ")
		if got := read(t, filepath.Join(b.dir, path+".damaged")); got != "no directory" {
			t.Errorf("%s is set aside as %q", path, got)
		}
	}
	b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
	b.runs("web")
	b.clear()
}

// With a root directory that cannot be used pods run, and it is said what is lost.
func TestRootCannotBeUsed(t *testing.T) {
	b := newBox(t)
	if err := errors.Join(os.RemoveAll(b.config.Root), os.MkdirAll(b.config.Root, 0o755), unix.Mount("ro", b.config.Root, "tmpfs", unix.MS_RDONLY, "")); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.event("CannotKeep", filepath.Join(b.config.Root, "pods")+" cannot be used")
	b.event("CannotKeep", b.config.Root+" cannot be used")
	b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
	b.runs("web")
	b.r.Apply(snapshot())
	b.gone("web")
}

// Records are written, outlive a power cut, and go; whatever stands in their place is an error.
func TestRecords(t *testing.T) {
	b := newBox(t)
	b.start()
	r := records{b.r.dirs}
	if err := errors.Join(r.Write("uid", []byte("one")), r.Sync("uid"), r.Write("uid", []byte("two"))); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b.r.dirs.RecordPath("uid")); got != "two" {
		t.Errorf("the record is %q", got)
	}
	if err := errors.Join(r.Remove("uid"), r.Remove("uid")); err != nil {
		t.Error(err)
	}
	if r.Sync("uid") == nil {
		t.Error("a record that does not exist is durable")
	}
	write(t, b.r.dirs.RecordDir("other"), "no directory")
	if r.Write("other", nil) == nil {
		t.Error("a record was written into a file")
	}
}

// Pipes and a bridge of an earlier run are let go of when all that it left was taken up, and not before.
func TestTakenUp(t *testing.T) {
	b := newBox(t)
	b.start()
	b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
	b.runs("web")
	b.stop()
	release := b.engine.Hang("List", false)
	boot := len(b.engine.Calls("List"))
	b.start()
	testbox.Eventually(t, "containerd is asked", func() bool { return len(b.engine.Calls("List")) > boot })
	if (takeover{b.r}).takenUp() {
		t.Error("what nobody has looked at counts as taken up")
	}
	b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
	release()
	testbox.Eventually(t, "all is taken up", (takeover{b.r}).takenUp)
	if !slices.Equal(b.r.names(), []string{"web"}) {
		t.Errorf("the pods are %v", b.r.names())
	}
	b.clear()
}

func (r *Runner) names() (out []string) {
	for _, p := range r.Pods() {
		out = append(out, p.Name)
	}
	return out
}

// A log directory that does not answer does not bar the start: what runs is taken up.
func TestStuckLogDirectory(t *testing.T) {
	b := newBox(t)
	b.start()
	b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
	id := b.runs("web")[0]
	b.stop()
	logs := b.config.LogDir
	b.config.LogDir = t.TempDir()
	answer := stuck.FileSystem(t, b.config.LogDir)
	begun := time.Now()
	if known := b.start(); len(known) != 1 {
		t.Errorf("it knows %v", known)
	}
	if took := time.Since(begun); took > 2*answerLimit {
		t.Errorf("the start took %s", took)
	}
	b.event("CannotKeep", b.config.LogDir)
	if ids := b.runs("web"); ids[0] != id {
		t.Errorf("it runs as %v", ids)
	}
	b.stop()
	answer()
	b.config.LogDir = logs
	b.start()
	b.clear()
}

// A pod's record that does not answer, or the directory of all, does not bar the start: it is told, the other pods are taken up, and the
// pod starts from its manifest.
func TestStuckRecords(t *testing.T) {
	for name, c := range map[string]struct {
		stuck func(b *box) string
		known []string
	}{
		"one": {func(b *box) string { return b.r.dirs.RecordDir("uid-of-web") }, []string{"default/other of other.yaml"}},
		"all": {func(b *box) string { return b.r.dirs.Records() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.start()
			s := snapshot(testbox.Pod(t, "web", oneContainer), testbox.Pod(t, "other", oneContainer))
			b.r.Apply(s)
			other := b.runs("other")[0]
			b.runs("web")
			b.stop()
			dir := c.stuck(b)
			answer := stuck.FileSystem(t, dir)
			begun := time.Now()
			if known := b.start(); !slices.Equal(known, c.known) {
				t.Errorf("it knows %v", known)
			}
			if took := time.Since(begun); took > 3*answerLimit+recordLimit {
				t.Errorf("the start took %s", took)
			}
			b.event("CannotKeep", dir+" cannot be used: it has not answered for")
			b.r.Apply(s)
			if name == "one" {
				if ids := b.runs("other"); ids[0] != other {
					t.Errorf("it runs as %v", ids)
				}
			}
			b.stop()
			answer()
			b.start()
			b.r.Apply(s)
			b.runs("web")
			b.runs("other")
			b.clear()
		})
	}
}
