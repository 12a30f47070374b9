package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// A bad file never touches what runs, and is seen everywhere.
func TestBadManifestKeepsTheLastGoodVersion(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	good := shell("keeps", forever, "")
	b.apply("keeps.yaml", good)
	before := b.waitReady("keeps")
	unchanged := func(when string) {
		t.Helper()
		if now := b.waitReady("keeps"); status(now, "main").ContainerID != status(before, "main").ContainerID {
			t.Errorf("%s the container was replaced", when)
		}
	}
	b.apply("keeps.yaml", strings.Replace(good, "image:", "imag:", 1))
	b.eventually("the file is invalid", func() error { return b.fileIs("keeps.yaml", "Invalid") })
	unchanged("with a bad file")
	if out := b.run("get", "manifests"); !strings.Contains(out, "keeps.yaml:11:5: spec.containers[0].imag: unknown field; did you mean") || !strings.Contains(out, "default/keeps") {
		t.Errorf("get manifests says\n%s", out)
	}
	if out := b.run("get", "events"); !strings.Contains(out, "ManifestInvalid") || !strings.Contains(out, "LastGoodVersionKept") {
		t.Errorf("get events says\n%s", out)
	}
	if !strings.Contains(b.daemonOutput(), "unknown field") {
		t.Error("the log does not name the error")
	}
	for series, want := range map[string]float64{`solopod_manifest_errors\{file="keeps.yaml"\}`: 1, `solopod_manifests\{state="Invalid"\}`: 1} {
		if err := b.metricIs("/metrics", series, want); err != nil {
			t.Error(err)
		}
	}
	// Also over a crash, and with a file that is empty.
	b.crash()
	b.start()
	unchanged("after a crash")
	b.apply("keeps.yaml", "")
	b.eventually("the empty file is reported", func() error { return b.problemIs("keeps.yaml", "the file holds no object") })
	unchanged("with an empty file")
	b.apply("keeps.yaml", good)
	b.eventually("the file is active", func() error { return b.fileIs("keeps.yaml", "Active") })
	unchanged("with the good file back")
}

// Of two files that name the same pod the first by name wins.
func TestTwoFilesOnePod(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("b.yaml", shell("twin", forever, ""))
	before := b.waitReady("twin")
	b.apply("c.yaml", shell("twin", "sleep 1", ""))
	b.eventually("the second file is in conflict", func() error { return b.fileIs("c.yaml", "Conflict") })
	if err := b.problemIs("c.yaml", "already defined by b.yaml"); err != nil {
		t.Error(err)
	}
	if now := b.waitReady("twin"); status(now, "main").ContainerID != status(before, "main").ContainerID {
		t.Error("the container was replaced")
	}
	b.delete("b.yaml")
	b.eventually("the second file takes over", func() error { return b.fileIs("c.yaml", "Active") })
	b.waitPod("twin", "the other one", func(p *v1.Pod) bool {
		return p.Spec.Containers[0].Args[0] == "sleep 1\n" && status(p, "main").RestartCount > 0
	})
}

