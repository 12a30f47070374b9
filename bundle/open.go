package bundle

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/bundle/layout"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/signature"
)

// Bundle is a bundle that was read. All that it names is there, and is what its digest says.
type Bundle struct {
	Description
	// Digest is the artifact's, and stands for the bundle: it is the same for the same manifests and images, however they are packed,
	// and whoever has signed it.
	Digest digest.Digest
	// Signed is what is signed: the artifact.
	Signed     []byte
	Manifests  []Manifest
	Contents   []Content // of the images
	signatures []part

	layout   *layout.Layout
	artifact ocispec.Descriptor
	config   part
}

// Content is what an image of a bundle consists of.
type Content struct {
	Size      int64
	Platforms []string
	parts     map[digest.Digest]bool
}

// Open reads the bundle at a path, a file or a directory, to its end. Who has made it is not looked at.
func Open(ctx context.Context, at string) (*Bundle, error) {
	l, err := layout.Read(ctx, at)
	if err != nil {
		return nil, err
	}
	b := &Bundle{layout: l}
	if err := b.read(); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if err := b.readSignatures(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

var errNone = layout.Refuse("it is no bundle of Solopod's; \"solopod bundle create\" makes one")

func (b *Bundle) read() error {
	index, err := b.index()
	if err != nil {
		return err
	}
	var rest []ocispec.Descriptor
	for _, d := range index.Manifests {
		var m ocispec.Manifest
		if isManifest(d.MediaType) {
			if err := read(b.layout, d, &m); err != nil {
				return err
			}
		}
		switch {
		case m.ArtifactType == Type && b.Signed != nil:
			return layout.Refuse("it holds two bundles in one")
		case m.ArtifactType == Type:
			err = b.take(d, m)
		case m.ArtifactType == SignatureType:
			err = b.signature(m)
		default:
			rest = append(rest, d)
		}
		if err != nil {
			return err
		}
	}
	if b.Signed == nil {
		return errNone
	}
	for _, d := range rest { // what is not signed does not come with what is
		if !slices.ContainsFunc(b.Images, func(i Image) bool { return i.Target.Digest == d.Digest }) {
			return layout.Refuse("it names %s, of which its description says nothing: somebody has added to it", d.Digest)
		}
	}
	return b.images()
}

// index finds the bundle's index: the one that names an artifact of the type. Tools that carry bundles may drop the index's own type, and write
// it anew, where their version of the format has no such field.
func (b *Bundle) index() (*ocispec.Index, error) {
	if b.layout.Index == nil {
		return nil, errNone
	}
	const most = 1 + MaxImages + MaxSignatures // each index here is looked at for what another names
	if len(b.layout.Index.Manifests) > most {
		return nil, layout.Refuse("%s in it names more than %d things", ocispec.ImageIndexFile, most)
	}
	var found *ocispec.Index
	for _, d := range b.layout.Index.Manifests {
		var index ocispec.Index
		if !isIndex(d.MediaType) || read(b.layout, d, &index) != nil {
			continue
		}
		if len(index.Manifests) > most {
			return nil, layout.Refuse("an index in it names more than %d things", most)
		}
		if !slices.ContainsFunc(index.Manifests, b.isArtifact) {
			continue
		}
		if found != nil {
			return nil, layout.Refuse("it holds several bundles; take one out with a tool like skopeo")
		}
		found = &index
	}
	if found == nil {
		return nil, errNone
	}
	return found, nil
}

func (b *Bundle) isArtifact(d ocispec.Descriptor) bool {
	var m ocispec.Manifest
	return isManifest(d.MediaType) && read(b.layout, d, &m) == nil && m.ArtifactType == Type
}

// take takes the artifact of the bundle.
func (b *Bundle) take(d ocispec.Descriptor, m ocispec.Manifest) error {
	if m.Config.MediaType != DescriptionType {
		return layout.Refuse("its description is of the type %.100q, which this version of Solopod does not know", m.Config.MediaType)
	}
	if err := read(b.layout, m.Config, &b.Description); err != nil {
		return err
	}
	b.config = part{m.Config, b.layout.JSON[m.Config.Digest]}
	if err := b.Check(); err != nil {
		return layout.Refuse("%v", err)
	}
	if len(m.Layers) > MaxManifests || len(b.Images) > MaxImages {
		return layout.Refuse("it has %d manifests and %d images, and may have %d and %d", len(m.Layers), len(b.Images), MaxManifests, MaxImages)
	}
	b.artifact = ocispec.Descriptor{MediaType: d.MediaType, ArtifactType: Type, Digest: d.Digest, Size: d.Size}
	b.Digest, b.Signed = d.Digest, b.layout.JSON[d.Digest]
	all := int64(0)
	for _, l := range m.Layers {
		f := Manifest{l.Annotations[ocispec.AnnotationTitle], l.Digest, l.Size}
		switch {
		case l.MediaType != ManifestType:
			return layout.Refuse("a part of it is of the type %.100q, which this version of Solopod does not know", l.MediaType)
		case !fileForm.MatchString(f.File):
			return layout.Refuse("a manifest in it is called %.100q, which is no name of a manifest file", f.File)
		case slices.ContainsFunc(b.Manifests, func(other Manifest) bool { return other.File == f.File }):
			return layout.Refuse("it has two manifests of the name %s", f.File)
		case f.Size > decode.MaxFileSize:
			return layout.Refuse("%s has %d bytes, and may have %d", f.File, f.Size, decode.MaxFileSize)
		}
		if err := has(b.layout, l); err != nil {
			return err
		}
		if all += f.Size; all > MaxTexts {
			return layout.Refuse("its manifests have more than %d bytes together", MaxTexts)
		}
		b.Manifests = append(b.Manifests, f)
	}
	if len(b.Manifests) == 0 {
		return layout.Refuse("it has no manifests")
	}
	return nil
}

// images looks whether all of the images is there.
func (b *Bundle) images() error {
	seen, parts := map[string]bool{}, 0
	for _, i := range b.Images {
		if full, err := fullName(i.Name); err != nil || full != i.Name || seen[i.Name] {
			return layout.Refuse("an image in it is called %.100q, which is no full name of one, or is there twice", i.Name)
		}
		seen[i.Name] = true
		t, err := treeOf(b.layout, i.Target)
		if err != nil {
			return fmt.Errorf("image %s: %w", i.Name, err)
		}
		if parts += len(t.parts); parts > maxAllParts {
			return layout.Refuse("its images consist of more than %d parts", maxAllParts)
		}
		b.Contents = append(b.Contents, Content{t.size, t.platforms, t.parts})
	}
	return nil
}

// signature notes a signature, whose text is read later.
func (b *Bundle) signature(m ocispec.Manifest) error {
	if len(b.signatures) == MaxSignatures {
		return layout.Refuse("it has more than %d signatures", MaxSignatures)
	}
	if len(m.Layers) != 1 || m.Layers[0].Size > signature.MaxSize || has(b.layout, m.Layers[0]) != nil {
		return layout.Refuse("a signature in it is none")
	}
	b.signatures = append(b.signatures, part{Descriptor: m.Layers[0]})
	return nil
}

func (b *Bundle) readSignatures(ctx context.Context) error {
	texts, err := b.small(ctx, b.signatures)
	for i := range b.signatures {
		b.signatures[i].data = texts[b.signatures[i].Digest]
	}
	return err
}

// small reads blobs whose sizes were found to be small.
func (b *Bundle) small(ctx context.Context, list []part) (map[digest.Digest][]byte, error) {
	out := map[digest.Digest][]byte{}
	if len(list) == 0 {
		return out, nil
	}
	wanted := func(d digest.Digest) bool {
		return slices.ContainsFunc(list, func(p part) bool { return p.Digest == d })
	}
	err := b.layout.Copy(ctx, wanted, func(d digest.Digest, size int64, in io.Reader) error {
		text := make([]byte, size)
		_, err := io.ReadFull(in, text)
		out[d] = text
		return err
	})
	return out, err
}

// Texts reads the manifests: what each file holds, by its name.
func (b *Bundle) Texts(ctx context.Context) (map[string][]byte, error) {
	list := make([]part, len(b.Manifests))
	for i, m := range b.Manifests {
		list[i].Digest = m.Digest
	}
	texts, err := b.small(ctx, list)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, m := range b.Manifests {
		out[m.File] = texts[m.Digest]
	}
	return out, nil
}
