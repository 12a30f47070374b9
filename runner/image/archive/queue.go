package archive

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/manifests/source/watch"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/rescue"
)

var (
	errHangs   = errors.New("the file system does not answer; it is tried again after a while")
	errChanged = errors.New("it was changed while it was read")
)

// job is an archive that is to be tried. It is tried again, while it lies there, when it has failed for something that passes.
type job struct {
	version watch.Version
	// pause is how long was waited after the last failure; zero before the first.
	pause time.Duration
	// due is when it may be tried.
	due time.Time
}

// What has failed is tried again after the first of these, then after twice that, and so on up to the last: an import reads gigabytes
// from the flash that others use too.
const (
	firstPause = 10 * time.Second
	lastPause  = 5 * time.Minute
)

// work works the queue off until ctx ends.
func (d *Directory) work(ctx context.Context, scanned func()) {
	for ctx.Err() == nil {
		name, j, at := d.next(time.Now())
		if name != "" {
			before := j.version
			again := d.tryGuarded(ctx, name, &j)
			d.tried(name, before, j, again)
			continue
		}
		if d.firstOver(time.Now()) {
			scanned()
		}
		d.wait(ctx, at)
	}
}

// tryGuarded tries an archive. One that trips code over is bad: it would do so at each start.
func (d *Directory) tryGuarded(ctx context.Context, name string, j *job) (temporary bool) {
	err := rescue.Do("import the archive", func() error { temporary = d.try(ctx, name, j); return nil })
	if err != nil {
		d.outcome.Report(d.path(name), err)
	}
	return temporary
}

// wait waits until at, if it is not zero, or until there is something new.
func (d *Directory) wait(ctx context.Context, at time.Time) {
	var clock <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		clock = timer.C
	}
	select {
	case <-ctx.Done():
	case <-clock:
	case <-d.kick:
	}
}

// next is the first of the archives that may be tried now, awaited ones before others, then by name; without one, at is when there may be something to do.
func (d *Directory) next(now time.Time) (name string, j job, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waited.After(now) {
		at = d.waited
	}
	for other, o := range d.jobs {
		switch {
		case o.due.After(now):
			if at.IsZero() || o.due.Before(at) {
				at = o.due
			}
		case name == "" || d.before(other, name):
			name, j = other, o
		}
	}
	return name, j, at
}

// before says which of two archives is tried first, with mu held.
func (d *Directory) before(name, other string) bool {
	if awaited := d.awaited[name] != nil; awaited != (d.awaited[other] != nil) {
		return awaited
	}
	return name < other
}

// tried takes the job from the queue, or has it tried again. It is not this one any more when the file has changed meanwhile, or gone.
func (d *Directory) tried(name string, before watch.Version, j job, again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now, ok := d.jobs[name]; !ok || now.version != before {
		return
	}
	d.release(name) // a registry may have what has failed
	if !again {
		delete(d.jobs, name)
		return
	}
	j.pause = min(max(2*j.pause, firstPause), lastPause)
	j.due = time.Now().Add(j.pause)
	d.jobs[name] = j
}

// firstOver: every archive that lay there at the start was tried.
func (d *Directory) firstOver(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waited.IsZero() || now.Before(d.waited) {
		return false
	}
	for _, j := range d.jobs {
		if j.pause == 0 {
			return false
		}
	}
	return true
}

// passes says whether an import has failed for something that is not the archive's fault and passes by itself: a full disk, a file
// that was changed while it was read, something that does not answer. containerd hands some errors on as texts only.
func passes(err error) bool {
	for _, kind := range []error{unix.ENOSPC, unix.EDQUOT, errChanged, ErrStalled, engine.ErrUnanswered} {
		if errors.Is(err, kind) {
			return true
		}
	}
	text := err.Error()
	return strings.Contains(text, unix.ENOSPC.Error()) || strings.Contains(text, unix.EDQUOT.Error()) || errdefs.IsUnavailable(err)
}
