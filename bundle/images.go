package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/bundle/layout"
)

// fullName gives an image reference its full form, as Docker and the kubelet do. A digest counts alone, without a tag beside it.
func fullName(ref string) (string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", fmt.Errorf("%.200q is no name of an image: %w", ref, err)
	}
	return named.String(), nil
}

// stock is an archive of images.
type stock struct {
	*layout.Layout
	images []Image
	// made are parts that are not in the archive: manifests of images that docker save has written.
	made []part
	// inner are the images by their digests, with those that indexes name; nil until one is looked for.
	inner map[digest.Digest]ocispec.Descriptor
}

// open reads an archive.
func open(ctx context.Context, at string) (*stock, error) {
	l, err := layout.Read(ctx, at)
	if err != nil {
		return nil, err
	}
	s := &stock{Layout: l}
	if l.Index != nil {
		err = s.ofIndex()
	} else {
		err = s.ofDocker()
	}
	if err == nil && len(s.images) == 0 {
		err = layout.Refuse("it names no image: give it a name (org.opencontainers.image.ref.name or io.containerd.image.name in index.json)")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return s, nil
}

func (s *stock) ofIndex() error {
	for _, d := range s.Index.Manifests {
		name := d.Annotations[imageName]
		if name == "" {
			name = d.Annotations[ocispec.AnnotationRefName]
		}
		full, err := fullName(name)
		if err != nil { // no pod could ask for it
			continue
		}
		if isIndex(d.MediaType) {
			if d, err = s.present(d); err != nil {
				return fmt.Errorf("image %s: %w", full, err)
			}
		}
		s.images = append(s.images, Image{full, bare(d)})
	}
	return nil
}

// bare is what a bundle says of an image; what else the archive says of it is the archive's.
func bare(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Platform: d.Platform}
}

// present is an image of which not all platforms were written to the archive, as ctr images export and docker save do: the manifest of the
// one that was.
func (s *stock) present(d ocispec.Descriptor) (ocispec.Descriptor, error) {
	var index ocispec.Index
	if err := read(s.Layout, d, &index); err != nil {
		return d, err
	}
	var there []ocispec.Descriptor
	for _, m := range index.Manifests {
		if _, ok := s.Blobs[m.Digest]; ok {
			there = append(there, m)
		}
	}
	if len(there) == len(index.Manifests) {
		return d, nil
	}
	there = slices.DeleteFunc(there, func(m ocispec.Descriptor) bool { return m.Platform != nil && m.Platform.OS == unknown })
	if len(there) != 1 {
		return d, layout.Refuse("the archive has %d of its %d platforms; write it with one platform, or all of them", len(there), len(index.Manifests))
	}
	return there[0], nil
}

// dockerImage is an entry of manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (s *stock) ofDocker() error {
	var list []dockerImage
	if err := json.Unmarshal(s.Docker, &list); err != nil {
		return layout.Refuse("%s in it is none of docker save: %v", layout.DockerManifest, err)
	}
	if len(list) > MaxImages {
		return layout.Refuse("it has more than %d images", MaxImages)
	}
	for _, i := range list {
		if len(i.Layers) > maxParts || len(i.RepoTags) > MaxImages {
			return layout.Refuse("an image in it has more than %d layers, or %d names", maxParts, MaxImages)
		}
		m, err := s.manifest(i)
		if err != nil {
			return err
		}
		s.made = append(s.made, m)
		s.JSON[m.Digest], s.Blobs[m.Digest] = m.data, layout.Blob{Size: m.Size}
		for _, tag := range i.RepoTags {
			if full, err := fullName(tag); err == nil {
				s.images = append(s.images, Image{full, m.Descriptor})
			}
		}
	}
	return nil
}

// layerTypes are the types of layers, by how they are compressed.
var layerTypes = map[layout.Compression]string{
	"": ocispec.MediaTypeImageLayer, layout.Gzip: ocispec.MediaTypeImageLayerGzip, layout.Zstd: ocispec.MediaTypeImageLayerZstd,
}

// manifest makes the manifest of an image that has none.
func (s *stock) manifest(i dockerImage) (part, error) {
	m := ocispec.Manifest{Versioned: versioned, MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	config, ok := s.Named(i.Config)
	if !ok {
		return part{}, layout.Refuse("it names %.100q and does not have it: is it complete?", i.Config)
	}
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: config, Size: s.Blobs[config].Size}
	for _, name := range i.Layers {
		d, ok := s.Named(name)
		if !ok {
			return part{}, layout.Refuse("it names %.100q and does not have it: is it complete?", name)
		}
		b := s.Blobs[d]
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: layerTypes[b.Compression], Digest: d, Size: b.Size})
	}
	return encode(ocispec.MediaTypeImageManifest, m)
}

// find finds an image by its full name: by the digest, where the name has one.
func (s *stock) find(name string) (ocispec.Descriptor, bool) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return ocispec.Descriptor{}, false
	}
	if with, ok := named.(reference.Digested); ok {
		return s.byDigest(with.Digest())
	}
	for _, i := range s.images {
		if i.Name == name {
			return i.Target, true
		}
	}
	return ocispec.Descriptor{}, false
}

func (s *stock) byDigest(d digest.Digest) (ocispec.Descriptor, bool) {
	if s.inner == nil {
		s.inner = map[digest.Digest]ocispec.Descriptor{}
		for _, i := range s.images {
			s.note(i.Target)
			var index ocispec.Index
			if !isIndex(i.Target.MediaType) || read(s.Layout, i.Target, &index) != nil {
				continue
			}
			for _, m := range index.Manifests {
				s.note(bare(m))
			}
		}
	}
	found, ok := s.inner[d]
	return found, ok
}

// note notes what is there by its digest, as it was named first.
func (s *stock) note(d ocispec.Descriptor) {
	_, noted := s.inner[d.Digest]
	if _, there := s.Blobs[d.Digest]; there && !noted {
		s.inner[d.Digest] = d
	}
}
