// Package stored says what images are, and what of containerd's stores belongs to which.
package stored

import (
	"context"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pinnedLabel is how CRI marks an image that is never to be collected (containerd, internal/cri/labels).
const pinnedLabel = "io.cri-containerd.pinned"

// Pinned says whether a record's labels keep its image for ever.
func Pinned(record images.Image) bool { return record.Labels[pinnedLabel] == "pinned" }

// Image is an unpacked image.
type Image struct {
	Name   string
	Digest string
	// ChainID names the snapshot that holds the whole root file system.
	ChainID   string
	Size      int64
	CreatedAt time.Time
	Config    ocispec.ImageConfig
	// Pinned: it is never collected.
	Pinned bool
}

// DigestName is the image's name with its digest in place of a tag, as nobody else's image has it.
func (i Image) DigestName() string { return Repository(i.Name) + "@" + i.Digest }

// Repository cuts tag and digest off a complete reference.
func Repository(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i]
	}
	return name
}

// Parts are what an image takes up, in bytes: content by its digest, and unpacked layers by their chains. Images share them.
type Parts map[string]int64

// PartsOf finds the parts of all images, by the images' digests. What of them is not there takes nothing up.
func PartsOf(ctx context.Context, client *containerd.Client, snapshotter string) (map[string]Parts, error) {
	records, err := client.ImageService().List(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]Parts{}
	for _, r := range records {
		digest := r.Target.Digest.String()
		if out[digest] != nil {
			continue
		}
		p := Parts{}
		if err := p.content(ctx, client, r); err != nil {
			return nil, err
		}
		if err := p.layers(ctx, client, snapshotter, r); err != nil {
			return nil, err
		}
		out[digest] = p
	}
	return out, nil
}

func (p Parts) content(ctx context.Context, client *containerd.Client, r images.Image) error {
	store := client.ContentStore()
	err := images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		info, err := store.Info(ctx, d.Digest)
		if errdefs.IsNotFound(err) {
			return nil, nil // of another platform, and never fetched
		}
		if err != nil {
			return nil, err
		}
		p[d.Digest.String()] = info.Size
		children, err := images.Children(ctx, store, d)
		if errdefs.IsNotFound(err) {
			return nil, nil
		}
		return children, err
	}), r.Target)
	return absent(err)
}

func (p Parts) layers(ctx context.Context, client *containerd.Client, snapshotter string, r images.Image) error {
	diffs, err := containerd.NewImageWithPlatform(client, r, platforms.Default()).RootFS(ctx)
	if err != nil {
		return absent(err)
	}
	s := client.SnapshotService(snapshotter)
	for i := range diffs {
		chain := identity.ChainID(diffs[:i+1]).String()
		usage, err := s.Usage(ctx, chain) // of a layer it is in the snapshotter's records: nothing is walked
		if absent(err) != nil {
			return err
		}
		p["layer "+chain] = usage.Size
	}
	return nil
}

// absent leaves out that something is not there.
func absent(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
