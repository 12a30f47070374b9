// Package apply brings bundles onto a box: each is verified, its images are imported, and then all its manifests are switched in one step.
// That step is the renaming of one file of the manifests directory, which holds all manifests of the bundle: whenever the power goes, the old
// file is there or the new one, and an object that the new one no longer has goes with the old one.
package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/solopod/solopod/bundle"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/signature"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine/intake"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/rescue"
	"github.com/solopod/solopod/runner/turn"
)

// Box is where bundles are applied.
type Box struct {
	// Dir is a directory of Solopod's, on a disk.
	Dir string
	// Manifests is the manifests directory.
	Manifests string
	// Decode is how the manifests are read.
	Decode decode.Options
	// Keys reads the public keys of those who may sign.
	Keys func() (signature.Keys, error)
	// Files are the files of the manifests directory, with what they have.
	Files func() []manifests.File
	// Import brings an archive of images onto the disk, to its end.
	Import func(ctx context.Context, archive io.Reader) error

	turn   turn.Turn
	record *record
}

// patience is how long one who applies a bundle waits for another's to be applied.
const patience = 10 * time.Second

var errBusy = errors.New("another bundle is being applied; try again when that is done")

// ErrRefused says that a bundle is not applied for what it is, and not for how the box is.
var ErrRefused = errors.New("refused")

// refuse makes an ErrRefused that reads as the text alone.
func refuse(err error) error { return &refusal{err} }

type refusal struct{ error }

func (r *refusal) Is(target error) bool { return target == ErrRefused }

func (r *refusal) Unwrap() error { return r.error }

// Begin makes the directory, removes what an earlier run has left in it, and reads the record. told says what was lost; empty for nothing. It
// is called once, before all else.
func (b *Box) Begin() (told string, err error) {
	b.turn = turn.New(patience, errBusy)
	b.record, told = openRecord(filepath.Join(b.Dir, "record.json"))
	if err := os.MkdirAll(b.Dir, 0o700); err != nil {
		return told, err
	}
	entries, err := os.ReadDir(b.Dir)
	if err != nil {
		return told, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), incoming) || strings.HasPrefix(e.Name(), ".") { // or a record that was not written to its end
			err = errors.Join(err, foreign.RemoveAll(filepath.Join(b.Dir, e.Name())))
		}
	}
	return told, err
}

// incoming begins the names of files that are being received.
const incoming = "incoming-"

// Apply receives a bundle and applies it. With force it may be older than one that the box has had.
func (b *Box) Apply(ctx context.Context, from io.Reader, force bool) (Applied, error) {
	keys, err := b.Keys()
	if err != nil {
		return Applied{}, err
	}
	at, err := b.receive(from) // before the turn: who sends slowly keeps nobody out
	if err != nil {
		return Applied{}, err
	}
	defer os.Remove(at) //nolint:errcheck // the next start removes it
	give, err := b.turn.Take(ctx)
	if err != nil {
		return Applied{}, err
	}
	defer give()
	of, err := bundle.Open(ctx, at)
	if err != nil {
		return Applied{}, refuse(errors.New(strings.ReplaceAll(err.Error(), at+": ", "")))
	}
	return b.bring(ctx, of, keys, force)
}

// bring verifies a bundle, imports its images and switches its manifests.
func (b *Box) bring(ctx context.Context, of *bundle.Bundle, keys signature.Keys, force bool) (Applied, error) {
	now := Applied{Name: of.Name, Version: of.Version, Digest: of.Digest.String(), Time: time.Now().UTC().Truncate(time.Second)}
	var err error
	if now.Signer, err = of.Verify(keys, now.Time); err != nil {
		return now, refuse(err)
	}
	if !force {
		if err := b.record.older(now); err != nil {
			return now, refuse(err)
		}
	}
	texts, err := of.Texts(ctx)
	if err != nil {
		return now, err
	}
	text, err := b.judge(of, texts)
	if err != nil {
		return now, refuse(err)
	}
	if err := b.importImages(ctx, of); err != nil {
		return now, fmt.Errorf("cannot import its images: %w", err)
	}
	now.File = digest.FromBytes(text)
	// Noted first: after a power cut between both the same bundle is taken again, and an older one is not.
	if err := b.record.put(now); err != nil {
		return now, err
	}
	if err := durable.RemoveTemporary(b.File(now.Name)); err != nil { // what a kill has left may hold Secrets
		return now, err
	}
	return now, durable.WriteFile(b.File(now.Name), text, 0o600)
}

