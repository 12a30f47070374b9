package intake

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/runner/archive"
)

// ErrNoArchive says that what was read is neither an OCI nor a Docker archive.
var ErrNoArchive = errors.New("it is no image archive")

// Small blobs are kept in memory until it is known that the archive is good: an archive of thousands would else be written in vain.
// They are the indexes, manifests and configurations of usual archives.
const (
	maxSmall    = 128 << 10
	mostOfSmall = 4 << 20
)

// Archive reads image archives into a content store.
type Archive struct {
	Store content.Store
	// Name gives an image's name in the archive its full form; empty leaves the image out.
	Name func(string) (string, error)
	Disk Disk
}

// reading is one archive.
type reading struct {
	Archive
	ref    string
	blobs  map[string]ocispec.Descriptor // by the file's name, without media types
	links  map[string]string
	small  map[digest.Digest][]byte
	memory int
	// What describes the archive; nil when it is missing.
	layout, index, manifest []byte

	written int64 // since the disk was looked at
	entries int
	// blobsWritten are those of the archive's that went to the store at once. Each is some transactions of containerd's.
	blobsWritten int
	names        int   // how long all names are, which are kept in memory
	read         int64 // again, of what is in the store or in memory
}

// Read reads an archive, also one that is compressed as a whole, and returns its images. Their content is in the store, with the labels that
// protect it from containerd's garbage collector as soon as an image's record does. Until then the lease of ctx does.
func (a Archive) Read(ctx context.Context, from io.Reader) ([]images.Image, error) {
	unpacked, err := Unpack(from)
	if err != nil {
		return nil, err
	}
	defer unpacked.Close() //nolint:errcheck // only read from
	r := &reading{Archive: a, ref: "import-" + rand.Text() + "-", blobs: map[string]ocispec.Descriptor{}, links: map[string]string{}, small: map[digest.Digest][]byte{}}
	if err := r.files(ctx, tar.NewReader(unpacked)); err != nil {
		return nil, err
	}
	named, err := r.images(ctx)
	if err != nil {
		return nil, err
	}
	return named, r.keep(ctx, named)
}

// bounded ends a stream that unpacks to much more than was packed.
type bounded struct {
	io.Reader
	packed *counted
	n      int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.n += int64(n); tooLarge(b.n, b.packed.n) {
		return 0, refuse("%s of the archive unpack to %s or more: that is no honest archive. If it is, unpack it first", size(b.packed.n), size(b.n))
	}
	return n, err
}

// files reads all of the archive.
func (r *reading) files(ctx context.Context, in *tar.Reader) error {
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.entries++; r.entries > maxEntries {
			return refuse("the archive has more than %d files", maxEntries)
		}
		if len(h.Name) > maxName || len(h.Linkname) > maxName {
			return refuse("a file of the archive has a name of more than %d characters: %q...", maxName, h.Name[:min(len(h.Name), 60)])
		}
		if r.names += len(h.Name) + len(h.Linkname); r.names > maxNames {
			return refuse("the names of the archive's files take up more than %s", size(maxNames))
		}
		switch {
		case archive.IsSparse(h): // what is written of it is nowhere in the stream, where it would be counted
			err = refuse("it is a sparse file, which archives of images do not have: make it without them (tar without --sparse)")
		case h.Typeflag == tar.TypeReg:
			err = r.file(ctx, path.Clean(h.Name), h.Size, in)
		case h.Typeflag == tar.TypeSymlink: // docker save had them for layers that are the same
			r.links[path.Clean(h.Name)] = path.Join(path.Dir(h.Name), h.Linkname)
		}
		if err != nil {
			return fmt.Errorf("%q of the archive: %w", h.Name, err)
		}
	}
}

