package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// readyLabel is set on an image whose unpacked files are known to be on the disk; its value is the digest that was
// synced. containerd syncs its metadata, not the layers (containerd#8973), so its own record says too little.
const readyLabel = "io.solopod.image.synced"

// Image is an unpacked image.
type Image struct {
	Name   string
	Digest string
	// ChainID names the snapshot that holds the whole root file system.
	ChainID   string
	Size      int64
	CreatedAt time.Time
	Config    ocispec.ImageConfig
}

// Image returns an image that is present, or ErrNotFound.
func (e *Engine) Image(ctx context.Context, name string) (Image, error) {
	ctx = inNamespace(ctx)
	record, err := e.client.ImageService().Get(ctx, name)
	if err != nil {
		return Image{}, native(err)
	}
	return e.describe(ctx, record)
}

// Images lists the images that are present, by name.
func (e *Engine) Images(ctx context.Context) ([]Image, error) {
	ctx = inNamespace(ctx)
	records, err := e.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list images: %w", err)
	}
	list := make([]Image, 0, len(records))
	for _, r := range records {
		image, err := e.describe(ctx, r)
		if err != nil {
			// A record without its content still has a name that can be removed.
			image = Image{Name: r.Name, Digest: r.Target.Digest.String(), CreatedAt: r.CreatedAt}
		}
		list = append(list, image)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// describe reads what an image says of itself. That is a dozen calls, and is the same for ever for a digest, so it is kept:
// it would be in the way of each start of a container.
func (e *Engine) describe(ctx context.Context, record images.Image) (Image, error) {
	known, ok := e.described.Load(record.Target.Digest)
	if !ok {
		image, err := e.read(ctx, record)
		if err != nil {
			return Image{}, err
		}
		known, _ = e.described.LoadOrStore(record.Target.Digest, image)
	}
	image := known.(Image)
	image.Name, image.CreatedAt = record.Name, record.CreatedAt
	return image, nil
}

func (e *Engine) read(ctx context.Context, record images.Image) (Image, error) {
	image := containerd.NewImageWithPlatform(e.client, record, platforms.Default())
	desc, err := image.Config(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("cannot read the configuration of image %s: %w", record.Name, native(err))
	}
	blob, err := content.ReadBlob(ctx, e.client.ContentStore(), desc)
	if err != nil {
		return Image{}, fmt.Errorf("cannot read the configuration of image %s: %w", record.Name, native(err))
	}
	var config ocispec.Image
	if err := json.Unmarshal(blob, &config); err != nil {
		return Image{}, fmt.Errorf("cannot read the configuration of image %s: %w", record.Name, err)
	}
	size, err := image.Size(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("cannot add up the size of image %s: %w", record.Name, native(err))
	}
	return Image{
		Digest:  record.Target.Digest.String(),
		ChainID: identity.ChainID(config.RootFS.DiffIDs).String(),
		Size:    size,
		Config:  config.Config,
	}, nil
}

// Import reads an OCI or Docker archive and records and unpacks its images. sync is called after the unpacking and
// before an image counts as ready; it must make the unpacked files durable. name translates the references found in
// the archive; an image that it maps to "" is not recorded.
func (e *Engine) Import(ctx context.Context, archive io.Reader, name func(string) string, sync func() error) ([]Image, error) {
	ctx, done, err := e.lease(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	records, err := e.client.Import(ctx, archive,
		containerd.WithImageRefTranslator(name), containerd.WithSkipMissing(),
		containerd.WithImportPlatform(platforms.Default()))
	if err != nil {
		return nil, fmt.Errorf("cannot import the archive: %w", err)
	}
	var imported []Image
	for _, r := range records {
		image, err := e.unpack(ctx, r)
		if err != nil {
			return nil, err
		}
		imported = append(imported, image)
	}
	if err := sync(); err != nil {
		return nil, fmt.Errorf("cannot make the unpacked image durable: %w", err)
	}
	for _, r := range records {
		if err := e.markReady(ctx, r); err != nil {
			return nil, err
		}
	}
	return imported, nil
}

// Pull fetches an image from its registry, unpacks it and, after sync, marks it ready.
func (e *Engine) Pull(ctx context.Context, name string, login func(host string) (user, password string, err error), sync func() error) (Image, error) {
	ctx = inNamespace(ctx)
	pulled, err := e.client.Pull(ctx, name,
		containerd.WithResolver(docker.NewResolver(docker.ResolverOptions{
			Hosts: docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchLocalhost),
				docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(login)))),
		})),
		containerd.WithPullUnpack, containerd.WithPullSnapshotter(e.config.Snapshotter))
	if err != nil {
		return Image{}, fmt.Errorf("cannot pull %s: %w", name, native(err))
	}
	if err := sync(); err != nil {
		return Image{}, fmt.Errorf("cannot make the unpacked image durable: %w", err)
	}
	if err := e.markReady(ctx, pulled.Metadata()); err != nil {
		return Image{}, err
	}
	return e.describe(ctx, pulled.Metadata())
}

func (e *Engine) unpack(ctx context.Context, record images.Image) (Image, error) {
	image := containerd.NewImageWithPlatform(e.client, record, platforms.Default())
	if err := image.Unpack(ctx, e.config.Snapshotter); err != nil {
		return Image{}, fmt.Errorf("cannot unpack image %s: %w", record.Name, err)
	}
	return e.describe(ctx, record)
}

func (e *Engine) markReady(ctx context.Context, record images.Image) error {
	if record.Labels == nil {
		record.Labels = map[string]string{}
	}
	record.Labels[readyLabel] = record.Target.Digest.String()
	if _, err := e.client.ImageService().Update(ctx, record, "labels."+readyLabel); err != nil {
		return fmt.Errorf("cannot mark image %s as ready: %w", record.Name, err)
	}
	return nil
}

// Synced says whether the image's unpacked files are known to be on the disk.
func (e *Engine) Synced(ctx context.Context, name string) (bool, error) {
	record, err := e.client.ImageService().Get(inNamespace(ctx), name)
	if err != nil {
		return false, native(err)
	}
	return record.Labels[readyLabel] == record.Target.Digest.String(), nil
}

// RemoveImage removes an image's record; its content goes with the next collection, unless a container uses it.
func (e *Engine) RemoveImage(ctx context.Context, name string) error {
	return native(e.client.ImageService().Delete(inNamespace(ctx), name, images.SynchronousDelete()))
}
