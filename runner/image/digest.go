package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/distribution/reference"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/stored"
)

// wanted is what a reference names. With a digest that alone counts, and a tag beside it is for people, as with Docker and the
// kubelet.
type wanted struct {
	name   string // complete: as Normalize gives it
	tagged string // with the tag, when it has one
	digest string
}

func parse(ref string) (wanted, error) {
	name, err := Normalize(ref)
	if err != nil {
		return wanted{}, err
	}
	w := wanted{name: name}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return w, fmt.Errorf("invalid image reference %q: %w", ref, err)
	}
	if d, ok := named.(reference.Digested); ok {
		w.digest = d.Digest().String()
	}
	if t, ok := reference.TagNameOnly(named).(reference.Tagged); ok {
		w.tagged = reference.TrimNamed(named).Name() + ":" + t.Tag()
	}
	return w, nil
}

// nameOf is under which name an image of an archive is kept. A digest beside a tag is left out: it would be of an archive's word
// alone, and each image has a digest name by what it holds. What is no reference is an error: no pod could ask for it.
func nameOf(ref string) (string, error) {
	w, err := parse(ref)
	switch {
	case err != nil:
		return "", err
	case w.tagged != "":
		return w.tagged, nil
	}
	return w.name, nil
}

// OtherDigestError says that an image is present, but not with the digest that was asked for.
type OtherDigestError struct {
	Wanted  string
	Present engine.Image
}

func (e *OtherDigestError) Error() string {
	return fmt.Sprintf("image %s is not present; there is %s", e.Wanted, e.instead())
}

func (e *OtherDigestError) Unwrap() error { return engine.ErrNotFound }

func (e *OtherDigestError) instead() string {
	return e.Present.Name + " with the digest " + e.Present.Digest
}

// Instead is what there is in place of an image that is not present: it has another digest. It is empty when there is nothing.
func Instead(err error) string {
	var other *OtherDigestError
	if errors.As(err, &other) {
		return other.instead()
	}
	return ""
}

// byDigest finds a ready image that is kept under another name than one with its digest, as those of archives are: the digest
// name is not kept anywhere, so that it goes with the last of them. cause says why there is none by that name.
func (s *Store) byDigest(ctx context.Context, w wanted, cause error) (engine.Image, error) {
	list, err := s.engine.ListImages(ctx)
	if err != nil {
		return engine.Image{}, err
	}
	var other *engine.Image
	for _, i := range list {
		switch {
		case i.DigestName() == w.name:
			found, err := s.get(ctx, i.Name)
			if err == nil || !errors.Is(err, engine.ErrNotFound) {
				return found, err
			}
			cause = err
		case i.Name == w.tagged, other == nil && stored.Repository(i.Name) == stored.Repository(w.name):
			other = &i
		}
	}
	if other != nil {
		return engine.Image{}, &OtherDigestError{w.name, *other}
	}
	return engine.Image{}, cause
}

// named are the images that a reference means when they are to be removed: one by its name, or by a digest all that have it in a
// repository, and with a tag only that one.
func (s *Store) named(ctx context.Context, w wanted) ([]string, error) {
	if w.digest == "" {
		return []string{w.name}, nil
	}
	list, err := s.engine.ListImages(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range list {
		if w.goes(i.Name, i.Digest) {
			names = append(names, i.Name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("image %s: %w", w.name, engine.ErrNotFound)
	}
	return names, nil
}