// What counts as a manifest, and what is done about links, lists and slow writers.
func TestFiles(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	for _, name := range []string{".hidden.yaml", "backup.yaml~", "#lock.yaml", "notes.txt", "x.yaml.swp"} {
		b.writeFile("manifests/"+name, shell("ignored", forever, ""))
	}
	if err := os.Mkdir(b.path("manifests/sub.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.apply("two.yml", shell("doc-one", forever, "")+"---\n"+shell("doc-two", forever, ""))
	list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{asJSON(t, shell("in-list", forever, ""))}})
	if err != nil {
		t.Fatal(err)
	}
	b.apply("list.json", string(list))
	for _, name := range []string{"doc-one", "doc-two", "in-list"} {
		b.waitReady(name)
	}

	// The swap of a directory behind a link, as ConfigMap mounts do it.
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(b.path(version), 0o755); err != nil {
			t.Fatal(err)
		}
		b.writeFile(version+"/linked.yaml", shell("linked-"+version, forever, ""))
	}
	b.link("../v1", "manifests/..data")
	b.link("..data/linked.yaml", "manifests/linked.yaml")
	b.waitReady("linked-v1")
	b.link("../v2", "manifests/..tmp")
	if err := os.Rename(b.path("manifests/..tmp"), b.path("manifests/..data")); err != nil {
		t.Fatal(err)
	}
	b.waitReady("linked-v2")
	b.waitGone("linked-v1")

	// A file that is being written is neither read half-way nor taken for a deletion.
	text := shell("doc-one", forever, "") + "---\n" + shell("doc-two", forever, "")
	before := b.waitReady("doc-two")
	f, err := os.OpenFile(b.path("manifests/two.yml"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	half := strings.Index(text, "---")
	for _, part := range []string{text[:half], text[half:]} {
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
		// Another file makes Solopod look at the directory meanwhile.
		b.apply("other.yaml", shell("other-"+fmt.Sprint(len(part)), forever, ""))
		b.waitReady("other-" + fmt.Sprint(len(part)))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if now := b.waitReady("doc-two"); status(now, "main").ContainerID != status(before, "main").ContainerID {
		t.Error("a slow write replaced the container")
	}
	if p := b.pod(v1.NamespaceDefault, "ignored"); p != nil {
		t.Error("a file that is no manifest was used")
	}
}

// The directory may be missing, go and come back, and is refused when others can write to it.
func TestManifestsDirectory(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	if err := os.Remove(b.path("manifests")); err != nil {
		t.Fatal(err)
	}
	b.link(imageArchive, "images/box.tar")
	b.start()
	if err := b.directoryError("does not exist"); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(b.path("manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.apply("one.yaml", shell("one", forever, ""))
	before := b.waitReady("one")
	if err := os.Rename(b.path("manifests"), b.path("moved")); err != nil {
		t.Fatal(err)
	}
	b.eventually("the loss is reported", func() error { return b.directoryError("does not exist") })
	if err := os.Rename(b.path("moved"), b.path("manifests")); err != nil {
		t.Fatal(err)
	}
	b.eventually("the return is noticed", func() error { return b.directoryError("") })
	if now := b.waitReady("one"); status(now, "main").ContainerID != status(before, "main").ContainerID {
		t.Error("the container was replaced")
	}
	if err := os.Chmod(b.path("manifests"), 0o777); err != nil {
		t.Fatal(err)
	}
	b.eventually("the directory is refused", func() error { return b.directoryError("chmod o-w") })
	b.apply("two.yaml", shell("two", forever, ""))
	if out, err := b.try("check", b.path("manifests")); err == nil || !strings.Contains(out, "chmod o-w") {
		t.Errorf("check says %q", out)
	}
	if err := os.Chmod(b.path("manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.waitReady("two")
}

// More files at once than inotify's queue holds.
func TestQueueOverflow(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("last.yaml", shell("last", forever, ""))
	b.waitReady("last")
	for i := range 20_000 {
		name := b.path(fmt.Sprintf("manifests/noise%d.txt", i))
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	b.apply("after.yaml", shell("after", forever, ""))
	b.delete("last.yaml")
	b.waitReady("after")
	b.waitGone("last")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.writeFile("manifests/good.yaml", shell("good", forever, ""))
	if out := b.run("check", b.path("manifests"), "testdata/kubeadm-etcd.yaml"); out != "" {
		t.Errorf("check says %q", out)
	}
	b.writeFile("manifests/worse.yaml", strings.Replace(shell("good", forever, ""), "image:", "Image:", 1))
	out, err := b.try("check", b.path("manifests"))
	if err == nil || !strings.Contains(out, b.path("manifests/worse.yaml")+`:11:5: spec.containers[0].Image: unknown field; did you mean "image"?`) {
		t.Errorf("check says %q, %v", out, err)
	}
	out, err = b.try("check", "-o", "json", b.path("manifests"))
	var problems []struct {
		File, Path, Message string
		Line, Column        int
	}
	if jerr := json.Unmarshal([]byte(out), &problems); err == nil || jerr != nil || len(problems) != 1 || problems[0].Line != 11 {
		t.Errorf("check -o json says %q: %v", out, jerr)
	}
	b.writeFile("manifests/worse.yaml", shell("good", forever, ""))
	if out, err := b.try("check", b.path("manifests")); err == nil || !strings.Contains(out, "already defined by") {
		t.Errorf("check says %q", out)
	}
}

type manifestsAnswer struct {
	DirectoryError string
	Files          []struct {
		Name, State string
		Since       time.Time
		Problems    []struct{ Message string }
	}
}

func (b *box) manifests() manifestsAnswer {
	b.t.Helper()
	var m manifestsAnswer
	if err := json.Unmarshal([]byte(b.mustGet("/manifests")), &m); err != nil {
		b.t.Fatal(err)
	}
	return m
}

func (b *box) fileIs(name, state string) error {
	b.t.Helper()
	for _, f := range b.manifests().Files {
		if f.Name == name {
			if f.State != state {
				return fmt.Errorf("%s is %s", name, f.State)
			}
			return nil
		}
	}
	return fmt.Errorf("%s is not listed", name)
}

func (b *box) problemIs(name, part string) error {
	b.t.Helper()
	for _, f := range b.manifests().Files {
		for _, p := range f.Problems {
			if f.Name == name && strings.Contains(p.Message, part) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s has no problem %q", name, part)
}

func (b *box) directoryError(part string) error {
	b.t.Helper()
	got := b.manifests().DirectoryError
	if part == "" && got != "" || !strings.Contains(got, part) {
		return fmt.Errorf("the directory's error is %q", got)
	}
	return nil
}

// asJSON turns a manifest's YAML into plain values.
func asJSON(t *testing.T, manifest string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(manifest), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
