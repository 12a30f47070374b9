package image

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/stored"
)

// Came has a token when images have become ready since it was read last. It is for one reader.
func (s *Store) Came() <-chan struct{} { return s.came }

// Uses are when images were asked for last, or have become ready, in this run, by their digests.
func (s *Store) Uses() map[string]time.Time {
	out := map[string]time.Time{}
	s.uses.Range(func(digest, at any) bool {
		out[digest.(string)] = at.(time.Time)
		return true
	})
	return out
}

// Parts says what the images consist of, by their digests.
func (s *Store) Parts(ctx context.Context) (map[string]stored.Parts, error) {
	return s.engine.ImageParts(ctx)
}

// Pulling are the images that are being pulled, by their complete names.
func (s *Store) Pulling() []string { return s.puller.Names() }

// Matcher says which images a reference means, by complete names and digests. What is no reference means none.
func Matcher(ref string) func(name, digest string) bool {
	w, err := parse(ref)
	if err != nil {
		return func(string, string) bool { return false }
	}
	return w.means
}

func (w wanted) means(name, digest string) bool {
	return w.name == name || w.digest == digest && stored.Repository(w.name) == stored.Repository(name)
}

// Goes says which images go, by complete names and digests, when a reference is removed. With what is no reference none does.
func Goes(ref string) func(name, digest string) bool {
	w, err := parse(ref)
	if err != nil {
		return func(string, string) bool { return false }
	}
	return w.goes
}

func (w wanted) goes(name, digest string) bool {
	return name == w.name || w.means(name, digest) && (w.tagged == "" || name == w.tagged)
}

// noteLimit is how long the disk may take to have noted that an image is collected.
const noteLimit = 10 * time.Second

// Collect removes the names of an image to make room. An archive that has brought it is not imported anew for that, before somebody wants
// the image. A name that has come to mean another image since stays.
func (s *Store) Collect(ctx context.Context, names []string, digest string) error {
	began := time.Now()
	// Before, so that an end of the daemon in between does not have it imported, and removed, with each start.
	_, err := aside.Do(ctx, &s.places, "the list of imported archives", noteLimit, func() (struct{}, error) {
		return struct{}{}, s.directory.Collect(names, digest)
	})
	if err != nil { // as on the full disk that is to get room
		slog.Warn("cannot note that an image was collected; its archive, if it has one, may be imported again at the next start", "image", digest, "err", err)
	}
	var errs []error
	for _, name := range names {
		s.verified.Delete(name)
		if err := s.engine.RemoveImage(ctx, name, digest); err != nil && !errors.Is(err, engine.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		s.uses.Delete(digest)
	}
	err = errors.Join(errs...)
	s.count("remove", began, err)
	return err
}

// recall has the archive of a collected image imported anew, if there is one.
func (s *Store) recall(w wanted) (tried <-chan struct{}) { return s.directory.Want(w.means) }

// bringLimit is how long a pull waits for an archive, which may lie behind others or on a disk that is slow, before a registry is asked:
// as long as for the archives of the start.
const bringLimit = 2 * time.Minute

// bring waits until an image that was collected, and whose archive lies in the images directory, was imported anew, and returns the image
// if it is there then. It does not wait for ever.
func (s *Store) bring(ctx context.Context, ref string) (engine.Image, error) {
	w, err := parse(ref)
	if err != nil {
		return engine.Image{}, err
	}
	if tried := s.recall(w); tried != nil {
		limit := time.NewTimer(s.bringLimit)
		defer limit.Stop()
		select {
		case <-tried:
		case <-limit.C:
		case <-ctx.Done():
			return engine.Image{}, context.Cause(ctx)
		}
	}
	return s.find(ctx, w)
}
