package unrecorded

import (
	"context"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
)

// shelf has a record or none; when late, another makes one as soon as it was asked for.
type shelf struct {
	images.Store
	has, late bool
	fields    []string
}

func (s *shelf) Update(_ context.Context, image images.Image, fields ...string) (images.Image, error) {
	if !s.has {
		s.has = s.late
		return images.Image{}, errdefs.ErrNotFound
	}
	s.fields = fields
	return image, nil
}

func (s *shelf) Create(_ context.Context, image images.Image) (images.Image, error) {
	if s.has {
		return images.Image{}, errdefs.ErrAlreadyExists
	}
	s.has = true
	return image, nil
}

// There is a record in the end, and of one that there was no more changes than has to.
func TestRecord(t *testing.T) {
	image := images.Image{Name: "app", Labels: map[string]string{"a.b": "c"}}
	for name, c := range map[string]struct {
		shelf   shelf
		changes []string
	}{
		"none":      {shelf{}, nil},
		"one":       {shelf{has: true}, []string{"target", "labels.a.b"}},
		"one, late": {shelf{late: true}, []string{"target", "labels.a.b"}},
	} {
		got, err := Record(t.Context(), &c.shelf, image)
		if err != nil || got.Name != "app" || !c.shelf.has || !slices.Equal(c.shelf.fields, c.changes) {
			t.Errorf("%s: %v, %v; changed are %q", name, got, err, c.shelf.fields)
		}
	}
}

// What is only pulled is not recorded.
func TestUnrecorded(t *testing.T) {
	s := &shelf{}
	for what, write := range map[string]func(context.Context, images.Image) (images.Image, error){
		"create": store{s}.Create,
		"update": func(ctx context.Context, i images.Image) (images.Image, error) { return store{s}.Update(ctx, i) },
	} {
		if got, err := write(t.Context(), images.Image{Name: "app"}); err != nil || got.Name != "app" || s.has {
			t.Errorf("%s: %v, %v; recorded is %t", what, got, err, s.has)
		}
	}
}
