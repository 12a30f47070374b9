package e2e

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	containerregistry "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	v1 "k8s.io/api/core/v1"
)

// registryWith runs a registry on loopback that holds the tests' image, with layers added, as repo:1, and returns the image's
// reference.
func registryWith(t *testing.T, repo string, layers ...containerregistry.Layer) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-C", dir, "-xf", imageArchive).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.AppendLayers(image, layers...); err != nil {
		t.Fatal(err)
	}
	reference := strings.TrimPrefix(server.URL, "http://") + "/" + repo + ":1"
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image); err != nil {
		t.Fatal(err)
	}
	return reference
}

// What is not present is pulled, or waits for an import where the policy is Never.
func TestImagePolicy(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		pulled := registryWith(t, "pulled")
		b.apply("pull.yaml", strings.Replace(shell("pull", forever, ""), "solopod.example/box:1", pulled, 1))
		b.waitReady("pull")
		if out := b.run("images", "ls"); !strings.Contains(out, pulled) {
			t.Errorf("images:\n%s", out)
		}
		b.apply("never.yaml", strings.Replace(shell("never", forever, ""), "solopod.example/box:1", "solopod.example/later:1\n    imagePullPolicy: Never", 1))
		p := b.waitPod("never", "waiting", func(p *v1.Pod) bool {
			return status(p, "main").State.Waiting != nil && status(p, "main").State.Waiting.Reason == "ErrImageNeverPull"
		})
		if m := status(p, "main").State.Waiting.Message; !strings.Contains(m, "solopod images import") {
			t.Errorf("the message gives no advice: %s", m)
		}
		archive := b.path("later.tar")
		if out, err := exec.Command("../../bin/pack", "-o", archive, "-name", "solopod.example/later:1", "-link", "/bin/sh=busybox", "-link", "/bin/sleep=busybox", "/bin/busybox:/bin/busybox").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		b.run("images", "import", archive)
		b.waitReady("never")
	})
}

// An archive that is copied in slowly is imported when the copy has ended, and not before; nothing waits for it meanwhile, and its
// removal with that of all others removes no image.
func TestSlowArchive(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	packed := b.path("slow.tar")
	if out, err := exec.Command("../../bin/pack", "-o", packed, "-name", "solopod.example/slow:1", "-link", "/bin/sh=busybox", "/bin/busybox:/bin/busybox").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := os.Create(b.path("images/slow.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Write(data[:len(data)/2]); err != nil {
		t.Fatal(err)
	}
	b.eventually("it is told that the archive waits", func() error {
		if !strings.Contains(b.daemonOutput(), "an archive waits to be imported") {
			return errors.New("it is not")
		}
		return nil
	})
	b.apply("web.yaml", web("web", ""))
	b.waitReady("web")
	if _, err := slow.Write(data[len(data)/2:]); err != nil {
		t.Fatal(err)
	}
	if out := b.run("images", "ls"); strings.Contains(out, "slow") {
		t.Errorf("it was imported while it was written:\n%s", out)
	}
	if err := slow.Close(); err != nil {
		t.Fatal(err)
	}
	imported := func() error {
		if out := b.run("images", "ls"); !strings.Contains(out, "solopod.example/slow:1") || !strings.Contains(out, "solopod.example/box:1") {
			return fmt.Errorf("there are\n%s", out)
		}
		return nil
	}
	b.eventually("it is imported", imported)
	for _, name := range []string{"box.tar", "slow.tar"} {
		if err := os.Remove(b.path("images/" + name)); err != nil {
			t.Fatal(err)
		}
	}
	b.crash()
	b.start()
	if err := imported(); err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(b.run("get", "events")) {
		if strings.Contains(line, "ImageImportFailed") && !strings.Contains(line, "has lost all of its files") {
			t.Errorf("something failed: %s", line)
		}
	}
}