// File is the manifest file of a bundle.
func (b *Box) File(name string) string { return filepath.Join(b.Manifests, "bundle-"+name+".yaml") }

// often is after how many bytes the disk is looked at again.
const often = 16 << 20

// receive writes a bundle to the disk, as long as that has room.
func (b *Box) receive(from io.Reader) (at string, err error) {
	f, err := os.CreateTemp(b.Dir, incoming+"*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(f.Name()) //nolint:errcheck // the next start removes it
		}
	}()
	for {
		if err := intake.Disk(b.Dir).Take(often, 1); err != nil {
			return "", err
		}
		n, err := io.CopyN(f, from, often)
		if errors.Is(err, io.EOF) {
			return f.Name(), nil
		}
		if err != nil {
			return "", fmt.Errorf("cannot receive the bundle after %d bytes more: %w", n, err)
		}
	}
}

// judge makes one file of all manifests, and says what a daemon would have against it.
func (b *Box) judge(of *bundle.Bundle, texts map[string][]byte) ([]byte, error) {
	var all bytes.Buffer
	fmt.Fprintf(&all, "# Bundle %s %s, %s. \"solopod bundle apply\" writes this file anew; remove it to remove what it holds.\n", of.Name, of.Version, of.Digest)
	for _, m := range of.Manifests {
		text := bytes.TrimPrefix(texts[m.File], []byte("\ufeff")) // else as it is: spaces at its ends may belong to a value
		fmt.Fprintf(&all, "---\n# %s\n%s", m.File, text)
		if !bytes.HasSuffix(text, []byte("\n")) {
			all.WriteByte('\n')
		}
	}
	file := filepath.Base(b.File(of.Name))
	contents, problems := decode.Decode(file, all.Bytes(), b.Decode)
	if wrong := problems.Errors(); len(wrong) > 0 {
		return nil, fmt.Errorf("this box does not take its manifests: %w", wrong)
	}
	if err := b.taken(file, contents); err != nil {
		return nil, err
	}
	return all.Bytes(), nil
}

// taken says what another file has of what a bundle brings: of both the first by name would have it, and take it away from the other.
func (b *Box) taken(file string, contents manifests.Contents) error {
	alone := manifests.NewSet(nil)
	alone.Put(file, contents, nil, time.Time{})
	brings := map[string]bool{}
	for _, f := range alone.Snapshot(time.Time{}).Files {
		for _, name := range append(f.Pods, f.Objects...) {
			brings[name] = true
		}
	}
	for _, f := range b.Files() {
		if f.Name == file {
			continue
		}
		for _, name := range append(f.Pods, f.Objects...) {
			if brings[name] {
				return fmt.Errorf("%s is defined by %s already; remove it there, or give it another name in the bundle", name, f.Name)
			}
		}
	}
	return nil
}

// importImages hands the images on as a stream.
func (b *Box) importImages(ctx context.Context, of *bundle.Bundle) error {
	if len(of.Images) == 0 {
		return nil
	}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := rescue.Do("hand on images of a bundle", func() error { return of.WriteImages(ctx, w) })
		w.CloseWithError(err)
		written <- err
	}()
	err := b.Import(ctx, r)
	r.CloseWithError(errors.New("nobody reads on"))
	if ended := <-written; err == nil {
		return ended
	}
	return err
}

// List are the bundles that the box has had, by name.
func (b *Box) List() []Status {
	var out []Status
	for _, a := range b.record.list() {
		s := Status{Applied: a, State: "Applied"}
		text, err := durable.ReadFile(b.File(a.Name), decode.MaxFileSize)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.State = "Removed"
		case err != nil:
			s.State = "Unknown"
		case digest.FromBytes(text) != a.File:
			s.State = "Changed"
		}
		out = append(out, s)
	}
	return out
}

// Status is a bundle with what has become of it.
type Status struct {
	Applied
	// State is Applied, Removed where its file is gone, Changed where it is not what was applied, or Unknown.
	State string `json:"state"`
}
