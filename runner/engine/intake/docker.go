package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// dockerImage is an entry of manifest.json, as docker save writes it.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerManifest has the form and the order of fields that containerd gives it: the image's digest is that of these bytes.
type dockerManifest struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Config        ocispec.Descriptor   `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
}

// ofDocker makes manifests for an archive that has none.
func (r *reading) ofDocker(ctx context.Context) ([]images.Image, error) {
	var entries []dockerImage
	if err := json.Unmarshal(r.manifest, &entries); err != nil {
		return nil, fmt.Errorf("manifest.json of the archive: %w", err)
	}
	var list []images.Image
	for _, e := range entries {
		target, err := r.dockerManifest(ctx, e)
		if err != nil {
			return nil, err
		}
		for _, tag := range e.RepoTags {
			image, err := r.named(tag, target)
			if err != nil {
				return nil, err
			}
			if list = append(list, image...); len(list) > maxDescriptors {
				return nil, refuse("the archive names more than %d images", maxDescriptors)
			}
		}
	}
	return list, nil
}

func (r *reading) dockerManifest(ctx context.Context, e dockerImage) (target ocispec.Descriptor, err error) {
	if len(e.Layers) > maxLayers {
		return target, refuse("an image of the archive has %d layers, and may have %d", len(e.Layers), maxLayers)
	}
	m := dockerManifest{SchemaVersion: 2, MediaType: images.MediaTypeDockerSchema2Manifest, Layers: []ocispec.Descriptor{}}
	if m.Config, err = r.dockerFile(e.Config); err != nil {
		return target, err
	}
	m.Config.MediaType = images.MediaTypeDockerSchema2Config
	for _, name := range e.Layers {
		layer, err := r.dockerFile(name)
		if err == nil {
			layer.MediaType, err = r.layerType(ctx, layer)
		}
		if err != nil {
			return target, err
		}
		m.Layers = append(m.Layers, layer)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return target, err
	}
	target = ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	r.small[target.Digest] = data
	var config ocispec.Image
	if err := r.decode(ctx, m.Config, &config); err != nil {
		return target, err
	}
	if config.OS != "" && config.Architecture != "" {
		p := platforms.Normalize(config.Platform)
		target.Platform = &p
	}
	return target, nil
}

// dockerFile finds a file that manifest.json names.
func (r *reading) dockerFile(name string) (ocispec.Descriptor, error) {
	file, ok := r.blobs[name]
	if !ok {
		file, ok = r.blobs[r.links[name]]
	}
	if !ok {
		return file, refuse("the archive names %s and does not have it; is it complete?", shown(name))
	}
	return file, nil
}

// layerType is containerd's for archives of this form: what is compressed counts as gzip, and is looked at again when it is unpacked.
func (r *reading) layerType(ctx context.Context, layer ocispec.Descriptor) (string, error) {
	blob, err := r.ReaderAt(ctx, layer)
	if err != nil {
		return "", err
	}
	defer blob.Close() //nolint:errcheck // only read from
	first := make([]byte, 10)
	n, err := blob.ReadAt(first, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if compression.DetectCompression(first[:n]) == compression.Uncompressed {
		return images.MediaTypeDockerSchema2Layer, nil
	}
	return images.MediaTypeDockerSchema2LayerGzip, nil
}
