package bundle

import (
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/bundle/layout"
)

const (
	// maxDepth is how deep indexes may name indexes. One for the platforms is usual.
	maxDepth = 3
	// maxParts is for all that an image consists of.
	maxParts = 10_000
	// maxAllParts is for the parts of all images of a bundle, of which each image counts those that it shares.
	maxAllParts = 100_000
	// maxPlatform is for the name of a platform, in bytes.
	maxPlatform = 100
)

// What images were before OCI named them.
const (
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == dockerList
}

func isManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == dockerManifest
}

// read reads a blob of JSON that a descriptor names.
func read(l *layout.Layout, d ocispec.Descriptor, into any) error {
	if err := has(l, d); err != nil {
		return err
	}
	return l.Decode(d.Digest, into)
}

// has says whether a blob is there that a descriptor names.
func has(l *layout.Layout, d ocispec.Descriptor) error {
	b, ok := l.Blobs[d.Digest]
	if !ok {
		return layout.Refuse("%.100q is named and not there: is it complete?", d.Digest)
	}
	if b.Size != d.Size {
		return layout.Refuse("%s has %d bytes, and should have %d", d.Digest, b.Size, d.Size)
	}
	return nil
}

// tree is what an image consists of: indexes, manifests, configurations and layers.
type tree struct {
	layout *layout.Layout
	parts  map[digest.Digest]bool
	size   int64
	// platforms are those that its manifests name, as os/arch.
	platforms []string
}

// treeOf finds all that the image consists of; what is missing is an error.
func treeOf(l *layout.Layout, target ocispec.Descriptor) (*tree, error) {
	t := &tree{layout: l, parts: map[digest.Digest]bool{}}
	return t, t.visit(target, 1)
}

func (t *tree) add(d ocispec.Descriptor) error {
	if t.parts[d.Digest] {
		return nil
	}
	if err := has(t.layout, d); err != nil {
		return err
	}
	t.parts[d.Digest] = true
	t.size += d.Size
	if len(t.parts) > maxParts {
		return layout.Refuse("an image consists of more than %d parts", maxParts)
	}
	return nil
}

func (t *tree) visit(d ocispec.Descriptor, depth int) error {
	if t.parts[d.Digest] {
		return nil
	}
	if err := t.add(d); err != nil {
		return err
	}
	switch {
	case isIndex(d.MediaType) && depth > maxDepth:
		return layout.Refuse("its indexes are nested more than %d deep", maxDepth)
	case isIndex(d.MediaType):
		var index ocispec.Index
		if err := read(t.layout, d, &index); err != nil {
			return err
		}
		for _, m := range index.Manifests {
			if err := t.visit(m, depth+1); err != nil {
				return err
			}
		}
		return nil
	case isManifest(d.MediaType):
		return t.manifest(d)
	}
	return layout.Refuse("an image is of the type %.100q, which is none", d.MediaType)
}

func (t *tree) manifest(d ocispec.Descriptor) error {
	var m ocispec.Manifest
	if err := read(t.layout, d, &m); err != nil {
		return err
	}
	for _, part := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := t.add(part); err != nil {
			return err
		}
	}
	var of ocispec.Platform
	if t.layout.Decode(m.Config.Digest, &of) == nil && of.OS != "" && of.OS != unknown {
		if name := of.OS + "/" + of.Architecture + of.Variant; len(name) <= maxPlatform && !slices.Contains(t.platforms, name) {
			t.platforms = append(t.platforms, name)
		}
	}
	return nil
}

// unknown is the platform of what BuildKit puts beside images, which says how they were made.
const unknown = "unknown"
