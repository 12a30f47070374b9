// Package bundle makes, reads and signs bundles: files that carry an application, its manifests and its images. A bundle is an OCI image
// layout, so that tools for registries carry it:
//
//	index.json       names the bundle's index, with the version as its tag
//	  index          of the type Type; names all that follows
//	    artifact     of the type Type; its configuration is a Description, its layers are the manifests
//	    images       as they are in the archives that they come from; they share layers
//	    signatures   of the type SignatureType; each signs the artifact's bytes
//
// The artifact has digests of all else, so that its digest stands for the bundle, and a signature of it for the whole.
package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/bundle/layout"
)

// Media types and types of artifacts.
const (
	Type            = "application/vnd.solopod.bundle.v1"
	DescriptionType = "application/vnd.solopod.bundle.description.v1+json"
	ManifestType    = "application/vnd.solopod.bundle.manifest.v1+yaml"
	SignatureType   = "application/vnd.solopod.bundle.signature.v1"
	// NameAnnotation and VersionAnnotation on an object of the manifests say what the bundle is called.
	NameAnnotation    = "solopod.io/bundle-name"
	VersionAnnotation = "solopod.io/bundle-version"
	// imageName is containerd's annotation for the name of an image in an archive.
	imageName = "io.containerd.image.name"
)

// What a bundle may have.
const (
	MaxManifests  = 1000
	MaxImages     = 1000
	MaxSignatures = 20
	// MaxTexts is for all manifests together, in bytes: they are read into memory.
	MaxTexts = 32 << 20
)

// Description is the configuration of a bundle's artifact.
type Description struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Images  []Image `json:"images"`
}

// Image is an image of a bundle.
type Image struct {
	// Name is as manifests name it, in its full form.
	Name   string             `json:"name"`
	Target ocispec.Descriptor `json:"target"`
}

// Manifest is a file of manifests.
type Manifest struct {
	File   string        `json:"file"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

var (
	nameForm    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	versionForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*(-[0-9A-Za-z]+([.-][0-9A-Za-z]+)*)?$`)
	fileForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.(yaml|yml|json)$`)
)

// maxVersion is for a version, in bytes: it is a tag in registries, which take 128.
const maxVersion = 64

// Check says what is wrong with the name and the version.
func (d Description) Check() error {
	if !nameForm.MatchString(d.Name) {
		return fmt.Errorf("the bundle's name %.80q is none: it has lower-case letters, digits and -, 63 at most", d.Name)
	}
	if len(d.Version) > maxVersion || !versionForm.MatchString(d.Version) {
		return fmt.Errorf("the bundle's version %.80q is none: it is numbers with dots, and may have a suffix, as in 1.2.0 or 1.3.0-rc.1", d.Version)
	}
	return nil
}

// descriptor describes data.
func descriptor(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// part is JSON of a bundle, with what names it.
type part struct {
	ocispec.Descriptor
	data []byte
}

// encode makes JSON, the same of the same.
func encode(mediaType string, of any) (part, error) {
	data, err := json.Marshal(of)
	return part{descriptor(mediaType, data), data}, err
}

var versioned = specs.Versioned{SchemaVersion: 2}

// artifact makes the artifact of a bundle, and its configuration.
func artifact(d Description, files []Manifest) (a, config part, err error) {
	if config, err = encode(DescriptionType, d); err != nil {
		return a, config, err
	}
	m := ocispec.Manifest{
		Versioned: versioned, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: Type, Config: config.Descriptor,
		Annotations: map[string]string{ocispec.AnnotationTitle: d.Name, ocispec.AnnotationVersion: d.Version},
	}
	for _, f := range files {
		m.Layers = append(m.Layers, ocispec.Descriptor{
			MediaType: ManifestType, Digest: f.Digest, Size: f.Size, Annotations: map[string]string{ocispec.AnnotationTitle: f.File},
		})
	}
	if a, err = encode(ocispec.MediaTypeImageManifest, m); err == nil && a.Size > layout.MaxJSON {
		err = errors.New("it has too many manifests or images for one bundle")
	}
	a.ArtifactType = Type
	return a, config, err
}

// signatureOf makes the artifact of a signature.
func signatureOf(a ocispec.Descriptor, text []byte) (part, error) {
	a.Annotations = nil
	s, err := encode(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: versioned, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: SignatureType, Config: emptyConfig(),
		Layers: []ocispec.Descriptor{descriptor(SignatureType, text)}, Subject: &a,
	})
	s.ArtifactType = SignatureType
	return s, err
}

// emptyConfig is the configuration of an artifact that has none (OCI image-spec, manifest.md).
func emptyConfig() ocispec.Descriptor {
	e := ocispec.DescriptorEmptyJSON
	e.Data = nil
	return e
}

// indexes makes the bundle's index, and the one that names it.
func indexes(d Description, a ocispec.Descriptor, signatures []part) (index, top part, err error) {
	i := ocispec.Index{
		Versioned: versioned, MediaType: ocispec.MediaTypeImageIndex, ArtifactType: Type, Manifests: []ocispec.Descriptor{a},
		Annotations: map[string]string{ocispec.AnnotationTitle: d.Name, ocispec.AnnotationVersion: d.Version},
	}
	for _, image := range d.Images {
		t := image.Target
		t.Annotations = map[string]string{imageName: image.Name}
		i.Manifests = append(i.Manifests, t)
	}
	for _, s := range signatures {
		i.Manifests = append(i.Manifests, s.Descriptor)
	}
	if index, err = encode(ocispec.MediaTypeImageIndex, i); err != nil {
		return index, top, err
	}
	named := index.Descriptor
	named.ArtifactType, named.Annotations = Type, map[string]string{ocispec.AnnotationRefName: d.Version}
	top, err = encode(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: versioned, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{named}})
	return index, top, err
}
