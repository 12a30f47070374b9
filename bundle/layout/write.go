package layout

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/runner/durable"
)

// Writer writes a layout as a tar stream. The same calls make the same bytes: no time, user or mode of the machine is in it.
type Writer struct {
	tar *tar.Writer
	has map[digest.Digest]bool
}

// NewWriter begins a stream. The caller closes the Writer.
func NewWriter(to io.Writer) *Writer {
	return &Writer{tar.NewWriter(to), map[digest.Digest]bool{}}
}

// Close ends the stream.
func (w *Writer) Close() error { return w.tar.Close() }

// File is a Writer to a file.
type File struct {
	*Writer
	path string
	file *os.File
	pack *zstd.Encoder // nil for none
}

// Create begins a file, which is there as a whole after Commit; until then it is a temporary one beside it. A name that ends with .zst has
// it compressed. Only its owner can read it: manifests may have Secrets. The caller calls Abort at the end, in any case.
func Create(at string) (*File, error) {
	if !strings.HasSuffix(at, ".tar") && !strings.HasSuffix(at, ".tar.zst") {
		return nil, fmt.Errorf("%s: the name must end with .tar or .tar.zst", at)
	}
	f, err := os.CreateTemp(filepath.Dir(at), "."+filepath.Base(at)+".*")
	if err != nil {
		return nil, err
	}
	w := &File{path: at, file: f}
	to := io.Writer(f)
	if strings.HasSuffix(at, ".zst") {
		// One thread: how the work is shared may show in what comes out.
		w.pack, err = zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
		to = w.pack
	}
	w.Writer = NewWriter(to)
	return w, nil
}

// Has says whether a blob was written.
func (w *Writer) Has(d digest.Digest) bool { return w.has[d] }

// Head writes what makes it a layout, with index.json. It comes first.
func (w *Writer) Head(index []byte) error {
	layout := []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`)
	if err := w.stream(ocispec.ImageLayoutFile, int64(len(layout)), bytes.NewReader(layout)); err != nil {
		return err
	}
	return w.stream(ocispec.ImageIndexFile, int64(len(index)), bytes.NewReader(index))
}

// Data writes a small blob, if it was not written, and returns its digest.
func (w *Writer) Data(data []byte) (digest.Digest, error) {
	d := digest.FromBytes(data)
	return d, w.Blob(d, int64(len(data)), bytes.NewReader(data))
}

// Blob writes a blob of size bytes, if it was not written. That it is what its digest says is for the caller to know.
func (w *Writer) Blob(d digest.Digest, size int64, in io.Reader) error {
	if w.has[d] {
		return nil
	}
	w.has[d] = true
	return w.stream(path.Join(blobs, d.Encoded()), size, in)
}

func (w *Writer) stream(name string, size int64, in io.Reader) error {
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644}); err != nil {
		return err
	}
	n, err := io.Copy(w.tar, in)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Commit ends the file and has it take its place, on the disk.
func (w *File) Commit() error {
	if err := w.Close(); err != nil {
		return err
	}
	if w.pack != nil {
		if err := w.pack.Close(); err != nil {
			return err
		}
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(w.file.Name(), w.path); err != nil {
		return err
	}
	err := errors.Join(w.file.Close(), durable.SyncDir(filepath.Dir(w.path)))
	w.file = nil
	return err
}

// Abort removes what was written, if it was not committed.
func (w *File) Abort() {
	if w.file == nil {
		return
	}
	if w.pack != nil {
		w.pack.Close() //nolint:errcheck // it is thrown away
	}
	w.file.Close()           //nolint:errcheck // it is thrown away
	os.Remove(w.file.Name()) //nolint:errcheck // what stays has a name that says what it was for
	w.file = nil
}
