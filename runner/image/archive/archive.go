// Package archive brings images from archives: files of a watched directory, and streams that somebody sends.
package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/intake"
)

// Import reads an archive to its end and returns its images. Before they count as ready it asks whole whether what was read is of use; its
// error is an error of Import's. Import returns when ctx ends, also when a read does not.
type Import func(ctx context.Context, archive io.Reader, whole func() error) ([]engine.Image, error)

// Imports at once: one file, as flash and memory are small, and beside it two streams, which may be as slow as the link that they
// come by, and must not hold the files up. Root has as many of its own, which nobody else can hold up.
const (
	filesAtOnce   = 1
	streamsAtOnce = 2
)

// quietLimit is how long a read of an archive may take: of a disk that spins up, of a network file system, of a client's link.
const quietLimit = time.Minute

// ErrStalled says that an archive gave nothing for too long.
var ErrStalled = errors.New("nothing more came of the archive")

// Importer imports archives. It is safe for concurrent use.
type Importer struct {
	read                  Import
	quiet                 time.Duration
	files, streams, roots chan struct{}
}

// NewImporter makes an Importer.
func NewImporter(read Import) *Importer {
	return &Importer{
		read: read, quiet: quietLimit, files: make(chan struct{}, filesAtOnce),
		streams: make(chan struct{}, streamsAtOnce), roots: make(chan struct{}, streamsAtOnce),
	}
}

// Stream imports an archive that somebody sends, or root. It returns when ctx ends or nothing comes for a minute; then a read may still
// go on.
func (i *Importer) Stream(ctx context.Context, archive io.Reader, root bool) ([]engine.Image, error) {
	slots := i.streams
	if root {
		slots = i.roots
	}
	images, _, err := i.importOne(ctx, archive, func() error { return nil }, slots)
	return images, err
}

// importOne also returns the archive's reader, which tells whether a read that was left behind still goes on.
func (i *Importer) importOne(ctx context.Context, archive io.Reader, whole func() error, slots chan struct{}) ([]engine.Image, *reader, error) {
	r := &reader{from: archive, quiet: i.quiet}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, r, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.timer = time.AfterFunc(i.quiet, func() { cancel(fmt.Errorf("%w for %s", ErrStalled, i.quiet)) })
	defer r.timer.Stop()
	r.timer.Stop() // it runs during reads
	images, err := i.read(ctx, r, whole)
	if err != nil {
		return nil, r, explain(err)
	}
	if len(images) == 0 {
		return nil, r, errors.New("the archive names no image: give it a reference (org.opencontainers.image.ref.name or io.containerd.image.name)")
	}
	return images, r, nil
}

// reader times each read.
type reader struct {
	from    io.Reader
	quiet   time.Duration
	timer   *time.Timer
	reading atomic.Bool
}

func (r *reader) Read(b []byte) (int, error) {
	r.reading.Store(true)
	r.timer.Reset(r.quiet)
	n, err := r.from.Read(b)
	r.timer.Stop()
	r.reading.Store(false)
	return n, err
}

// explain adds what to do to errors whose own words do not say it.
func explain(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, intake.ErrNoArchive) {
		return fmt.Errorf("%w (is it a complete OCI or Docker archive? docker save, podman save and skopeo copy make them)", err)
	}
	return err
}
