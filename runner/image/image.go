// Package image brings images to the machine: from archives in a directory, from archives given by command, and from
// registries. An image counts as ready only when its unpacked files are on the disk.
package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine"
)

// Store holds the machine's images. It is safe for concurrent use.
type Store struct {
	engine *engine.Engine
	// root is a path on the file system that holds the unpacked images, unless they are elsewhere.
	root      string
	elsewhere bool
	// changed is told the names of images that have become ready.
	changed func(names []string)
	report  func(file string, err error)
	// count is told of each operation.
	count  func(operation string, began time.Time, err error)
	mu     sync.Mutex // one import or pull at a time: flash and memory are small
	ledger *ledger
	// verified: names of images known to be synced in this run.
	verified sync.Map
}

// NewStore makes a store. elsewhere: the unpacked images may lie on another file system than root. changed is called after images
// became ready, report with the outcome for each archive of the watched directory, count after each import, pull and removal; all
// may be called from any goroutine.
func NewStore(e *engine.Engine, root string, elsewhere bool, changed func([]string), report func(file string, err error),
	count func(operation string, began time.Time, err error),
) *Store {
	return &Store{engine: e, root: root, elsewhere: elsewhere, changed: changed, report: report, count: count, ledger: openLedger(filepath.Join(root, "archives.json"))}
}

// Normalize gives an image reference its full form, as Docker and the kubelet do: nginx -> docker.io/library/nginx:latest.
func Normalize(ref string) (string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", fmt.Errorf("invalid image reference %q: %w", ref, err)
	}
	return named.String(), nil
}

// Get returns a ready image, or engine.ErrNotFound. An image whose files were not known to be on the disk when the
// machine lost power is refused with ErrNotSynced.
func (s *Store) Get(ctx context.Context, ref string) (engine.Image, error) {
	name, err := Normalize(ref)
	if err != nil {
		return engine.Image{}, err
	}
	if _, ok := s.verified.Load(name); !ok {
		synced, err := s.engine.Synced(ctx, name)
		if err != nil {
			return engine.Image{}, err
		}
		if !synced {
			return engine.Image{}, fmt.Errorf("%w: image %s was imported or pulled by something else, or interrupted; import it again",
				engine.ErrNotFound, name)
		}
	}
	image, err := s.engine.Image(ctx, name)
	if err == nil {
		s.verified.Store(name, true)
	}
	return image, err
}

// List returns all images.
func (s *Store) List(ctx context.Context) ([]engine.Image, error) { return s.engine.Images(ctx) }

// Remove removes an image by reference.
func (s *Store) Remove(ctx context.Context, ref string) error {
	name, err := Normalize(ref)
	if err != nil {
		return err
	}
	s.verified.Delete(name)
	began := time.Now()
	err = s.engine.RemoveImage(ctx, name)
	s.count("remove", began, err)
	return err
}

// Import reads an archive: an OCI or Docker image, or several, as one tar file.
func (s *Store) Import(ctx context.Context, archive io.Reader) ([]engine.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	images, err := s.engine.Import(ctx, archive, func(name string) string {
		full, err := Normalize(name)
		if err != nil {
			return name
		}
		return full
	}, s.sync)
	s.count("import", began, err)
	if err != nil {
		return nil, explain(err)
	}
	if len(images) == 0 {
		return nil, errors.New("the archive names no image: give it a reference (org.opencontainers.image.ref.name or io.containerd.image.name)")
	}
	s.ready(images...)
	return images, nil
}

// explain adds what to do to errors whose own words do not say it.
func explain(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "unrecognized image format") {
		return fmt.Errorf("%w (is it a complete OCI or Docker archive? docker save, podman save and skopeo copy make them)", err)
	}
	return err
}

// Pull fetches an image from its registry, with credentials where it has them.
func (s *Store) Pull(ctx context.Context, ref string, logins Credentials) (engine.Image, error) {
	name, err := Normalize(ref)
	if err != nil {
		return engine.Image{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if image, err := s.Get(ctx, ref); err == nil {
		return image, nil // another pod was first
	}
	began := time.Now()
	image, err := s.engine.Pull(ctx, name, logins.For, s.sync)
	s.count("pull", began, err)
	if err != nil {
		return engine.Image{}, err
	}
	s.ready(image)
	return image, nil
}

// sync makes what was unpacked durable.
func (s *Store) sync() error {
	if s.elsewhere {
		unix.Sync() // an outside containerd does not say where it unpacks
		return nil
	}
	return durable.SyncFileSystem(s.root)
}

func (s *Store) ready(images ...engine.Image) {
	names := make([]string, len(images))
	for i, image := range images {
		names[i] = image.Name
		s.verified.Store(image.Name, true)
	}
	s.changed(names)
}

// Scan imports what is new in dir. It does not fail as a whole: each archive's outcome is reported.
func (s *Store) Scan(ctx context.Context, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if !os.IsNotExist(err) {
			s.report(dir, err)
		}
		return
	}
	for _, e := range entries {
		if ctx.Err() != nil || !isArchive(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if s.imported(ctx, path, info) {
			continue
		}
		s.report(path, s.importFile(ctx, path, info))
	}
}

// imported: the archive is as it was when it was last read, and what came of it is still there.
func (s *Store) imported(ctx context.Context, path string, info os.FileInfo) bool {
	entry, ok := s.ledger.find(path, info)
	if !ok {
		return false
	}
	for _, name := range entry.Images {
		if synced, err := s.engine.Synced(ctx, name); err != nil || !synced {
			return false
		}
	}
	return true
}

func (s *Store) importFile(ctx context.Context, path string, info os.FileInfo) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	images, err := s.Import(ctx, f)
	if err != nil {
		s.ledger.forget(path)
		return err
	}
	names := make([]string, len(images))
	for i, image := range images {
		names[i] = image.Name
	}
	return s.ledger.note(path, info, names)
}

// isArchive: *.tar, also compressed; no dotfiles.
func isArchive(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	for _, suffix := range []string{".tar", ".tar.gz", ".tgz", ".tar.zst", ".oci"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// archiveSettle is how long an archive must be left alone before it is read.
const archiveSettle = 500 * time.Millisecond

// Watch scans dir, calls scanned, and goes on with every change until ctx ends.
func (s *Store) Watch(ctx context.Context, dir string, scanned func()) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot use the images directory: %w", err)
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch the images directory: %w", err)
	}
	defer w.Close() //nolint:errcheck // nothing is written
	if err := w.Add(dir); err != nil {
		return fmt.Errorf("cannot watch the images directory %s: %w", dir, err)
	}
	s.Scan(ctx, dir)
	scanned()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			if isArchive(filepath.Base(e.Name)) {
				settled = time.After(archiveSettle)
			}
		case err := <-w.Errors:
			slog.Warn("missed changes of the images directory; it is read again", "dir", dir, "err", err)
			settled = time.After(archiveSettle)
		case <-settled:
			settled = nil
			s.Scan(ctx, dir)
		}
	}
}
