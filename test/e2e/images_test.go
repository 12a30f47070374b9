package e2e

import (
	"encoding/json"
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
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	v1 "k8s.io/api/core/v1"
)

// registryWith runs a registry on loopback that holds the tests' image, with layers added, as repo:1, and returns the image's
// reference.
func registryWith(t *testing.T, repo string, layers ...containerregistry.Layer) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	image, err := mutate.AppendLayers(imageIn(t, imageArchive), layers...)
	if err != nil {
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
		archive := b.path("later.tar")
		if out, err := exec.Command("../../bin/pack", "-o", archive, "-name", "solopod.example/later:1", "-link", "/bin/sh=busybox", "-link", "/bin/sleep=busybox", "/bin/busybox:/bin/busybox").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		later := imageIn(t, archive)
		digest, err := later.Digest()
		if err != nil {
			t.Fatal(err)
		}
		b.apply("never.yaml", strings.Replace(shell("never", forever, ""), "solopod.example/box:1", "solopod.example/later:1@"+digest.String()+"\n    imagePullPolicy: Never", 1))
		p := b.waitPod("never", "waiting", func(p *v1.Pod) bool {
			return status(p, "main").State.Waiting != nil && status(p, "main").State.Waiting.Reason == "ErrImageNeverPull"
		})
		if m := status(p, "main").State.Waiting.Message; !strings.Contains(m, "solopod images import") {
			t.Errorf("the message gives no advice: %s", m)
		}
		b.run("images", "import", archive)
		p = b.waitReady("never")
		if s := status(p, "main"); s.ImageID != "solopod.example/later@"+digest.String() {
			t.Errorf("it runs %q", s.ImageID)
		}
		digests(t, b, later)
	})
}

// imageIn is the only image of an OCI archive.
func imageIn(t *testing.T, archive string) containerregistry.Image {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-C", dir, "-xf", archive).CombinedOutput(); err != nil {
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
	return image
}

// repoDigest is the digest name of an image in the list of images, empty when it is not in there.
func (b *box) repoDigest(image string) string {
	b.t.Helper()
	var list struct {
		Images []struct {
			Name        string
			RepoDigests []string
		}
	}
	if err := json.Unmarshal([]byte(b.run("images", "ls", "-o", "json")), &list); err != nil {
		b.t.Fatal(err)
	}
	for _, i := range list.Images {
		if i.Name == image && len(i.RepoDigests) == 1 {
			return i.RepoDigests[0]
		}
	}
	return ""
}

// digests: an image of an archive of Docker's form has a digest name, which goes with it; another digest is told.
func digests(t *testing.T, b *box, image containerregistry.Image) {
	t.Helper()
	archive := b.path("docker.tar")
	tag, err := name.NewTag("solopod.example/docker:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(archive, tag, image); err != nil {
		t.Fatal(err)
	}
	b.run("images", "import", archive)
	digest := b.repoDigest("solopod.example/docker:1")
	if !strings.HasPrefix(digest, "solopod.example/docker@sha256:") {
		t.Fatalf("the digest name of an image of Docker's form: %q", digest)
	}
	pod := func(name, image, policy string) string {
		return strings.Replace(shell(name, forever, ""), "solopod.example/box:1", image+"\n    imagePullPolicy: "+policy, 1)
	}
	b.apply("docker.yaml", pod("docker", digest, "IfNotPresent")+"---\n"+pod("another", "solopod.example/docker:1@sha256:"+strings.Repeat("0", 64), "Never"))
	if s := status(b.waitReady("docker"), "main"); s.ImageID != digest {
		t.Errorf("it runs %q", s.ImageID)
	}
	p := b.waitPod("another", "waiting", func(p *v1.Pod) bool {
		return status(p, "main").State.Waiting != nil && status(p, "main").State.Waiting.Reason == "ErrImageNeverPull"
	})
	want := "there is solopod.example/docker:1 with the digest " + strings.TrimPrefix(digest, "solopod.example/docker@")
	if m := status(p, "main").State.Waiting.Message; !strings.Contains(m, want) {
		t.Errorf("another digest: %s, want %q", m, want)
	}
	b.delete("docker.yaml")
	b.waitGone("docker")
	b.run("images", "rm", digest)
	if left := b.repoDigest("solopod.example/docker:1"); left != "" {
		t.Errorf("it is removed, and there is %s", left)
	}
	b.apply("docker.yaml", pod("docker", digest, "Never"))
	b.waitPod("docker", "waiting", func(p *v1.Pod) bool {
		return status(p, "main").State.Waiting != nil && status(p, "main").State.Waiting.Reason == "ErrImageNeverPull"
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
