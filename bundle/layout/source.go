// Package layout reads and writes OCI image layouts as streams: directories, and tar files as they are or compressed. Whoever made what is
// read may mean harm: sizes and numbers are bounded, no name leads anywhere, and each blob is what its digest says, or an error.
package layout

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/runner/archive"
	"github.com/solopod/solopod/runner/engine/intake"
	"github.com/solopod/solopod/runner/foreign"
)

// What a layout may have. Real ones stay far below.
const (
	// maxFiles is for the files of a layout.
	maxFiles = 100_000
	// maxName is for a file's name, in bytes: they are digests.
	maxName = 1024
	// maxNames is for all of them, in bytes: they are kept in memory.
	maxNames = 16 << 20
)

// ErrRefused says that a layout asks for more than any needs, is damaged, or is none: it is the file's fault, and lasts.
var ErrRefused = errors.New("refused")

// Refuse makes an ErrRefused that reads as the text alone.
func Refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func (r *refusal) Is(target error) bool { return target == ErrRefused }

// file is a file of a layout. Its content is good until the next one is asked for.
type file struct {
	name string // clean, with slashes
	size int64
	link string // where a symbolic link leads, within the archive; empty for others
	io.Reader
}

// walk calls each with the files of the layout at path, in the order in which they come. It ends with ctx.
func walk(ctx context.Context, at string, each func(file) error) error {
	dir, err := isDir(at)
	if err != nil {
		return err
	}
	if dir {
		return walkDir(ctx, at, each)
	}
	f, err := foreign.OpenFollowing(at)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	if err := walkTar(patient{ctx, f}, each); err != nil {
		return explain(err)
	}
	return nil
}

// explain adds what to do to errors whose own words do not say it.
func explain(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (is it a complete tar file of an OCI layout? copy it again)", err)
	}
	return err
}

// isDir says whether a path leads to a directory, without opening what is there.
func isDir(at string) (bool, error) {
	f, err := foreign.FindFollowing(at)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only looked at
	kind, err := foreign.KindOf(f)
	return kind == foreign.Directory, err
}

// patient ends a stream with its context.
type patient struct {
	ctx context.Context
	io.Reader
}

func (p patient) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	return p.Reader.Read(b)
}

func walkTar(packed io.Reader, each func(file) error) error {
	unpacked, err := intake.Unpack(packed)
	if err != nil {
		return err
	}
	defer unpacked.Close() //nolint:errcheck // only read from
	in, names := tar.NewReader(unpacked), 0
	for n := 1; ; n++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) && n == 1 {
			return Refuse("it holds nothing: it is no OCI layout")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		names += len(h.Name) + len(h.Linkname)
		switch {
		case n > maxFiles:
			return Refuse("it has more than %d files", maxFiles)
		case len(h.Name) > maxName || len(h.Linkname) > maxName:
			return Refuse("a file in it has a name of more than %d characters: %.60q...", maxName, h.Name)
		case names > maxNames:
			return Refuse("the names of its files take up more than %d bytes", maxNames)
		case archive.IsSparse(h): // what is written of it is nowhere in the stream, where it would be counted
			return Refuse("%q in it is a sparse file: make it without them (tar without --sparse)", h.Name)
		}
		f := file{name: path.Clean(h.Name), size: h.Size, Reader: in}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeSymlink: // docker save had them for layers that are the same
			f.link, f.size = path.Join(path.Dir(f.name), h.Linkname), 0
		default: // directories, and what no layout has
			continue
		}
		if err := each(f); err != nil {
			return err
		}
	}
}

// walkDir reads the files that a layout has, and no others.
func walkDir(ctx context.Context, at string, each func(file) error) error {
	dir, err := foreign.OpenDir(at, foreign.Beneath)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only read from
	list, err := fs.ReadDir(dir.FS(), blobs)
	if err != nil {
		return fmt.Errorf("it is no OCI layout: %w", err)
	}
	if len(list) > maxFiles {
		return Refuse("it has more than %d files", maxFiles)
	}
	names := []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile}
	for _, e := range list {
		names = append(names, path.Join(blobs, e.Name()))
	}
	for _, name := range names {
		if err := walkFile(ctx, dir, name, each); err != nil {
			return err
		}
	}
	return nil
}

func walkFile(ctx context.Context, dir *foreign.Dir, name string, each func(file) error) error {
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return each(file{name: name, size: info.Size(), Reader: io.LimitReader(patient{ctx, f}, info.Size())})
}
