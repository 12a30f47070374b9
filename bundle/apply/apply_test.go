package apply

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/ssh"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/bundle"
	"github.com/solopod/solopod/bundle/sign"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/signature"
	"github.com/solopod/solopod/runner/rescue"
)

const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec:\n  containers: [{name: main, image: \"example.com/web:1\"}]\n"

// trial is a box that imports nothing, and an author of bundles that it knows.
type trial struct {
	*Box
	t       *testing.T
	archive string
	author  ssh.Signer
	// imported are the names of images, import by import; fails is what an import ends with.
	imported [][]string
	fails    error
}

func newTrial(t *testing.T) *trial {
	t.Helper()
	author, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "web.tar")
	image, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("example.com/web:1")
	if err == nil {
		err = tarball.WriteToFile(archive, tag, image)
	}
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{t: t, archive: archive, author: author}
	tr.Box = &Box{Dir: filepath.Join(t.TempDir(), "bundles"), Manifests: t.TempDir(), Import: tr.take, Files: func() []manifests.File { return nil },
		Keys: func() (signature.Keys, error) {
			return signature.ParseKeys(ssh.MarshalAuthorizedKey(author.PublicKey()))
		}}
	tr.restart()
	return tr
}

func (tr *trial) restart() {
	tr.t.Helper()
	if told, err := tr.Begin(); err != nil || told != "" {
		tr.t.Fatal(told, err)
	}
}

// take is an import.
func (tr *trial) take(_ context.Context, archive io.Reader) error {
	var names []string
	for in := tar.NewReader(archive); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if h.Name == "index.json" {
			var index ocispec.Index
			if err := json.NewDecoder(in).Decode(&index); err != nil {
				return err
			}
			for _, m := range index.Manifests {
				names = append(names, m.Annotations["io.containerd.image.name"])
			}
			if tr.fails != nil {
				return tr.fails
			}
		}
	}
	tr.imported = append(tr.imported, names)
	return nil
}

// bundle makes a bundle of pods, and signs it.
func (tr *trial) bundle(version string, by ssh.Signer, pods ...string) []byte {
	tr.t.Helper()
	var texts []bundle.Text
	for _, p := range pods {
		texts = append(texts, bundle.Text{File: p + ".yaml", Data: []byte(strings.Replace(pod, "NAME", p, 1))})
	}
	at := filepath.Join(tr.t.TempDir(), "x.tar.zst")
	snapshot, _ := bundle.Judge(texts, decode.Options{})
	_, err := bundle.Create(tr.t.Context(), bundle.Order{Name: "web", Version: version, Texts: texts, Snapshot: snapshot, Archives: []string{tr.archive}}, at)
	if err != nil {
		tr.t.Fatal(err)
	}
	if by != nil {
		b, err := bundle.Open(tr.t.Context(), at)
		if err != nil {
			tr.t.Fatal(err)
		}
		text, err := sign.Sign(by, b.Signed, signature.BundleNamespace)
		if err == nil {
			err = b.AddSignature(tr.t.Context(), text, at)
		}
		if err != nil {
			tr.t.Fatal(err)
		}
	}
	data, err := os.ReadFile(at)
	if err != nil {
		tr.t.Fatal(err)
	}
	return data
}

// expect applies a bundle; says is what is said against it, empty for nothing.
func (tr *trial) expect(data []byte, force bool, says string) {
	tr.t.Helper()
	before, _ := os.ReadFile(tr.File("web"))
	_, err := tr.Apply(tr.t.Context(), bytes.NewReader(data), force)
	if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
		tr.t.Errorf("says %v", err)
	}
	after, _ := os.ReadFile(tr.File("web"))
	if err != nil && !bytes.Equal(before, after) {
		tr.t.Errorf("the manifests have become\n%s", after)
	}
	if entries, err := os.ReadDir(tr.Dir); err != nil || len(entries) > 1 {
		tr.t.Errorf("%v is left, %v", entries, err)
	}
}

// has says which pods the manifests have, and the bundle's state.
func (tr *trial) has(state string, pods ...string) {
	tr.t.Helper()
	text, err := os.ReadFile(tr.File("web"))
	if err != nil {
		tr.t.Fatal(err)
	}
	contents, problems := decode.Decode("x.yaml", text, decode.Options{})
	var names []string
	for _, p := range contents.Pods {
		names = append(names, p.Name)
	}
	if strings.Join(names, " ") != strings.Join(pods, " ") || len(problems.Errors()) > 0 {
		tr.t.Errorf("pods %s, %v in\n%s", names, problems, text)
	}
	if list := tr.List(); len(list) != 1 || list[0].State != state || !strings.HasPrefix(list[0].Signer, "ssh key") {
		tr.t.Errorf("%+v", list)
	}
}

