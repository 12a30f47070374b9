package layout

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// blobs is the directory of a layout that has them.
	blobs = "blobs/sha256"
	// DockerManifest is the file that describes the images of docker save and podman save.
	DockerManifest = "manifest.json"
	// MaxJSON is for an index, a manifest or a configuration, in bytes: registries take 4 MiB.
	MaxJSON = 4 << 20
	// maxKept is for all of them that are kept, in bytes.
	maxKept = 32 << 20
	// maxDecoded is for all that is decoded of them, in bytes: what names one blob a thousand times has it decoded as often.
	maxDecoded = 128 << 20
)

// Compression is how a blob is compressed, by its first bytes.
type Compression string

// The compressions that layers have.
const (
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// Blob is what is known of a blob.
type Blob struct {
	Size        int64
	Compression Compression // empty for none that is known
}

// Layout is what a layout holds, without what is large. Each blob was read, and is what its digest says.
type Layout struct {
	// Path is where it lies.
	Path string
	// Index is what index.json says; nil where there is none, as in archives of docker save before version 25.
	Index *ocispec.Index
	// Docker is DockerManifest; nil where there is none.
	Docker []byte
	// Blobs are all files but those that describe the layout, by digest.
	Blobs map[digest.Digest]Blob
	// JSON are the blobs that may be an index, a manifest or a configuration.
	JSON map[digest.Digest][]byte
	// names has the digests of files that have no digest as a name, and links where links lead.
	names map[string]digest.Digest
	links map[string]string
	// decoded is what Decode was asked for, in bytes.
	decoded int
}

// Decode decodes a blob of JSON.
func (l *Layout) Decode(d digest.Digest, into any) error {
	text, ok := l.JSON[d]
	if !ok {
		return Refuse("%s is no JSON, or has more than %d bytes", d, MaxJSON)
	}
	if l.decoded += len(text); l.decoded > maxDecoded {
		return Refuse("its parts name each other so often that more than %d bytes of them would have to be decoded", maxDecoded)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return Refuse("%s is not what it should be: %v", d, err)
	}
	return nil
}

// Read reads a layout once, to its end: a directory, or a tar file.
func Read(ctx context.Context, at string) (*Layout, error) {
	l := &Layout{Path: at, Blobs: map[digest.Digest]Blob{}, JSON: map[digest.Digest][]byte{}, names: map[string]digest.Digest{}, links: map[string]string{}}
	r := reading{l, 0, nil, nil}
	if err := walk(ctx, at, r.file); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if err := r.describe(); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return l, nil
}

type reading struct {
	*Layout
	kept          int
	layout, index []byte
}

func (r *reading) file(f file) (err error) {
	if f.link != "" {
		r.links[f.name] = f.link
		return nil
	}
	into := map[string]*[]byte{ocispec.ImageLayoutFile: &r.layout, ocispec.ImageIndexFile: &r.index, DockerManifest: &r.Docker}[f.name]
	if into != nil {
		if f.size > MaxJSON {
			return Refuse("%s in it has %d bytes, and may have %d", f.name, f.size, MaxJSON)
		}
		*into, err = io.ReadAll(f)
		return err
	}
	got, b, text, err := r.blob(f)
	if err != nil {
		return err
	}
	if expected := digestOf(f.name); expected == "" {
		r.names[f.name] = got
	} else if got != expected {
		return Refuse("%s in it holds something else than its name says (%s): it is damaged; make or copy it again", f.name, got)
	}
	r.Blobs[got] = b
	if text != nil {
		r.JSON[got] = text
	}
	return nil
}

// blob reads a blob. text is its content, where it may be JSON.
func (r *reading) blob(f file) (got digest.Digest, b Blob, text []byte, err error) {
	in := bufio.NewReaderSize(f, readAhead)
	first, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", b, nil, err
	}
	b = Blob{f.size, compressionOf(first)}
	hash := sha256.New()
	if len(first) > 0 && first[0] == '{' && f.size <= MaxJSON {
		if r.kept += int(f.size); r.kept > maxKept {
			return "", b, nil, Refuse("what describes its images takes up more than %d bytes", maxKept)
		}
		if text, err = io.ReadAll(in); err == nil {
			hash.Write(text)
		}
	} else {
		_, err = io.Copy(hash, in)
	}
	return digest.NewDigest(digest.SHA256, hash), b, text, err
}

// readAhead is how much is read at a time.
const readAhead = 256 << 10

func compressionOf(first []byte) Compression {
	switch {
	case bytes.HasPrefix(first, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(first, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	}
	return ""
}

// digestOf is what a file's name says that it holds; empty when it says nothing that is known.
func digestOf(name string) digest.Digest {
	dir, hex := path.Split(name)
	if d := digest.NewDigestFromEncoded(digest.SHA256, hex); strings.TrimSuffix(dir, "/") == blobs && d.Validate() == nil {
		return d
	}
	return ""
}

// describe takes what describes the layout.
func (r *reading) describe() error {
	if r.layout == nil && r.Docker == nil {
		return Refuse("it has no %s: it is no OCI layout", ocispec.ImageLayoutFile)
	}
	if r.layout == nil {
		return nil
	}
	var layout ocispec.ImageLayout
	if err := json.Unmarshal(r.layout, &layout); err != nil {
		return Refuse("%s in it is no JSON: %v", ocispec.ImageLayoutFile, err)
	}
	if layout.Version != ocispec.ImageLayoutVersion {
		return Refuse("it has version %.20q of the OCI layout, and %s is known", layout.Version, ocispec.ImageLayoutVersion)
	}
	if r.index == nil {
		return Refuse("it has no %s: is it complete?", ocispec.ImageIndexFile)
	}
	r.Index = &ocispec.Index{}
	if err := json.Unmarshal(r.index, r.Index); err != nil {
		return Refuse("%s in it is no index: %v", ocispec.ImageIndexFile, err)
	}
	return nil
}

// Named finds a file by the name that an archive of docker save gives it.
func (l *Layout) Named(name string) (digest.Digest, bool) {
	name = path.Clean(name)
	if to, ok := l.links[name]; ok {
		name = to
	}
	if d, ok := l.names[name]; ok {
		return d, true
	}
	d := digestOf(name)
	_, ok := l.Blobs[d]
	return d, ok
}

// Copy reads the layout again and hands on the blobs that are wanted, each once. to reads each to its end; what it got is what the
// digest says when Copy returns no error.
func (l *Layout) Copy(ctx context.Context, wanted func(digest.Digest) bool, to func(d digest.Digest, size int64, in io.Reader) error) error {
	done := map[digest.Digest]bool{}
	err := walk(ctx, l.Path, func(f file) error {
		d, ok := l.names[f.name]
		if !ok {
			d = digestOf(f.name)
		}
		if d == "" || f.link != "" || done[d] || !wanted(d) {
			return nil
		}
		done[d] = true
		if f.size != l.Blobs[d].Size {
			return changed(f.name)
		}
		hash := sha256.New()
		if err := to(d, f.size, io.TeeReader(f, hash)); err != nil {
			return err
		}
		if got := digest.NewDigest(digest.SHA256, hash); got != d {
			return changed(f.name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", l.Path, err)
	}
	return nil
}

func changed(name string) error {
	return Refuse("%s in it was changed while it was read; try again when nobody writes to it", name)
}
