// Package image knows the machine's images: which are there, which are ready, and where to get those that are not. Archives and
// registries have packages of their own below; an image counts as ready only when its unpacked files are on the disk.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/distribution/reference"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/engine/stored"
	"github.com/solopod/solopod/runner/image/archive"
	"github.com/solopod/solopod/runner/image/provider"
	"github.com/solopod/solopod/runner/image/pull"
)

// Credentials of registries, by host.
type Credentials = pull.Credentials

// Engine is where images are kept. Package engine implements it.
type Engine interface {
	Library
	// Import reads an archive; name gives references their full form, sync makes the disk have what was unpacked.
	Import(ctx context.Context, archive io.Reader, name func(string) (string, error), sync func(context.Context) error) ([]engine.Image, error)
	// Pull fetches an image by its full reference.
	Pull(ctx context.Context, name string, access remote.Access, sync func(context.Context) error) (engine.Image, error)
}

// Library knows the images that are present, by their full references.
type Library interface {
	Image(ctx context.Context, name string) (engine.Image, error)
	ListImages(ctx context.Context) ([]engine.Image, error)
	// RemoveImage removes an image by name; with a digest only while it has that one, and is engine.ErrNotFound else.
	RemoveImage(ctx context.Context, name, digest string) error
	// ImageParts says what the images consist of, by their digests.
	ImageParts(ctx context.Context) (map[string]stored.Parts, error)
	// Synced says whether the files of an image were known to be on the disk.
	Synced(ctx context.Context, name string) (bool, error)
}

// Settings say where images lie and come from. The zero value is for a machine with what is usual.
type Settings struct {
	// Outside: the unpacked images may lie on another file system than the root directory.
	Outside bool
	// Registries is how they are reached; nil: as containerd's hosts.toml files say.
	Registries *remote.Registries
	// Digest asks a registry which image a name means; nil: Registries do.
	Digest func(ctx context.Context, name string, login remote.Login) (string, error)
	// Providers know logins of registries where a pod has none; nil: there are none.
	Providers *provider.Providers
	// Parallel is how many images are pulled at once; zero stands for pull.AtOnce.
	Parallel int
	// Offline is what becomes of the policy Always when a registry does not answer; package policy knows the values.
	Offline string
}

// Store holds the machine's images. It is safe for concurrent use.
type Store struct {
	engine Engine
	// changed is told of images that have become ready.
	changed func(images []engine.Image)
	report  func(file string, err error)
	// count is told of each operation.
	count     func(operation string, began time.Time, err error)
	disk      *disk
	settings  Settings
	puller    *pull.Puller
	importer  *archive.Importer
	directory *archive.Directory
	// verified: names of images known to be synced in this run.
	verified sync.Map
	// uses are when images were asked for last, or have become ready, by their digests.
	uses sync.Map
	// came has a token when images have become ready since somebody has looked.
	came   chan struct{}
	places aside.Places
	// bringLimit is that of the same name.
	bringLimit time.Duration
}

// NewStore makes a store. changed is called after images
// became ready, report with the outcome for each archive of the watched directory, count after each import, pull and removal; all
// may be called from any goroutine.
func NewStore(e Engine, root string, settings Settings, changed func([]engine.Image), report func(file string, err error),
	count func(operation string, began time.Time, err error),
) *Store {
	if settings.Registries == nil {
		settings.Registries = remote.New(remote.DefaultDir)
	}
	if settings.Digest == nil {
		settings.Digest = settings.Registries.Digest
	}
	s := &Store{
		engine: e, changed: changed, report: report, count: count, disk: newDisk(root, settings.Outside), settings: settings,
		came: make(chan struct{}, 1), bringLimit: bringLimit,
	}
	s.puller = pull.New(s.fetch, settings.Parallel)
	s.importer = archive.NewImporter(s.read)
	s.directory = archive.NewDirectory(s.importer, filepath.Join(root, "archives.json"), archive.Outcome{Present: s.synced, Imported: s.ready, Report: report})
	return s
}

