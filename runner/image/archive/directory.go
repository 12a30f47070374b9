package archive

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/foreign"
)

// Directory imports the archives that lie in a directory, and those that come later.
type Directory struct {
	importer *Importer
	// present says whether an image is ready.
	present func(ctx context.Context, name string) bool
	// imported is told of images that have become ready, report of the outcome for each archive.
	imported func(images []engine.Image)
	report   func(file string, err error)
	ledger   *ledger

	mu sync.Mutex
	// hung are the paths that a system call has not come back from; they are left alone until it has.
	hung map[string]func() bool
}

// NewDirectory makes a Directory that remembers in the file ledgerPath what it has imported. imported is told of images that have become
// ready, and report of the outcome for each archive; both may be called from any goroutine.
func NewDirectory(i *Importer, ledgerPath string, present func(ctx context.Context, name string) bool, imported func([]engine.Image),
	report func(file string, err error),
) *Directory {
	return &Directory{importer: i, present: present, imported: imported, report: report, ledger: openLedger(ledgerPath), hung: map[string]func() bool{}}
}

// Run scans dir, calls scanned, and scans again whenever changes receives, until ctx ends. It returns at once then, whatever hangs.
func (d *Directory) Run(ctx context.Context, dir string, changes <-chan struct{}, scanned func()) {
	for {
		done := make(chan struct{})
		go func() { d.Scan(ctx, dir); close(done) }()
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
		if scanned != nil {
			scanned()
			scanned = nil
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return
		}
	}
}

// Scan imports what is new in dir. It does not fail as a whole: each archive's outcome is reported.
func (d *Directory) Scan(ctx context.Context, dir string) {
	var entries []os.DirEntry
	err := d.look(ctx, dir, func() (err error) { entries, err = os.ReadDir(dir); return err })
	if err != nil {
		if !os.IsNotExist(err) && ctx.Err() == nil {
			d.report(dir, err)
		}
		return
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return
		}
		if isArchive(e.Name()) {
			d.scanFile(ctx, filepath.Join(dir, e.Name()))
		}
	}
}

// scanFile imports one archive when it is new. What is no file, a FIFO or a directory of that name, is none.
func (d *Directory) scanFile(ctx context.Context, path string) {
	if d.hangs(path) {
		return
	}
	var f *os.File
	var info fs.FileInfo
	err := d.look(ctx, path, func() (err error) {
		f, info, err = open(path)
		return err
	})
	if err != nil || f == nil {
		if err != nil && !os.IsNotExist(err) && ctx.Err() == nil {
			d.report(path, err)
		}
		return
	}
	defer f.Close() //nolint:errcheck // only read from
	if d.known(ctx, path, info) {
		return
	}
	images, r, err := d.importer.importOne(ctx, f, d.importer.files)
	if r.reading.Load() {
		d.set(path, func() bool { return !r.reading.Load() })
	}
	if ctx.Err() != nil {
		return // it is not the archive's fault
	}
	if err != nil {
		d.ledger.forget(path)
	} else {
		d.imported(images)
		d.note(path, info, images)
	}
	d.report(path, err)
}

// open opens a regular file; another kind of file is no error and no file.
func open(path string) (*os.File, fs.FileInfo, error) {
	found, err := foreign.FindFollowing(path)
	if err != nil {
		return nil, nil, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	if kind, err := foreign.KindOf(found); err != nil || kind != foreign.Regular {
		return nil, nil, err
	}
	f, err := foreign.Reopen(found, foreign.Regular, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	return f, info, err
}

// known: the archive is as it was when it was last read, and what came of it is still there.
func (d *Directory) known(ctx context.Context, path string, info fs.FileInfo) bool {
	entry, ok := d.ledger.find(path, info)
	if !ok {
		return false
	}
	for _, name := range entry.Images {
		if !d.present(ctx, name) {
			return false
		}
	}
	return true
}

// note: an import that is not remembered is done again at the next start, and no more.
func (d *Directory) note(path string, info fs.FileInfo, images []engine.Image) {
	names := make([]string, len(images))
	for i, image := range images {
		names[i] = image.Name
	}
	if err := d.ledger.note(path, info, names); err != nil {
		slog.Warn("cannot note that an archive was imported; it will be imported again at the next start", "archive", path, "err", err)
	}
}

// look runs a look at path, which a network file system may not return from: then path hangs.
func (d *Directory) look(ctx context.Context, path string, look func() error) error {
	done := make(chan error, 1)
	go func() { done <- look() }()
	limit := time.NewTimer(d.importer.quiet)
	defer limit.Stop()
	var err error
	select {
	case err := <-done:
		return err
	case <-limit.C:
		err = fmt.Errorf("the file system of %s does not answer", path)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	d.set(path, func() bool { return len(done) > 0 })
	return err
}

func (d *Directory) set(path string, over func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hung[path] = over
}

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
