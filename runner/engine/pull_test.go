package engine_test // the server knows the engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	containerregistry "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	registryclient "github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/embedded"
	"github.com/solopod/solopod/runner/engine/remote"
)

const (
	snapshotter = "native"
	// pinned is a label that others set.
	pinned = "io.cri-containerd.pinned"
)

// connect gives an engine on a containerd of its own, and what looks at that.
func connect(t *testing.T) (*engine.Engine, *containerd.Client) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "engine") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	server, err := embedded.Start(t.Context(), embedded.Config{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"), Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	e, err := engine.Connect(t.Context(), engine.Config{Address: server.Address, Snapshotter: snapshotter, Owner: dir, TempDir: filepath.Join(dir, "tmp")})
	if err != nil {
		t.Fatal(err)
	}
	client, err := containerd.New(server.Address, containerd.WithDefaultNamespace(engine.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(client.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	})
	return e, client
}

// shop is a registry with one name.
type shop struct {
	t   *testing.T
	tag name.Tag
}

func newShop(t *testing.T) *shop {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	tag, err := name.NewTag(strings.TrimPrefix(server.URL, "http://") + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	return &shop{t, tag}
}

// image has layers that nobody can have yet.
func (s *shop) image() containerregistry.Image {
	s.t.Helper()
	image, err := random.Image(1000, 2)
	if err != nil {
		s.t.Fatal(err)
	}
	return image
}

// offer has the name mean an image, and returns its digest.
func (s *shop) offer(image containerregistry.Image) string {
	s.t.Helper()
	digest, err := image.Digest()
	if err == nil {
		err = registryclient.Write(s.tag, image)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return digest.String()
}

// pulls fetches what the name means now.
func (s *shop) pulls(e *engine.Engine, sync func(context.Context) error) (engine.Image, error) {
	nobody := func(string) (string, string, error) { return "", "", nil }
	return e.Pull(s.t.Context(), s.tag.Name(), remote.New("").By(nobody), sync)
}

// check returns an error unless the name means this image, known to be on the disk and pinned, and all of it is there after a collection.
func (s *shop) check(e *engine.Engine, client *containerd.Client, digest string) error {
	ctx := s.t.Context()
	lease, err := client.LeasesService().Create(ctx, leases.WithRandomID())
	if err != nil {
		return err
	}
	if err := client.LeasesService().Delete(ctx, lease, leases.SynchronousDelete); err != nil {
		return err
	}
	record, err := client.ImageService().Get(ctx, s.tag.Name())
	if err != nil {
		return err
	}
	want := map[string]string{"io.solopod.image.synced": digest, pinned: "pinned"}
	if got := record.Target.Digest.String(); got != digest || !maps.Equal(record.Labels, want) {
		return fmt.Errorf("the name means %s, and not %s; its labels are %v", got, digest, record.Labels)
	}
	image, err := e.Image(ctx, s.tag.Name())
	if err != nil {
		return err
	}
	_, err = client.SnapshotService(snapshotter).Stat(ctx, image.ChainID)
	return err
}

// A name means its old image until all of a new one is on the disk: whatever fails, it can be used, as it has to be where no registry is.
// What others say of the name stays.
func TestPullKeepsTheOldUntilTheNewIsThere(t *testing.T) {
	s := newShop(t)
	e, client := connect(t)
	onDisk := func(context.Context) error { return nil }
	broken := errors.New("the disk fails")
	fails := func(context.Context) error { return broken }

	chart := mutate.ConfigMediaType(s.image(), "application/vnd.cncf.helm.config.v1+json")
	s.offer(chart)
	if _, err := s.pulls(e, onDisk); err == nil {
		t.Error("a chart was taken for an image")
	}
	first := s.offer(s.image())
	if _, err := s.pulls(e, fails); !errors.Is(err, broken) {
		t.Errorf("what the disk does not have was pulled: %v", err)
	}
	if list, err := e.ListImages(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("what could not be pulled is recorded: %v, %v", list, err)
	}
	if _, err := s.pulls(e, onDisk); err != nil {
		t.Fatal(err)
	}
	record, err := client.ImageService().Get(t.Context(), s.tag.Name())
	if err != nil {
		t.Fatal(err)
	}
	record.Labels[pinned] = "pinned"
	if _, err := client.ImageService().Update(t.Context(), record, "labels"); err != nil {
		t.Fatal(err)
	}
	if err := s.check(e, client, first); err != nil {
		t.Errorf("at first: %v", err)
	}

	s.offer(chart)
	if _, err := s.pulls(e, onDisk); err == nil {
		t.Error("a chart was taken for an image")
	}
	if err := s.check(e, client, first); err != nil {
		t.Errorf("after a chart: %v", err)
	}

	second := s.offer(s.image())
	if _, err := s.pulls(e, fails); !errors.Is(err, broken) {
		t.Errorf("what the disk does not have was pulled: %v", err)
	}
	if err := s.check(e, client, first); err != nil {
		t.Errorf("after a sync that failed: %v", err)
	}

	image, err := s.pulls(e, func(context.Context) error {
		return s.check(e, client, first) // its collection takes nothing of the new one, either
	})
	if err != nil {
		t.Fatal(err)
	}
	if image.Name != s.tag.Name() || image.Digest != second || !image.Pinned || image.CreatedAt.IsZero() {
		t.Errorf("pulled: %+v", image)
	}
	if err := s.check(e, client, second); err != nil {
		t.Errorf("at last: %v", err)
	}
}