// Normalize gives an image reference its full form, as Docker and the kubelet do: nginx -> docker.io/library/nginx:latest.
func Normalize(ref string) (string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", fmt.Errorf("%w %q: %w", engine.ErrInvalidName, ref, err)
	}
	return named.String(), nil
}

// Get returns a ready image, or engine.ErrNotFound; an OtherDigestError where it has another digest. An image whose files were not
// known to be on the disk when the machine lost power is refused as not found.
func (s *Store) Get(ctx context.Context, ref string) (engine.Image, error) {
	w, err := parse(ref)
	if err != nil {
		return engine.Image{}, err
	}
	image, err := s.find(ctx, w)
	switch {
	case err == nil:
		s.uses.Store(image.Digest, time.Now())
	case errors.Is(err, engine.ErrNotFound):
		s.recall(w)
	}
	return image, err
}

// find returns the ready image that is wanted.
func (s *Store) find(ctx context.Context, w wanted) (engine.Image, error) {
	image, err := s.get(ctx, w.name)
	switch {
	case w.digest == "", err == nil && image.Digest == w.digest, err != nil && !errors.Is(err, engine.ErrNotFound):
		return image, err
	case err == nil: // an archive called it so
		err = fmt.Errorf("%w: image %s", engine.ErrNotFound, w.name)
	}
	return s.byDigest(ctx, w, err)
}

// get returns the ready image that is kept under a name.
func (s *Store) get(ctx context.Context, name string) (engine.Image, error) {
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
func (s *Store) List(ctx context.Context) ([]engine.Image, error) { return s.engine.ListImages(ctx) }

// Remove removes an image by reference; by a digest under all names that it has in the repository.
func (s *Store) Remove(ctx context.Context, ref string) error {
	w, err := parse(ref)
	if err != nil {
		return err
	}
	began := time.Now()
	names, err := s.named(ctx, w)
	for _, name := range names {
		s.verified.Delete(name)
		err = errors.Join(err, s.engine.RemoveImage(ctx, name, ""))
	}
	s.count("remove", began, err)
	return err
}

// Import reads an archive that somebody sends, or root, who waits for nobody else's: an OCI or Docker image, or several, as one tar file. It returns when ctx ends, or
// nothing comes for a minute.
func (s *Store) Import(ctx context.Context, archive io.Reader, root bool) ([]engine.Image, error) {
	images, err := s.importer.Stream(ctx, archive, root)
	if err == nil {
		s.ready(images)
	}
	return images, err
}

// read implements archive.Import.
func (s *Store) read(ctx context.Context, archive io.Reader, whole func() error) ([]engine.Image, error) {
	began := time.Now()
	images, err := s.engine.Import(ctx, archive, nameOf, func(ctx context.Context) error {
		if err := whole(); err != nil {
			return err
		}
		return s.disk.sync(ctx)
	})
	s.count("import", began, err)
	return images, err
}

// synced says whether an image is there and ready.
func (s *Store) synced(ctx context.Context, name string) bool {
	synced, err := s.engine.Synced(ctx, name)
	return err == nil && synced
}

func (s *Store) ready(images []engine.Image) {
	for _, image := range images {
		s.verified.Store(image.Name, true)
		s.uses.Store(image.Digest, time.Now())
	}
	s.changed(images)
	select {
	case s.came <- struct{}{}:
	default: // one is waiting
	}
}

// makeLimit is how long the images directory may take to be made.
const makeLimit = 5 * time.Second

// Watch imports the archives of dir, calls scanned when all that lay there was tried, or after two minutes, and goes on with every change
// until ctx ends. A directory that cannot be made or watched is reported.
func (s *Store) Watch(ctx context.Context, dir string, scanned func()) error {
	made := make(chan error, 1)
	go func() { made <- os.MkdirAll(dir, 0o755) }()
	select {
	case err := <-made:
		if err != nil {
			s.report(dir, fmt.Errorf("cannot make the images directory: %w", err))
		}
	case <-time.After(makeLimit): // a network file system; the directory tells of it
	case <-ctx.Done():
		return nil
	}
	return s.directory.Run(ctx, dir, scanned)
}
