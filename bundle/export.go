package bundle

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/bundle/layout"
)

// WriteImages writes the images alone, as an archive that whoever takes images takes.
func (b *Bundle) WriteImages(ctx context.Context, to io.Writer) error {
	index := ocispec.Index{Versioned: versioned, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	wanted := map[digest.Digest]bool{}
	for i, image := range b.Images {
		t := image.Target
		t.Annotations = map[string]string{imageName: image.Name}
		index.Manifests = append(index.Manifests, t)
		for d := range b.Contents[i].parts {
			wanted[d] = true
		}
	}
	top, err := encode(ocispec.MediaTypeImageIndex, index)
	if err != nil {
		return err
	}
	w := layout.NewWriter(to)
	if err := w.Head(top.data); err != nil {
		return err
	}
	err = b.layout.Copy(ctx, func(d digest.Digest) bool { return wanted[d] }, func(d digest.Digest, size int64, in io.Reader) error {
		return w.Blob(d, size, in)
	})
	if err != nil {
		return err
	}
	return w.Close()
}