// All manifests change at once: what a version no longer has is gone from the file that has them.
func TestApply(t *testing.T) {
	tr := newTrial(t)
	tr.expect(tr.bundle("1.9", tr.author, "a", "b"), false, "")
	tr.has("Applied", "a", "b")
	tr.expect(tr.bundle("1.10", tr.author, "b", "c"), false, "")
	tr.has("Applied", "b", "c")
	if len(tr.imported) != 2 || strings.Join(tr.imported[1], " ") != "example.com/web:1" {
		t.Errorf("%v", tr.imported)
	}
}

func TestApplyRefuses(t *testing.T) {
	tr := newTrial(t)
	stranger, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	good := tr.bundle("1", tr.author, "a")
	tr.expect(tr.bundle("1", nil, "a"), true, "it is not signed")
	tr.expect(tr.bundle("1", stranger, "a"), true, "this box does not know")
	tr.expect(good[:len(good)/2], true, "is it a complete tar file")
	tr.expect([]byte("no bundle"), true, "is it a complete tar file")
	tr.fails = errors.New("no room")
	tr.expect(good, true, "cannot import its images: no room")
	if list := tr.List(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// Older ones are refused, also by a later run and where the file is gone, and taken by force.
func TestOlder(t *testing.T) {
	tr := newTrial(t)
	one, two := tr.bundle("1", tr.author, "a"), tr.bundle("2", tr.author, "b")
	tr.expect(two, false, "")
	tr.expect(two, false, "")
	tr.expect(one, false, "older than 2")
	tr.expect(tr.bundle("2", tr.author, "c"), false, "another one of this version")
	tr.restart()
	if err := os.Remove(tr.File("web")); err != nil {
		t.Fatal(err)
	}
	if list := tr.List(); len(list) != 1 || list[0].State != "Removed" {
		t.Errorf("%+v", list)
	}
	tr.expect(one, false, "older than 2")
	tr.expect(two, false, "")
	tr.expect(one, true, "")
	tr.has("Applied", "a")
	text, err := os.ReadFile(tr.File("web"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tr.File("web"), append(text, "# edited\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.has("Changed", "a")
	if err := os.WriteFile(tr.File("web"), []byte(strings.Replace(pod, "NAME", "z", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.has("Changed", "z")
}

// Side by side in one file manifests mean what they mean alone.
func TestMeansTheSame(t *testing.T) {
	texts := map[string][]byte{
		"a.yaml": []byte("\ufeff  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n  data:\n    x: |+\n      line\n\n\n"),
		"b.json": []byte(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"x": "y"}}`),
		"c.yaml": []byte("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {x: z}\n---\n"),
	}
	of := &bundle.Bundle{Description: bundle.Description{Name: "web", Version: "1"}}
	for _, file := range []string{"a.yaml", "b.json", "c.yaml"} {
		of.Manifests = append(of.Manifests, bundle.Manifest{File: file})
	}
	tr := newTrial(t)
	text, err := tr.judge(of, texts)
	if err != nil {
		t.Fatal(err)
	}
	together, _ := decode.Decode("x.yaml", text, decode.Options{})
	if len(together.ConfigMaps) != 3 {
		t.Fatalf("%+v in\n%s", together.ConfigMaps, text)
	}
	for file, text := range texts {
		alone, problems := decode.Decode(file, text, decode.Options{})
		if len(alone.ConfigMaps) != 1 {
			t.Fatal(file, problems)
		}
		for _, c := range together.ConfigMaps {
			if c.Name == alone.ConfigMaps[0].Name && c.Data["x"] != alone.ConfigMaps[0].Data["x"] {
				t.Errorf("%s: %q, want %q", file, c.Data["x"], alone.ConfigMaps[0].Data["x"])
			}
		}
	}
}

// A bundle over which code trips is not applied, and ends nothing else.
func TestPanic(t *testing.T) {
	of := &bundle.Bundle{Description: bundle.Description{Images: []bundle.Image{{Name: "example.com/web:1"}}}} // and no content
	if err := newTrial(t).importImages(t.Context(), of); !errors.Is(err, rescue.ErrPanicked) {
		t.Error(err)
	}
}

// What a kill has left beside the manifests goes with the next application: it may hold Secrets.
func TestLeftBeside(t *testing.T) {
	tr := newTrial(t)
	left := filepath.Join(tr.Manifests, ".bundle-web.yaml.123")
	if err := os.WriteFile(left, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.expect(tr.bundle("1", tr.author, "a"), false, "")
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}

// What was applied by force takes nothing away from what the box has had: versions between both and others of the newest stay refused.
func TestOlderByForce(t *testing.T) {
	tr := newTrial(t)
	one, two := tr.bundle("1", tr.author, "a"), tr.bundle("2", tr.author, "b")
	tr.expect(two, false, "")
	tr.expect(one, true, "")
	tr.restart()
	tr.expect(one, false, "")
	tr.expect(tr.bundle("1", tr.author, "c"), false, "older than 2")
	tr.expect(tr.bundle("1.5", tr.author, "c"), false, "older than 2")
	tr.expect(tr.bundle("2", tr.author, "c"), false, "another one of this version")
	tr.expect(tr.bundle("1.5", tr.author, "c"), true, "")
	tr.expect(one, false, "older than 2")
	tr.expect(two, false, "")
	tr.has("Applied", "b")
	tr.expect(tr.bundle("3", tr.author, "d"), false, "")
}

// What this box does not take is refused before anything of it is there.
func TestJudged(t *testing.T) {
	tr := newTrial(t)
	data := tr.bundle("1", tr.author, "a")
	tr.Decode.Judge = func(*v1.Pod) manifests.Problems {
		return manifests.Problems{{Path: "spec", Message: "not on this box"}}
	}
	tr.expect(data, true, "spec: not on this box")
	if len(tr.imported) > 0 {
		t.Errorf("%v was imported", tr.imported)
	}
	tr.Keys = func() (signature.Keys, error) { return signature.Keys{}, errors.New("no keys") }
	tr.expect(data, false, "no keys")
}

// What an earlier run has left is removed, and a record that is damaged is told.
func TestBegin(t *testing.T) {
	for _, damage := range []string{"{", "null"} {
		tr := newTrial(t)
		tr.expect(tr.bundle("1", tr.author, "a"), false, "")
		left := filepath.Join(tr.Dir, incoming+"1")
		if err := errors.Join(os.WriteFile(left, nil, 0o600), os.WriteFile(filepath.Join(tr.Dir, "record.json"), []byte(damage), 0o600)); err != nil {
			t.Fatal(err)
		}
		if told, err := tr.Begin(); err != nil || !strings.Contains(told, "older ones would be taken") {
			t.Errorf("%q, %v", told, err)
		}
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it is left: %v", err)
		}
		if _, err := tr.Apply(t.Context(), bytes.NewReader(tr.bundle("2", tr.author, "a")), false); err != nil {
			t.Error(err)
		}
	}
}

// What another file has is not taken away from it, nor is it said to be applied in vain; a bundle's own file is no other.
func TestTaken(t *testing.T) {
	for _, c := range []struct {
		file manifests.File
		says string
	}{
		{manifests.File{Name: "zoo.yaml", Pods: []string{"default/a"}}, "default/a is defined by zoo.yaml already"},
		{manifests.File{Name: "bundle-other.yaml", Pods: []string{"default/b", "default/a"}}, "defined by bundle-other.yaml"},
		{manifests.File{Name: "zoo.yaml", Pods: []string{"far/a"}, Objects: []string{"configmap/default/a"}}, ""},
		{manifests.File{Name: "bundle-web.yaml", Pods: []string{"default/a"}}, ""},
	} {
		tr := newTrial(t)
		tr.Files = func() []manifests.File { return []manifests.File{c.file} }
		tr.expect(tr.bundle("1", tr.author, "a"), false, c.says)
	}
}

// Who sends a bundle slowly, or never to its end, keeps no other out.
func TestSlowSender(t *testing.T) {
	tr := newTrial(t)
	slow, begun := tr.bundle("2", tr.author, "b"), make(chan struct{})
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := tr.Apply(t.Context(), r, false)
		ended <- err
	}()
	go func() {
		w.Write(slow[:len(slow)/2]) //nolint:errcheck // a pipe; its reader is waited for
		close(begun)
	}()
	<-begun
	if _, err := tr.Apply(t.Context(), bytes.NewReader(tr.bundle("1", tr.author, "a")), false); err != nil {
		t.Error(err)
	}
	tr.has("Applied", "a")
	if _, err := w.Write(slow[len(slow)/2:]); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	tr.has("Applied", "b")
}
