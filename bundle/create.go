package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/solopod/solopod/bundle/layout"
	"github.com/solopod/solopod/manifests"
)

// Order is what a bundle is to have.
type Order struct {
	// Name and Version call the bundle; empty has them taken from annotations.
	Name, Version string
	Texts         []Text
	// Snapshot is what Judge has made of Texts.
	Snapshot manifests.Snapshot
	// Archives are the archives and layouts with the images.
	Archives []string
	// Partial leaves images out that are in no archive.
	Partial bool
}

// Made is a bundle that was made.
type Made struct {
	Description
	Digest digest.Digest
	// Missing are the images that were left out.
	Missing []string
}

// Create makes a bundle and writes it to a file, which is there when it is complete. The same order makes the same bytes.
func Create(ctx context.Context, o Order, to string) (Made, error) {
	m := Made{Description: Description{Images: []Image{}}}
	if err := m.call(&o); err != nil {
		return m, err
	}
	w, err := layout.Create(to)
	if err != nil {
		return m, err
	}
	defer w.Abort()
	stocks, parts, err := m.choose(ctx, &o)
	if err != nil {
		return m, err
	}
	files := make([]Manifest, len(o.Texts))
	for i, t := range o.Texts {
		files[i] = Manifest{t.File, digest.FromBytes(t.Data), int64(len(t.Data))}
	}
	a, config, err := artifact(m.Description, files)
	if err != nil {
		return m, err
	}
	m.Digest = a.Digest
	if err := begin(w.Writer, m.Description, a, config, nil); err != nil {
		return m, err
	}
	for _, t := range o.Texts {
		if _, err := w.Data(t.Data); err != nil {
			return m, err
		}
	}
	for _, s := range stocks {
		if err := s.write(ctx, w.Writer, parts); err != nil {
			return m, err
		}
	}
	return m, w.Commit()
}

// call gives the bundle its name and version.
func (m *Made) call(o *Order) error {
	if len(o.Texts) == 0 {
		return errors.New("a bundle has manifests: name them with -f")
	}
	name, err := annotated(&o.Snapshot, NameAnnotation)
	if err != nil && o.Name == "" {
		return err
	}
	version, err := annotated(&o.Snapshot, VersionAnnotation)
	if err != nil && o.Version == "" {
		return err
	}
	m.Name, m.Version = cmp.Or(o.Name, name), cmp.Or(o.Version, version)
	if m.Name == "" || m.Version == "" {
		return fmt.Errorf("the bundle needs a name and a version: --name and --version, or the annotations %s and %s on an object", NameAnnotation, VersionAnnotation)
	}
	return m.Check()
}

// choose finds the images that the manifests name in the archives. parts are all that they consist of.
func (m *Made) choose(ctx context.Context, o *Order) (stocks []*stock, parts map[digest.Digest]bool, err error) {
	names, err := imagesOf(&o.Snapshot)
	if err != nil {
		return nil, nil, err
	}
	if len(names) > MaxImages {
		return nil, nil, fmt.Errorf("the manifests name %d images, and a bundle has %d at most", len(names), MaxImages)
	}
	for _, at := range o.Archives {
		s, err := open(ctx, at)
		if err != nil {
			return nil, nil, err
		}
		stocks = append(stocks, s)
	}
	parts = map[digest.Digest]bool{}
	for _, name := range names {
		found, err := m.take(stocks, name, parts)
		if err != nil {
			return nil, nil, fmt.Errorf("image %s: %w", name, err)
		}
		if !found {
			m.Missing = append(m.Missing, name)
		}
	}
	if len(m.Missing) > 0 && !o.Partial {
		return nil, nil, fmt.Errorf("no archive has %s: name archives or layouts that do with --images, or leave images out with --partial, for boxes that have or can pull them",
			strings.Join(m.Missing, ", "))
	}
	return stocks, parts, nil
}

// take takes an image from the first archive that has it.
func (m *Made) take(stocks []*stock, name string, parts map[digest.Digest]bool) (found bool, err error) {
	for _, s := range stocks {
		target, ok := s.find(name)
		if !ok {
			continue
		}
		t, err := treeOf(s.Layout, target)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s.Path, err)
		}
		for d := range t.parts {
			parts[d] = true
		}
		m.Images = append(m.Images, Image{name, target})
		return true, nil
	}
	return false, nil
}

// write writes what of an archive belongs to the bundle and was not written.
func (s *stock) write(ctx context.Context, w *layout.Writer, parts map[digest.Digest]bool) error {
	for _, m := range s.made {
		if !parts[m.Digest] {
			continue
		}
		if _, err := w.Data(m.data); err != nil {
			return err
		}
	}
	return s.Copy(ctx, func(d digest.Digest) bool { return parts[d] && !w.Has(d) }, func(d digest.Digest, size int64, in io.Reader) error {
		return w.Blob(d, size, in)
	})
}

// begin writes what describes a bundle, so that it is known before what is large comes.
func begin(w *layout.Writer, d Description, a, config part, signatures []part) error {
	manifests := make([]part, len(signatures))
	for i, s := range signatures {
		var err error
		if manifests[i], err = signatureOf(a.Descriptor, s.data); err != nil {
			return err
		}
	}
	index, top, err := indexes(d, a.Descriptor, manifests)
	if err != nil {
		return err
	}
	if err := w.Head(top.data); err != nil {
		return err
	}
	list := []part{index, a, config}
	for i := range signatures {
		list = append(list, manifests[i], signatures[i], part{emptyConfig(), []byte("{}")})
	}
	for _, p := range list {
		if _, err := w.Data(p.data); err != nil {
			return err
		}
	}
	return nil
}
