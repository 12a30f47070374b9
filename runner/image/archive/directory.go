package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/solopod/solopod/manifests/source/watch"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/rescue"
)

// Outcome is told what comes of a Directory. Its functions may be called from any goroutine.
type Outcome struct {
	// Present says whether an image is ready.
	Present func(ctx context.Context, name string) bool
	// Imported is told of images that have become ready.
	Imported func(images []engine.Image)
	// Report is told of each archive that was tried, and of the directory itself when something is wrong with it.
	Report func(file string, err error)
}

const (
	// firstLimit is how long the archives that lie there at the start may take: they are reported as tried then, whatever hangs.
	firstLimit = 2 * time.Minute
	// patience is how long a file that is being written at the start is waited for: on a file system without leases every file
	// looks so for a moment.
	patience = 5 * time.Second
	// endLimit is how long the end waits for what is being imported. Only a write of the ledger, on a disk that hangs, takes longer.
	endLimit = time.Second
)

// Directory imports the archives that lie in a directory, and those that come later. What is complete, new or gone is the business of
// package source; here is a queue of what it finds, which is worked off one by one.
type Directory struct {
	importer *Importer
	outcome  Outcome
	ledger   *ledger
	first    time.Duration
	// open opens a file; it may hang.
	open func(path string) (*watch.File, error)

	mu   sync.Mutex
	dir  string
	jobs map[string]job // by the file's name
	// seen are the versions that there are, by the file's name.
	seen map[string]watch.Version
	// awaited are archives of collected images that somebody wants, by the file's name; each is closed when it was tried.
	awaited map[string]chan struct{}
	// waited is until when the first round waits for files that are being written; zero before it.
	waited time.Time
	told   map[string]string // what was last told of the directory and of files that are being written
	// hung are the paths that a system call has not come back from; they are left alone until it has.
	hung map[string]func() bool
	kick chan struct{}
}

// NewDirectory makes a Directory that remembers in the file ledgerPath what it has imported.
func NewDirectory(i *Importer, ledgerPath string, o Outcome) *Directory {
	return &Directory{
		importer: i, outcome: o, ledger: openLedger(ledgerPath), first: firstLimit, open: watch.Open,
		jobs: map[string]job{}, seen: map[string]watch.Version{}, awaited: map[string]chan struct{}{}, told: map[string]string{}, hung: map[string]func() bool{}, kick: make(chan struct{}, 1),
	}
}

// Run imports what lies in dir, calls scanned when all of that was tried, or after two minutes, and goes on with what changes until ctx
// ends. It returns within a moment then, whatever hangs. It is called once.
func (d *Directory) Run(ctx context.Context, dir string, scanned func()) error {
	d.mu.Lock()
	d.dir = filepath.Clean(dir)
	d.mu.Unlock()
	watcher := watch.New(watch.Options[struct{}]{
		Dir: d.dir, Wanted: isArchive, Known: d.ledger.names(d.dir), LoadLimit: min(d.importer.quiet, 5*time.Second),
		// An import takes longer than a look at the directory may: only which version is complete is learned here.
		Load:  func(f *watch.File) (struct{}, error) { return struct{}{}, f.Close() },
		Apply: d.apply,
	})
	scanned = sync.OnceFunc(scanned)
	limit := time.AfterFunc(d.first, scanned)
	defer limit.Stop()
	ended := make(chan struct{})
	go func() { d.work(ctx, scanned); close(ended) }()
	err := watcher.Run(ctx)
	select {
	case <-ended:
	case <-time.After(endLimit):
		slog.Warn("the list of imported archives cannot be written; the disk does not answer")
	}
	return err
}

// apply takes over what a look at the directory has brought. That a file is gone removes no image.
func (d *Directory) apply(r watch.Round[struct{}]) {
	d.mu.Lock()
	for _, name := range r.Gone {
		d.drop(name)
		d.ledger.forget(d.path(name))
	}
	for name, l := range r.Loaded {
		d.jobs[name], d.seen[name] = job{version: l.Version}, l.Version
	}
	for name := range r.Failed {
		d.drop(name)
	}
	switch now := time.Now(); {
	case r.Pending == 0:
		d.waited = now
	case d.waited.IsZero():
		d.waited = now.Add(patience)
	}
	tell := d.news(r)
	d.mu.Unlock()
	for name, err := range r.Failed {
		d.outcome.Report(d.path(name), err)
	}
	tell()
	d.wake()
}

// drop takes a file from the queue that is of no use, with mu held.
func (d *Directory) drop(name string) {
	delete(d.jobs, name)
	delete(d.seen, name)
	d.release(name)
}

// release tells who waits for an archive that nothing more comes of it now, with mu held.
func (d *Directory) release(name string) {
	if done := d.awaited[name]; done != nil {
		close(done)
		delete(d.awaited, name)
	}
}

// wanted says whether somebody waits for an archive.
func (d *Directory) wanted(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.awaited[filepath.Base(path)] != nil
}

// Collect notes that images of a digest are about to be removed to make room, so that their archives, which lie here, are not imported
// anew before they are wanted. It may hang.
func (d *Directory) Collect(names []string, digest string) error {
	if !d.ledger.collect(names, digest) {
		return nil
	}
	return d.ledger.save()
}

