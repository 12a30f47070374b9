package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tree is what the images of an archive consist of, as far as it is for this machine.
type tree struct {
	*reading
	count int
	// children are what an index or a manifest names, by its digest. order is how they were met.
	children map[digest.Digest][]ocispec.Descriptor
	order    []ocispec.Descriptor
	leaves   map[digest.Digest]bool
}

// keep goes through all that the images consist of, and then, when it is good, writes what is only in memory and sets the labels.
func (r *reading) keep(ctx context.Context, list []images.Image) error {
	t := &tree{reading: r, children: map[digest.Digest][]ocispec.Descriptor{}, leaves: map[digest.Digest]bool{}}
	for _, image := range list {
		if err := t.visit(ctx, image.Target, 1); err != nil {
			return fmt.Errorf("image %s: %w", image.Name, err)
		}
		if _, err := images.Manifest(ctx, r, image.Target, platforms.Default()); err != nil {
			return fmt.Errorf("image %s: %w (has the archive all of it, for %s?)", image.Name, err, platforms.DefaultString())
		}
	}
	for d := range t.leaves {
		if err := t.writeSmall(ctx, d); err != nil {
			return err
		}
	}
	for _, parent := range t.order {
		if err := t.writeSmall(ctx, parent.Digest); err != nil {
			return err
		}
		named := images.HandlerFunc(func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			return t.children[parent.Digest], nil
		})
		if _, err := images.SetChildrenLabels(r.Store, named).Handle(ctx, parent); err != nil {
			return err
		}
	}
	return nil
}

// visit looks at what desc names, each thing once: an index may name the same over and over.
func (t *tree) visit(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if err := check(desc); err != nil {
		return err
	}
	if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
		t.leaves[desc.Digest] = true
		return nil
	}
	if depth > maxDepth {
		return refuse("its indexes are nested more than %d deep", maxDepth)
	}
	if _, seen := t.children[desc.Digest]; seen {
		return nil
	}
	children, err := t.named(ctx, desc)
	if errdefs.IsNotFound(err) { // of another platform, and left out
		return nil
	}
	if err != nil {
		return err
	}
	if t.count += len(children); t.count > maxDescriptors {
		return refuse("its indexes and manifests name more than %d things", maxDescriptors)
	}
	t.children[desc.Digest] = children
	t.order = append(t.order, desc)
	for _, child := range children {
		if err := t.visit(ctx, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// named is what an index or a manifest names for this machine.
func (t *tree) named(ctx context.Context, desc ocispec.Descriptor) (list []ocispec.Descriptor, err error) {
	if err := t.fits(ctx, desc); err != nil {
		return nil, err
	}
	all, err := images.Children(ctx, t.reading, desc)
	if err != nil {
		return nil, err
	}
	if images.IsManifestType(desc.MediaType) && len(all) > maxLayers+1 { // with the configuration
		return nil, refuse("it has %d layers, and may have %d", len(all)-1, maxLayers)
	}
	for _, child := range all {
		if child.Platform == nil || platforms.Default().Match(*child.Platform) {
			list = append(list, child)
		}
	}
	if images.IsManifestType(desc.MediaType) {
		return list, t.decode(ctx, all[0], &ocispec.Image{})
	}
	return list, nil
}

// check says whether a descriptor can be one.
func check(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return refuse("it names something by %s, which is no digest", shown(string(desc.Digest)))
	}
	if desc.Size < 0 || isJSON(desc.MediaType) && desc.Size > maxJSON {
		return refuse("its %s has %s, and may have %s", shown(desc.MediaType), size(desc.Size), size(maxJSON))
	}
	return nil
}

// isJSON: it is read as a whole.
func isJSON(mediaType string) bool {
	return images.IsManifestType(mediaType) || images.IsIndexType(mediaType) || images.IsConfigType(mediaType)
}

// fits: a blob that is read as a whole is as small as it may be, whatever who names it says.
func (r *reading) fits(ctx context.Context, desc ocispec.Descriptor) error {
	if _, ok := r.small[desc.Digest]; ok {
		return nil
	}
	info, err := r.Store.Info(ctx, desc.Digest)
	if err != nil {
		return err
	}
	if info.Size > maxJSON {
		return refuse("%s has %s, and may have %s", desc.Digest, size(info.Size), size(maxJSON))
	}
	return nil
}

// decode reads a blob of JSON. One that is missing is left to who needs it.
func (r *reading) decode(ctx context.Context, desc ocispec.Descriptor, into any) error {
	err := r.fits(ctx, desc)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := content.ReadBlob(ctx, r, desc)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return refuse("%s is no configuration of an image: %v", desc.Digest, err)
	}
	return nil
}

func (t *tree) writeSmall(ctx context.Context, d digest.Digest) error {
	data, ok := t.small[d]
	if !ok {
		return nil
	}
	t.entries++
	_, err := t.write(ctx, fmt.Sprint(t.ref, t.entries), d, int64(len(data)), bytes.NewReader(data))
	return err
}
