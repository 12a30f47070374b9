package testbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/engine/stored"
	"github.com/solopod/solopod/runner/foreign"
)

// Image is one that the Engine has.
type Image struct {
	engine.Image
	// Files of the image, by their paths without the first slash.
	Files map[string]string
	// Unsynced: it is not known to be on the disk.
	Unsynced bool
}

// shelf holds the images.
type shelf struct {
	*trace
	mu     sync.Mutex
	images map[string]*Image
}

// AddImage adds, or replaces, an image by its name in the full form.
func (e *shelf) AddImage(i Image) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i.Digest == "" {
		i.Digest = "sha256:" + strings.Repeat("1", 64)
	}
	if i.ChainID == "" {
		i.ChainID = "chain of " + i.Name
	}
	e.images[i.Name] = &i
}

// MountImage implements sandbox.Engine: the image's files lie on a tmpfs.
func (e *shelf) MountImage(ctx context.Context, image engine.Image, _, name, target string, _ *specs.LinuxIDMapping) error {
	if err := e.begin(ctx, "MountImage", name+" "+image.Name); err != nil {
		return err
	}
	return unix.Mount("image", target, "tmpfs", 0, "")
}

// ReleaseImages implements sandbox.Engine.
func (e *shelf) ReleaseImages(ctx context.Context, uid string) error {
	return e.begin(ctx, "ReleaseImages", uid)
}

// ReadFiles implements container.Changer.
func (e *shelf) ReadFiles(ctx context.Context, image engine.Image, names ...string) ([][]byte, error) {
	if err := e.begin(ctx, "ReadFiles", image.Name); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([][]byte, len(names))
	for i, name := range names {
		if text, ok := e.images[image.Name].Files[name]; ok {
			out[i] = []byte(text)
		}
	}
	return out, nil
}

// CopyDirs implements container.Changer: of the files those that lie right in the directories.
func (e *shelf) CopyDirs(ctx context.Context, image engine.Image, dirs map[string]string) error {
	if err := e.begin(ctx, "CopyDirs", image.Name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for from, to := range dirs {
		for name, text := range e.images[image.Name].Files {
			if path.Dir("/"+name) == from {
				f, err := foreign.OpenFile(filepath.Join(to, path.Base(name)), os.O_CREATE|os.O_WRONLY, 0o600)
				if err != nil {
					return err
				}
				if _, err := f.WriteString(text); err != nil {
					return errors.Join(err, f.Close())
				}
				if err := f.Close(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (e *shelf) image(name string) (*Image, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := e.images[name]; i != nil {
		return i, nil
	}
	return nil, fmt.Errorf("image %s: %w", name, engine.ErrNotFound)
}

// Image implements image.Library.
func (e *shelf) Image(ctx context.Context, name string) (engine.Image, error) {
	if err := e.begin(ctx, "Image", name); err != nil {
		return engine.Image{}, err
	}
	i, err := e.image(name)
	if err != nil {
		return engine.Image{}, err
	}
	return i.Image, nil
}

// Synced implements image.Library.
func (e *shelf) Synced(ctx context.Context, name string) (bool, error) {
	if err := e.begin(ctx, "Synced", name); err != nil {
		return false, err
	}
	i, err := e.image(name)
	if err != nil {
		return false, err
	}
	return !i.Unsynced, nil
}

// ListImages implements image.Library.
func (e *shelf) ListImages(ctx context.Context) ([]engine.Image, error) {
	if err := e.begin(ctx, "ListImages", ""); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []engine.Image
	for _, name := range slices.Sorted(maps.Keys(e.images)) {
		out = append(out, e.images[name].Image)
	}
	return out, nil
}

// ImageParts implements image.Library: an image is one part of its size.
func (e *shelf) ImageParts(ctx context.Context) (map[string]stored.Parts, error) {
	list, err := e.ListImages(ctx)
	out := map[string]stored.Parts{}
	for _, i := range list {
		out[i.Digest] = stored.Parts{i.Digest: i.Size}
	}
	return out, err
}

// RemoveImage implements image.Library.
func (e *shelf) RemoveImage(ctx context.Context, name, digest string) error {
	if err := e.begin(ctx, "RemoveImage", name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := e.images[name]; digest != "" && (i == nil || i.Digest != digest) {
		return fmt.Errorf("image %s: %w", name, engine.ErrNotFound)
	}
	delete(e.images, name)
	return nil
}

// Import implements image.Engine: an archive is the image's name.
func (e *shelf) Import(ctx context.Context, archive io.Reader, name func(string) (string, error), _ func(context.Context) error) ([]engine.Image, error) {
	text, err := io.ReadAll(archive)
	if err != nil {
		return nil, err
	}
	full, err := name(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, err
	}
	if err := e.begin(ctx, "Import", full); err != nil {
		return nil, err
	}
	e.AddImage(Image{Image: engine.Image{Name: full}})
	i, err := e.image(full)
	if err != nil {
		return nil, err
	}
	return []engine.Image{i.Image}, nil
}

// Digest is what registries say: what is present is the newest.
func (e *shelf) Digest(_ context.Context, name string, _ remote.Login) (string, error) {
	i, err := e.image(name)
	if err != nil {
		return "", err
	}
	return i.Digest, nil
}

// Pull implements image.Engine: every registry is empty but for what AddImage adds meanwhile. It asks for a login.
func (e *shelf) Pull(ctx context.Context, name string, access remote.Access, _ func(context.Context) error) (engine.Image, error) {
	host, _, _ := strings.Cut(name, "/")
	user, _, err := access.Login(host)
	if err != nil {
		return engine.Image{}, err
	}
	if err := e.begin(ctx, "Pull", strings.TrimSpace(name+" "+user)); err != nil {
		return engine.Image{}, err
	}
	e.AddImage(Image{Image: engine.Image{Name: name}})
	i, err := e.image(name)
	if err != nil {
		return engine.Image{}, err
	}
	return i.Image, nil
}