// Want has the archive of a collected image imported anew: one whose name and digest means says is wanted. The channel is closed when
// that was tried; it is nil where no archive has it, or one that has failed is to be tried again only after a while.
func (d *Directory) Want(means func(name, digest string) bool) (tried <-chan struct{}) {
	path, found := d.ledger.collected(means)
	if !found {
		return nil
	}
	name := filepath.Base(path)
	d.mu.Lock()
	defer d.mu.Unlock()
	version, there := d.seen[name]
	if !there || d.dir != filepath.Dir(path) {
		return nil
	}
	j, queued := d.jobs[name]
	if !queued {
		j = job{version: version}
		d.jobs[name] = j
	}
	done := d.awaited[name]
	if done == nil {
		done = make(chan struct{})
		d.awaited[name] = done
	}
	d.wake()
	if j.due.After(time.Now()) {
		return nil
	}
	return done
}

// wake has the queue looked at.
func (d *Directory) wake() {
	select {
	case d.kick <- struct{}{}:
	default: // one is waiting
	}
}

// news notes, with mu held, what is to be told that was not told before; the function tells it, without mu.
func (d *Directory) news(r watch.Round[struct{}]) (tell func()) {
	now, out := map[string]string{}, []func(){}
	note := func(about, text string, tell func()) {
		if now[about] = text; d.told[about] != text {
			out = append(out, tell)
		}
	}
	if r.Warning != "" {
		note("warning", r.Warning, func() { d.outcome.Report(d.dir, errors.New("the images directory "+r.Warning)) })
	}
	if r.Unwatched != "" {
		// The reason may differ from look to look; it is told once for as long as it lasts.
		note("unwatched", "is", func() { d.outcome.Report(d.dir, errors.New("the images directory "+r.Unwatched)) })
	}
	for name, err := range r.Waiting {
		note("/"+name, err.Error(), func() { slog.Info("an archive waits to be imported", "archive", d.path(name), "why", err) })
	}
	d.told = now
	return func() {
		for _, f := range out {
			f()
		}
	}
}

func (d *Directory) path(name string) string { return filepath.Join(d.dir, name) }

// try imports one archive when it is new. temporary says that it has failed for something that passes by itself.
func (d *Directory) try(ctx context.Context, name string, j *job) (temporary bool) {
	path := d.path(name)
	if d.hangs(path) {
		return true
	}
	if d.known(ctx, path, j.version) {
		return false
	}
	f, err := d.reach(ctx, path)
	if err != nil {
		if ctx.Err() == nil {
			d.outcome.Report(path, err)
		}
		return errors.Is(err, errHangs)
	}
	defer f.Close() //nolint:errcheck // only read from
	if !same(f.Version, j.version) {
		// The watcher tells of this version too, or cannot see the change; then it must stay as it is for a while.
		j.version = f.Version
		return true
	}
	images, r, err := d.importer.importOne(ctx, f, whole(f), d.importer.files)
	if r.reading.Load() {
		d.leave(path, func() bool { return !r.reading.Load() })
	}
	if ctx.Err() != nil {
		return false // it is not the archive's fault
	}
	if err != nil {
		d.ledger.forget(path)
		if temporary = passes(err); temporary {
			err = fmt.Errorf("%w; it is tried again after a while", err)
		}
	} else {
		d.outcome.Imported(images)
		d.note(path, f.Version, images)
	}
	d.outcome.Report(path, err)
	return temporary
}

// whole makes a check that what was read is one version of the file.
func whole(f *watch.File) func() error {
	return func() error {
		info, err := f.Stat()
		if err != nil || !same(watch.VersionOf(info), f.Version) {
			return errors.Join(errChanged, err)
		}
		return nil
	}
}

// same: both hold the same. Another owner, mode or name, which source also counts as a change, is none here.
func same(a, b watch.Version) bool {
	a.Changed = b.Changed
	return a == b
}

// known: that version of the archive was imported, and what came of it is still there.
func (d *Directory) known(ctx context.Context, path string, v watch.Version) bool {
	entry, ok := d.ledger.find(path, v)
	if !ok {
		return false
	}
	wanted := d.wanted(path)
	for _, name := range entry.Images {
		if (wanted || entry.Collected[name] == "") && !d.outcome.Present(ctx, name) {
			return false
		}
	}
	return true
}

// note: an import that is not remembered is done again at the next start, and no more.
func (d *Directory) note(path string, v watch.Version, images []engine.Image) {
	names := make([]string, len(images))
	for i, image := range images {
		names[i] = image.Name
	}
	if err := d.ledger.note(path, v, names); err != nil {
		slog.Warn("cannot note that an archive was imported; it will be imported again at the next start", "archive", path, "err", err)
	}
}

// reach opens a file, which a network file system may not return from: then the path hangs, and the file is closed when it does.
func (d *Directory) reach(ctx context.Context, path string) (*watch.File, error) {
	type result struct {
		f   *watch.File
		err error
	}
	back := make(chan struct{})
	r, err := watch.Attempt(ctx, d.importer.quiet, func() (r result) {
		r.err = rescue.Do("open the archive", func() (err error) { r.f, err = d.open(path); return err })
		return r
	}, func(r result) {
		if r.err == nil {
			r.f.Close() //nolint:errcheck // only opened
		}
		close(back)
	})
	if err == nil {
		return r.f, r.err
	}
	d.leave(path, func() bool {
		select {
		case <-back:
			return true
		default:
			return false
		}
	})
	return nil, errHangs
}

func (d *Directory) leave(path string, over func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hung[path] = over
}

// hangs says whether something that was left behind still works on path.
func (d *Directory) hangs(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	over := d.hung[path]
	if over == nil {
		return false
	}
	if over() {
		delete(d.hung, path)
		return false
	}
	return true
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