func (r *reading) file(ctx context.Context, name string, length int64, in io.Reader) (err error) {
	into := map[string]*[]byte{ocispec.ImageLayoutFile: &r.layout, ocispec.ImageIndexFile: &r.index, "manifest.json": &r.manifest}[name]
	if into != nil {
		if length > maxJSON {
			return refuse("it has %s, and may have %s", size(length), size(maxJSON))
		}
		*into, err = io.ReadAll(in)
		return err
	}
	expected := digestOf(name)
	if length <= maxSmall && r.memory+int(length) <= mostOfSmall {
		return r.remember(name, expected, in)
	}
	if r.blobsWritten++; r.blobsWritten > maxDescriptors {
		return refuse("the archive has more than %d blobs, which nothing can name", maxDescriptors)
	}
	if r.written += length; r.written >= oftenBytes {
		r.written = 0
		if err := r.Disk.Take(length, 1); err != nil {
			return err
		}
	}
	got, err := r.write(ctx, fmt.Sprint(r.ref, r.entries), expected, length, in)
	r.blobs[name] = ocispec.Descriptor{Digest: got, Size: length}
	return err
}

// digestOf is what a file's name says that it holds; empty when it says nothing that is known.
func digestOf(name string) digest.Digest {
	hex, ok := strings.CutPrefix(name, "blobs/sha256/")
	if d := digest.NewDigestFromEncoded(digest.SHA256, hex); ok && d.Validate() == nil {
		return d
	}
	return ""
}

func otherDigest(got digest.Digest) error {
	return refuse("it holds something else than its name says (%s): the archive is damaged; make or copy it again", got)
}

func (r *reading) remember(name string, expected digest.Digest, in io.Reader) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	got := digest.FromBytes(data)
	if expected != "" && got != expected {
		return otherDigest(got)
	}
	if _, known := r.small[got]; !known {
		r.memory += len(data)
		r.small[got] = data
	}
	r.blobs[name] = ocispec.Descriptor{Digest: got, Size: int64(len(data))}
	return nil
}

// write writes a blob to the store. The reference is the archive's own: others that bring the same do not wait for it.
func (r *reading) write(ctx context.Context, ref string, expected digest.Digest, length int64, in io.Reader) (got digest.Digest, err error) {
	hash := digest.Canonical.Digester()
	in = io.TeeReader(in, hash.Hash())
	w, err := content.OpenWriter(ctx, r.Store, content.WithRef(ref), content.WithDescriptor(ocispec.Descriptor{Digest: expected, Size: length}))
	if errdefs.IsAlreadyExists(err) { // the lease has it from now on
		_, err = io.Copy(io.Discard, in)
	} else if err == nil {
		defer func() {
			if w.Close(); err != nil { //nolint:errcheck // it was committed, or is thrown away
				r.abort(ctx, ref)
			}
		}()
		err = fillBlob(ctx, w, in, length)
	}
	got = hash.Digest()
	if err == nil && expected != "" && got != expected {
		err = otherDigest(got)
	}
	if err == nil && w != nil {
		// With a digest containerd would not give what exists to the lease (contentserver.go, Write), and it might go meanwhile.
		if err = w.Commit(ctx, length, ""); errdefs.IsAlreadyExists(err) {
			err = nil
		}
	}
	return got, err
}

// abortLimit is for the removal of half a blob. What is not removed goes with the lease.
const abortLimit = 5 * time.Second

func (r *reading) abort(ctx context.Context, ref string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortLimit)
	defer cancel()
	if err := r.Store.Abort(ctx, ref); err != nil {
		slog.Debug("half a blob is left until its lease ends", "err", err)
	}
}

// fillBlob has a writer hold a blob. One that begins with content stands for what the disk has already, of another namespace or of an import
// that was cut off (containerd, core/metadata/content.go, Writer): what is written to it would come behind that.
func fillBlob(ctx context.Context, to content.Writer, from io.Reader, length int64) error {
	begun, err := to.Status()
	switch {
	case err != nil:
		return err
	case begun.Offset == 0:
		return copyBlob(ctx, to, from, length)
	case begun.Offset == length:
		_, err = io.Copy(io.Discard, from)
		return err
	}
	return fmt.Errorf("the store holds %d bytes under the digest of a blob of %d", begun.Offset, length)
}

