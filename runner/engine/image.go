package engine

import (
	"context"
	"encoding/json"
	"sort"
	"sync"
	"sync/atomic"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	godigest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/runner/engine/intake"
	"github.com/solopod/solopod/runner/engine/repair"
	"github.com/solopod/solopod/runner/engine/stored"
)

// readyLabel is set on an image whose unpacked files are known to be on the disk; its value is the digest that was
// synced. containerd syncs its metadata, not the layers (containerd#8973), so its own record says too little.
const readyLabel = "io.solopod.image.synced"

// Image is an unpacked image.
type Image = stored.Image

// Images holds the images of one containerd.
type Images struct {
	*connection
	disk intake.Disk
	// described: digest -> Image, without name and time.
	described    sync.Map
	descriptions atomic.Int32
}

// Image returns an image that is present, or ErrNotFound.
func (s *Images) Image(ctx context.Context, name string) (Image, error) {
	record, err := s.imageRecord(ctx, name)
	if err != nil {
		return Image{}, err
	}
	return s.describe(ctx, record)
}

// ListImages lists the images that are present, by name.
func (s *Images) ListImages(ctx context.Context) ([]Image, error) {
	var records []images.Image
	err := s.call(ctx, answerLimit, "list images", func(ctx context.Context) (err error) {
		records, err = s.client.ImageService().List(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]Image, 0, len(records))
	for _, r := range records {
		image, err := s.describe(ctx, r)
		if err != nil {
			// A record without its content still has a name that can be removed.
			image = Image{Name: r.Name, Digest: r.Target.Digest.String(), CreatedAt: r.CreatedAt, Pinned: stored.Pinned(r)}
		}
		list = append(list, image)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// mostDescriptions is of how many images what they say of themselves is kept.
const mostDescriptions = 512

// describe reads what an image says of itself. That is a dozen calls, and is the same for ever for a digest, so it is kept:
// it would be in the way of each start of a container.
func (s *Images) describe(ctx context.Context, record images.Image) (Image, error) {
	known, ok := s.described.Load(record.Target.Digest)
	if !ok {
		image, err := s.read(ctx, record)
		if err != nil {
			return Image{}, err
		}
		if s.descriptions.Add(1) > mostDescriptions { // of images that are gone, for the most part
			s.described.Clear()
			s.descriptions.Store(1)
		}
		known, _ = s.described.LoadOrStore(record.Target.Digest, image)
	}
	image := known.(Image)
	image.Name, image.CreatedAt, image.Pinned = record.Name, record.CreatedAt, stored.Pinned(record)
	return image, nil
}

func (s *Images) read(ctx context.Context, record images.Image) (Image, error) {
	image := containerd.NewImageWithPlatform(s.client, record, platforms.Default())
	var config ocispec.Image
	var size int64
	err := s.call(ctx, answerLimit, "read the configuration of image "+record.Name, func(ctx context.Context) error {
		desc, err := image.Config(ctx)
		if err != nil {
			return err
		}
		blob, err := content.ReadBlob(ctx, s.client.ContentStore(), desc)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(blob, &config); err != nil {
			return err
		}
		size, err = image.Size(ctx)
		return err
	})
	if err != nil {
		return Image{}, err
	}
	return Image{
		Digest:  record.Target.Digest.String(),
		ChainID: identity.ChainID(config.RootFS.DiffIDs).String(),
		Size:    size,
		Config:  config.Config,
	}, nil
}

func (s *Images) imageRecord(ctx context.Context, name string) (record images.Image, err error) {
	err = s.call(ctx, answerLimit, "look up image "+name, func(ctx context.Context) (err error) {
		record, err = s.client.ImageService().Get(ctx, name)
		return err
	})
	return record, err
}

// Synced says whether the image's unpacked files are known to be on the disk.
func (s *Images) Synced(ctx context.Context, name string) (bool, error) {
	record, err := s.imageRecord(ctx, name)
	return err == nil && record.Labels[readyLabel] == record.Target.Digest.String(), err
}

// RemoveImage removes an image's record, with a digest only while it has that one, else ErrNotFound; its content goes with the next
// collection, unless a container uses it.
func (s *Images) RemoveImage(ctx context.Context, name, digest string) error {
	opts := []images.DeleteOpt{images.SynchronousDelete()}
	if digest != "" {
		opts = append(opts, images.DeleteTarget(&ocispec.Descriptor{Digest: godigest.Digest(digest)}))
	}
	return s.call(ctx, snapshotLimit, "remove image "+name, func(ctx context.Context) error {
		return s.client.ImageService().Delete(ctx, name, opts...)
	})
}

// ImageParts finds what images consist of, and share, by their digests.
func (s *Images) ImageParts(ctx context.Context) (parts map[string]stored.Parts, err error) {
	err = s.call(ctx, partsLimit, "look at the parts of images", func(ctx context.Context) (err error) {
		parts, err = stored.PartsOf(ctx, s.client, s.config.Snapshotter)
		return err
	})
	return parts, err
}

// Repair removes what a power cut may have damaged: images that were not known to be on the disk, their unpacked layers,
// with what was made from them, and damaged content. containerd's own records say that all of it is good, and an import
// would believe them. It is for the first start after a boot, when no container runs. It returns the names of the
// images that have to be imported or pulled again.
func (s *Images) Repair(ctx context.Context) (removed []string, err error) {
	ctx, cancel := context.WithTimeout(inNamespace(ctx), repairLimit)
	defer cancel()
	return repair.Images{Client: s.client, Snapshotter: s.config.Snapshotter, Ready: readyLabel}.Repair(ctx)
}
