package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	containerregistry "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	v1 "k8s.io/api/core/v1"
)

const bombSize = 640 << 20

// bomb is a layer of less than a megabyte with one file of 640 MiB.
func bomb(t *testing.T) containerregistry.Layer {
	t.Helper()
	var head, packed bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Mode: 0o644, Size: bombSize}); err != nil {
		t.Fatal(err)
	}
	member := func(data []byte) []byte { // gzip streams stand one behind the other (RFC 1952, 2.2)
		var out bytes.Buffer
		z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
		if err == nil {
			_, err = z.Write(data)
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	packed.Write(member(head.Bytes()))
	packed.Write(bytes.Repeat(member(make([]byte, bombSize/64)), 64))
	packed.Write(member(make([]byte, 1024)))
	if packed.Len() > 1<<20 {
		t.Fatalf("it has %d bytes", packed.Len())
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// saved writes the tests' image with layers added as an archive of Docker's form.
func saved(t *testing.T, path, reference string, layers ...containerregistry.Layer) {
	t.Helper()
	image, err := mutate.AppendLayers(imageIn(t, imageArchive), layers...)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(path+".tmp", tag, image); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// used is what a directory takes up, in bytes.
func used(t *testing.T, dir string) (n int64) {
	t.Helper()
	out, _ := exec.Command("du", "-sx", "--block-size=1", dir).Output() // files may go meanwhile
	if _, err := fmt.Sscan(string(out), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A small archive that would fill the disk is refused, from the images directory, from a stream and from a registry, holds no other image
// up, and leaves nothing on the disk.
func TestDecompressionBombs(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		root := b.path("root")
		if b.mode == outside {
			root = b.path("containerd-root")
		}
		layer := bomb(t)
		before := used(t, root)
		const refusal = "unpacks to 640.0 MiB or more: that is no honest image"
		saved(t, b.path("images/a-bomb.tar"), "solopod.example/bomb:1", layer)
		saved(t, b.path("images/b-good.tar"), "solopod.example/good:1")
		b.apply("good.yaml", strings.Replace(shell("good", forever, ""), "solopod.example/box:1", "solopod.example/good:1\n    imagePullPolicy: Never", 1))
		b.waitReady("good")
		b.eventually("it is told", func() error {
			if out := b.run("get", "events"); !strings.Contains(out, "ImageImportFailed") || !strings.Contains(out, refusal) {
				return fmt.Errorf("events:\n%s", out)
			}
			return nil
		})
		saved(t, b.path("bomb.tar"), "solopod.example/bomb:2", layer)
		if out, err := b.try("images", "import", b.path("bomb.tar")); err == nil || !strings.Contains(out, refusal) {
			t.Errorf("a stream: %v: %s", err, out)
		}
		b.apply("pull.yaml", strings.Replace(shell("pull", forever, ""), "solopod.example/box:1", registryWith(t, "bomb", layer), 1))
		b.waitPod("pull", "refused", func(p *v1.Pod) bool {
			w := status(p, "main").State.Waiting
			return w != nil && strings.Contains(w.Message, refusal)
		})
		b.delete("pull.yaml")
		b.waitGone("pull")
		if out := b.run("images", "ls"); strings.Contains(out, "bomb") {
			t.Errorf("images:\n%s", out)
		}
		b.eventually("the disk is free again", func() error {
			if now := used(t, root); now > before+10<<20 {
				return fmt.Errorf("%d MiB more than before", (now-before)>>20)
			}
			return nil
		})
	})
}

// With a bound of the operator's that one counts, for archives and registries.
func TestImageMaxSize(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.writeFile("config.yaml", "imageMaxSize: 100Ki\n")
	b.flags = []string{"--config", b.path("config.yaml")}
	b.start()
	if out, err := b.try("images", "import", imageArchive); err == nil || !strings.Contains(out, "unpack to more than 100.0 KiB, which imageMaxSize in the configuration allows") {
		t.Errorf("%v: %s", err, out)
	}
	b.apply("pull.yaml", strings.Replace(shell("pull", forever, ""), "solopod.example/box:1", registryWith(t, "box"), 1))
	b.waitPod("pull", "refused", func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && strings.Contains(w.Message, "imageMaxSize in the configuration allows 100.0 KiB")
	})
}

// oci is an archive of the OCI layout, of blobs by their digests and an index that names one of them.
func oci(t *testing.T, path, name string, target descriptor, blobs map[string][]byte) {
	t.Helper()
	target.Annotations = map[string]string{"io.containerd.image.name": name}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{target}})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index}
	for digest, data := range blobs {
		files["blobs/sha256/"+digest] = data
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for file, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: file, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// indexes are levels of indexes, each of which names the one below it so often.
func indexes(t *testing.T, levels, often int) (top descriptor, blobs map[string][]byte) {
	t.Helper()
	blobs = map[string][]byte{}
	const kind = "application/vnd.oci.image.index.v1+json"
	list := []descriptor{}
	for range levels + 1 {
		data, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": kind, "manifests": list})
		if err != nil {
			t.Fatal(err)
		}
		hex := fmt.Sprintf("%x", sha256.Sum256(data))
		blobs[hex] = data
		top = descriptor{MediaType: kind, Digest: "sha256:" + hex, Size: len(data)}
		list = nil
		for range often {
			list = append(list, top)
		}
	}
	return top, blobs
}

// Archives that ask for much time, or that name their images as files elsewhere, are refused within a moment and with advice.
func TestHostileArchives(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	deep, ofDeep := indexes(t, 3000, 1)
	wide, ofWide := indexes(t, 7, 10)
	flat, ofFlat := indexes(t, 0, 0)
	wrong := maps.Clone(ofFlat)
	for digest := range wrong {
		wrong[digest] = []byte("something else")
	}
	for what, c := range map[string]struct {
		name   string
		target descriptor
		blobs  map[string][]byte
		want   string
	}{
		"deep":     {"solopod.example/deep:1", deep, ofDeep, "nested more than 4 deep"},
		"wide":     {"solopod.example/wide:1", wide, ofWide, "nested more than 4 deep"},
		"out":      {"../../etc/x", flat, ofFlat, `"../../etc/x", which is no image's name`},
		"escape":   {"box\x1b[31m:1", flat, ofFlat, `"box\x1b[31m:1", which is no image's name`},
		"long":     {strings.Repeat("a", 100_000), flat, ofFlat, "(100000 characters), which is no image's name"},
		"nameless": {"", flat, ofFlat, "the archive names no image: give it a reference"},
		"wrong":    {"solopod.example/wrong:1", flat, wrong, "it holds something else than its name says"},
	} {
		path := b.path(what + ".tar")
		oci(t, path, c.name, c.target, c.blobs)
		began := time.Now()
		out, err := b.try("images", "import", path)
		if err == nil || !strings.Contains(out, c.want) || len(out) > 600 {
			t.Errorf("%s: %v: %.600s", what, err, out)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s: it took %s", what, took)
		}
	}
	b.eventually("the tests' image is the only one", func() error {
		if out := b.run("images", "ls"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "solopod.example/box:1") {
			return fmt.Errorf("images:\n%s", out)
		}
		return nil
	})
}
