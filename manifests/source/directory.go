// Package source reads the directory of manifests: it says which of its files count, as what, and tells what they change. How a directory is
// watched, and when a file counts as complete, changed or gone, is in package watch below.
package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/source/watch"
)

// Directory watches a directory of manifests.
type Directory struct {
	path    string
	opts    decode.Options
	set     *manifests.Set
	update  func(manifests.Snapshot)
	watcher *watch.Watcher[document]
	signing *signing // nil when nothing has to be signed
	changes changes
}

// document is what one file says.
type document struct {
	contents manifests.Contents
	problems manifests.Problems
	origin   manifests.Origin
	// secret: what problems quote of it may be a Secret's.
	secret bool
}

// NewDirectory prepares to watch path. known are the pods that an earlier run applied. update is called from Run's
// goroutine with each new desired state; it must not block for long.
func NewDirectory(path string, opts decode.Options, known []manifests.Desired, update func(manifests.Snapshot)) *Directory {
	d := &Directory{path: filepath.Clean(path), opts: opts, set: manifests.NewSet(known), update: update}
	names := make([]string, 0, len(known))
	for _, k := range known {
		names = append(names, k.File)
	}
	d.watcher = watch.New(watch.Options[document]{
		Dir: d.path, Wanted: IsManifest, Trust: checkWritable,
		Known: names, Load: d.load, Apply: d.apply,
	})
	d.changes = newChanges(d.set.Snapshot(time.Now()))
	return d
}

// Recall has what files said of Services and networks in an earlier run (Snapshot.Served) stay until they are read. It is called before Run and Tell.
func (d *Directory) Recall(said map[string]manifests.Contents) {
	d.set.Recall(said)
	for name := range said {
		d.watcher.Know(name)
	}
	d.changes = newChanges(d.set.Snapshot(time.Now()))
}

// RequireSignatures has no file used that is not signed. It is called before Run.
func (d *Directory) RequireSignatures(s Signing) {
	d.signing = newSigning(s)
	d.watcher.Pair(signatureSuffixes)
}

// Verify has all files verified again, for the clock by which keys are good was set. It may be called at any time.
func (d *Directory) Verify() { d.watcher.Reload() }

// Tell has tell called, from Run's goroutine, with what each version of a file changes; it must not block. It is called before Run.
func (d *Directory) Tell(tell func(manifests.Change)) { d.changes.tell = tell }

// Run reads the directory, calls update, and goes on with every change until ctx ends. It returns within a second then, whatever
// hangs.
func (d *Directory) Run(ctx context.Context) (err error) {
	if d.signing == nil {
		return d.watcher.Run(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	var keys sync.WaitGroup
	defer keys.Wait()
	defer cancel() // also where a panic ends this
	read := make(chan struct{})
	first := sync.OnceFunc(func() { close(read) })
	var watched error
	keys.Go(func() {
		watched = d.signing.watchKeys(ctx, func() {
			d.watcher.Reload()
			first()
		})
	})
	select {
	case <-read:
	case <-ctx.Done():
	case <-time.After(keysLimit):
	}
	err = d.watcher.Run(ctx)
	cancel()
	keys.Wait()
	return errors.Join(err, watched)
}

// load reads and decodes one file.
func (d *Directory) load(f *watch.File) (document, error) {
	defer f.Close() //nolint:errcheck // only read from
	name := filepath.Base(f.Name())
	data, err := io.ReadAll(io.LimitReader(f, decode.MaxFileSize+1))
	if err != nil {
		return document{}, err
	}
	if !f.Unchanged() {
		return document{}, watch.ErrBeingWritten
	}
	out, err := d.signing.decode(f.Name(), name, data, func() document { return decodeFile(name, f.Name(), f.Info, data, d.opts, asDaemon) })
	signer := out.origin.Signer
	out.origin, out.secret = originOf(f.Info), bytes.Contains(data, []byte("Secret"))
	out.origin.Signer = signer
	return out, err
}

// apply takes over what a look at the directory has brought.
func (d *Directory) apply(r watch.Round[document]) {
	now := time.Now()
	for name, l := range r.Loaded {
		d.set.Put(name, l.Value.contents, l.Value.problems, now)
	}
	for name, err := range r.Failed {
		d.set.Put(name, manifests.Contents{}, manifests.Problems{{File: name, Message: unusable(err)}}, now)
	}
	for _, name := range r.Gone {
		d.set.Drop(name)
	}
	waiting := make(map[string]string, len(r.Waiting))
	for name, err := range r.Waiting {
		waiting[name] = err.Error()
	}
	d.set.Await(waiting, now)
	message := ""
	if err := d.signing.problem(); err != nil {
		message = "no manifest can be verified: " + err.Error() + "; the pods stay as they are"
	}
	if r.Warning != "" {
		message = "the manifests directory " + d.path + " " + r.Warning + "; the pods stay as they are"
	}
	d.set.SetDirectoryError(message)
	s := d.set.Snapshot(now)
	if r.Unwatched != "" {
		s.Unwatched = "the manifests directory " + d.path + " " + r.Unwatched
	}
	d.changes.tellOf(r, &s)
	d.update(s)
}

// unusable says why a file cannot be used.
func unusable(err error) string {
	var mismatch *watch.Mismatch
	if errors.As(err, &mismatch) {
		return err.Error()
	}
	return "cannot be read: " + err.Error()
}

// IsManifest says whether a file of a manifests directory is read, by its name: *.yaml, *.yml and *.json, but no dotfiles and no files that
// editors make beside the one being edited.
func IsManifest(name string) bool {
	if name == "" || strings.ContainsAny(name[:1], ".#~") {
		return false
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}