// copyBlob ends with ctx: a call for each piece is too little for those that come slowly.
func copyBlob(ctx context.Context, to io.Writer, from io.Reader, length int64) error {
	buffer := make([]byte, ahead)
	for length > 0 && ctx.Err() == nil {
		n, err := io.ReadFull(from, buffer[:min(length, int64(len(buffer)))])
		if err != nil {
			return err
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
		length -= int64(n)
	}
	return context.Cause(ctx)
}

// images are what the archive names, with the form that it has.
func (r *reading) images(ctx context.Context) ([]images.Image, error) {
	switch {
	case r.layout != nil:
		var layout ocispec.ImageLayout
		if err := json.Unmarshal(r.layout, &layout); err != nil {
			return nil, fmt.Errorf("%s of the archive: %w", ocispec.ImageLayoutFile, err)
		}
		if layout.Version != ocispec.ImageLayoutVersion {
			return nil, refuse("the archive has version %.20q of the OCI layout, and %s is known", layout.Version, ocispec.ImageLayoutVersion)
		}
		return r.ofIndex()
	case r.manifest != nil:
		return r.ofDocker(ctx)
	}
	return nil, ErrNoArchive
}

func (r *reading) ofIndex() ([]images.Image, error) {
	if r.index == nil {
		return nil, refuse("the archive has no %s", ocispec.ImageIndexFile)
	}
	var index ocispec.Index
	if err := json.Unmarshal(r.index, &index); err != nil {
		return nil, fmt.Errorf("%s of the archive: %w", ocispec.ImageIndexFile, err)
	}
	if len(index.Manifests) > maxDescriptors {
		return nil, refuse("the archive names more than %d images", maxDescriptors)
	}
	var list []images.Image
	for _, m := range index.Manifests {
		name := m.Annotations[images.AnnotationImageName]
		if name == "" {
			name = m.Annotations[ocispec.AnnotationRefName]
		}
		image, err := r.named(name, m)
		if err != nil {
			return nil, err
		}
		list = append(list, image...)
	}
	return list, nil
}

// named is the image of a name; there is none without one.
func (r *reading) named(name string, target ocispec.Descriptor) ([]images.Image, error) {
	if name == "" {
		return nil, nil
	}
	full, err := r.Name(name)
	if err != nil || !utf8.ValidString(full) {
		return nil, refuse("the archive calls an image %s, which is no image's name (like web:1 or registry.example/team/web:1): give it one (docker tag, skopeo copy)", shown(name))
	}
	if full == "" {
		return nil, nil
	}
	return []images.Image{{Name: full, Target: target}}, nil
}

// shown is a name for an error: it may be long, and have anything in it.
func shown(name string) string {
	const most = 80
	if len(name) > most {
		return fmt.Sprintf("%q... (%d characters)", name[:most], len(name))
	}
	return fmt.Sprintf("%q", name)
}

// readerAt is a small blob.
type readerAt struct{ *bytes.Reader }

func (readerAt) Close() error { return nil }

// again is a blob that is read again. An archive of a few MiB may name the same thing from thousands of places, and have it read and
// decoded for each.
type again struct {
	content.ReaderAt
	reading *reading
}

func (a again) ReadAt(p []byte, at int64) (int, error) {
	n, err := a.ReaderAt.ReadAt(p, at)
	if a.reading.read += int64(n); a.reading.read > maxRead {
		return 0, refuse("what describes the images of the archive has to be read over and over, more than %s of it", size(maxRead))
	}
	return n, err
}

// ReaderAt reads a blob of the archive, or one that the store has. It ends with ctx.
func (r *reading) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if data, ok := r.small[desc.Digest]; ok {
		return again{readerAt{bytes.NewReader(data)}, r}, nil
	}
	blob, err := r.Store.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	return again{blob, r}, nil
}

// Intact says whether content is what its digest says.
func Intact(ctx context.Context, store content.Provider, info content.Info) bool {
	blob, err := store.ReaderAt(ctx, ocispec.Descriptor{Digest: info.Digest, Size: info.Size})
	if err != nil {
		return false
	}
	defer blob.Close() //nolint:errcheck // only read from
	verifier := info.Digest.Verifier()
	if _, err := io.Copy(verifier, content.NewReader(blob)); err != nil {
		return false
	}
	return verifier.Verified()
}
