package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what is watched, and what is done with it.
type Options[T any] struct {
	// Dir is the directory. It need not exist yet.
	Dir string
	// Wanted says which names of the directory are files of interest. Directories never are.
	Wanted func(name string) bool
	// Beside are suffixes of files that belong to the one without the suffix, two at most: when one of them comes, changes or goes the
	// file is loaded again. They are only looked at; Load reads them.
	Beside []string
	// Trust may refuse the directory, with an error that says what to do. It may be nil.
	Trust func(dir string, info fs.FileInfo) error
	// Known names files that an earlier run has used: when they are missing at the start they are gone.
	Known []string
	// Load makes of a complete file what Apply wants. It is called in a goroutine of its own; it may take LoadLimit, must bound
	// what it reads, and closes f. An error means that the file cannot be used; ErrBeingWritten that it is to be tried again, a *Mismatch
	// that it waits for what belongs to it, a *Later that something else is in the way.
	Load func(f *File) (T, error)
	// LoadLimit is how long a file system may take to answer; 5 s if it is zero. A file, or a directory, that takes longer is
	// left behind and told.
	LoadLimit time.Duration
	// Apply is called from the goroutine of Run with what each look at the directory has brought, if that is anything, and once
	// after the first look in any case. It must not block for long.
	Apply func(Round[T])
}

// Round is what one look at the directory has brought.
type Round[T any] struct {
	// Loaded are the files that are new or have changed.
	Loaded map[string]Loaded[T]
	// Failed are the files that cannot be used from now on, and why: no regular file, a link that leads nowhere, a file system
	// that does not answer.
	Failed map[string]error
	// Waiting are all files that are not used yet, and why: they have been open for writing for a while, or something else is in the way.
	Waiting map[string]error
	// Gone are the files that count as deleted from now on.
	Gone []string
	// Pending is the number of files that are being written, or do not answer.
	Pending int
	// Warning says what is wrong with the directory as a whole ("does not exist ..."); its files then stay as they are. It is
	// empty when nothing is.
	Warning string
	// Unwatched says why changes are noticed late; empty when they are not.
	Unwatched string
}

// Mismatch says that a file does not fit what stands beside it. Both may just be replaced, so it counts, as one of Round.Failed,
// when they have been still for a while.
type Mismatch struct{ Err error }

func (m *Mismatch) Error() string { return m.Err.Error() }
func (m *Mismatch) Unwrap() error { return m.Err }

// Later says that a file is good and cannot be used now. It is tried again.
type Later struct{ Err error }

func (l *Later) Error() string { return l.Err.Error() }
func (l *Later) Unwrap() error { return l.Err }

// Loaded is the value of one file.
type Loaded[T any] struct {
	Version Version
	Value   T
}

// Watcher watches a directory of files that people and tools put there, and tells of complete files and of deletions.
//
// Its rules: a file is complete when nobody has it open for writing. A name that is missing must be missing twice, half a second
// apart, before it is gone. A directory in the place of the known one (swapped, mounted over, unmounted), or one that lost all of
// its files at once, is told and must settle. Nothing that hangs stops the rest, or the end.
type Watcher[T any] struct {
	o     Options[T]
	judge *judge

	notifier notifier
	way      way
	behind   []place // the directories that links lead into
	links    bool

	// What hangs, and what of it has returned.
	hung     map[string]bool // by file; "" stands for the directory
	mu       sync.Mutex
	returned []string
	kick     chan struct{}

	waiting  map[string]error
	warning  string
	answered bool // Apply was called
	epoch    atomic.Uint64
}

// New prepares to watch.
func New[T any](o Options[T]) *Watcher[T] {
	o.Dir = filepath.Clean(o.Dir)
	if o.LoadLimit == 0 {
		o.LoadLimit = 5 * time.Second
	}
	return &Watcher[T]{
		o: o, judge: newJudge(usualTimes, o.Known), notifier: notifier{what: o.Dir},
		hung: map[string]bool{}, kick: make(chan struct{}, 1), waiting: map[string]error{},
	}
}

// Run looks at the directory and goes on with every change until ctx ends. It returns within a moment then, whatever hangs.
func (w *Watcher[T]) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var mounts sync.WaitGroup
	mounted := make(chan struct{}, 1)
	if table := openMounts(); table != nil { // before the first look, so that no change is missed
		mounts.Go(func() { table.watch(ctx, mounted) })
	}
	defer mounts.Wait()
	defer cancel()
	defer w.close()
	for ctx.Err() == nil {
		began := time.Now()
		again := w.look(ctx)
		// Looks take a third of the time at most: a storm of changes does not become a storm of looks.
		if !sleep(ctx, min(2*time.Since(began), 2*time.Second)) {
			return nil
		}
		w.wait(ctx, again, mounted)
		w.drain(ctx)
	}
	return nil
}

// Pair sets Options.Beside. It is called before Run.
func (w *Watcher[T]) Pair(suffixes []string) { w.o.Beside = suffixes }

// Know adds names of files that an earlier run has used (Options.Known). It is called before Run.
func (w *Watcher[T]) Know(name string) { w.judge.know(name) }

// Reload has all files loaded again, for something else that they depend on has changed. It may be called at any time.
func (w *Watcher[T]) Reload() {
	w.epoch.Add(1)
	w.wakeUp()
}

func (w *Watcher[T]) wakeUp() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// concerns says whether a name of the directory is that of a wanted file, or of one that belongs to such a file.
func (o *Options[T]) concerns(name string) bool {
	of, _ := o.belongs(name)
	return of != "" || o.Wanted(name)
}

// belongs says to which file another one belongs, and which of Beside it is; the name is empty for none.
func (o *Options[T]) belongs(name string) (of string, which int) {
	for i, suffix := range o.Beside {
		if of, ok := strings.CutSuffix(name, suffix); ok && o.Wanted(of) {
			return of, i
		}
	}
	return "", 0
}

// close gives the watches back. Closing can hang where setting one does.
func (w *Watcher[T]) close() {
	if n := w.notifier; n.watcher != nil {
		closed := func() struct{} { n.close(); return struct{}{} }
		Attempt(context.Background(), time.Second/2, closed, func(struct{}) {}) //nolint:errcheck // it is left behind then
	}
}

// moved says whether the path leads to another directory than it did.
func (w *Watcher[T]) moved(ctx context.Context) bool {
	if w.links || w.hung[""] {
		return true
	}
	now, err := Attempt(ctx, w.o.LoadLimit, func() way { return wayTo(w.o.Dir) }, func(way) {})
	return err != nil || !slices.Equal(now.places, w.way.places)
}

// look looks once, and returns when to look again without an event.
func (w *Watcher[T]) look(ctx context.Context) time.Time {
	w.comeBack()
	epoch := w.epoch.Load() // before what depends on it is looked at
	round := Round[T]{Loaded: map[string]Loaded[T]{}, Failed: map[string]error{}}
	found, fresh := w.survey(ctx)
	if ctx.Err() != nil {
		return time.Time{}
	}
	for name, e := range found.entries {
		e.epoch = epoch
		found.entries[name] = e
	}
	v := w.judge.look(found, time.Now())
	if fresh { // what happened before the new watches were set was not told
		v.wakeAt(time.Now())
	}
	round.Gone, round.Failed, round.Warning = v.gone, v.failed, v.warning
	for name, still := range v.load {
		if ctx.Err() != nil {
			return time.Time{}
		}
		if !w.hung[name] {
			w.load(ctx, name, still, found.entries[name].edition, &round, &v)
		}
	}
	for name := range w.waiting {
		if e, there := found.entries[name]; !there && v.warning == "" || e.err != nil {
			delete(w.waiting, name)
		}
	}
	w.apply(ctx, round)
	return v.again
}

// comeBack notes what has hung and has returned.
func (w *Watcher[T]) comeBack() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range w.returned {
		delete(w.hung, name)
		w.judge.hang(name, false)
	}
	w.returned = nil
}

// leave makes a function that tells that what has hung has returned.
func (w *Watcher[T]) leave(name string) func() {
	return func() {
		w.mu.Lock()
		w.returned = append(w.returned, name)
		w.mu.Unlock()
		w.wakeUp()
	}
}

// limit is how long one call may take: where several hang already, the next ones do not get as much.
func (w *Watcher[T]) limit() time.Duration { return w.o.LoadLimit / time.Duration(1+2*len(w.hung)) }

// survey sets the watches and lists the directory; fresh says that there are more directories to watch.
func (w *Watcher[T]) survey(ctx context.Context) (found listing, fresh bool) {
	silent := listing{problem: errHung.Error()[len("it "):]}
	if w.hung[""] {
		return silent, false
	}
	type result struct {
		n   notifier
		way way
		s   survey
	}
	n, behind, back := w.notifier, w.behind, w.leave("")
	r, err := Attempt(ctx, w.o.LoadLimit, func() result {
		way := wayTo(w.o.Dir)
		return result{n.watch(append(slices.Clone(way.places), behind...), time.Now()), way, surveyOf(w.o.Dir, w.o.concerns, w.o.Trust)}
	}, func(r result) {
		r.n.close()
		back()
	})
	if errors.Is(err, errPanicked) {
		// The watches may be half set: new ones are, after a pause.
		w.notifier = notifier{what: n.what, err: n.err, pause: n.pause}.failed(err, time.Now())
		return listing{problem: "cannot be used: " + err.Error()}, false
	}
	if err != nil {
		// The watches may be half set, by a call that has not returned: they are left behind with it.
		w.hung[""], w.notifier = true, notifier{what: w.o.Dir}
		return silent, false
	}
	w.notifier, w.way = r.n, r.way
	w.follow(ctx, &r.s)
	w.pair(&r.s.listing)
	// The next look watches what links lead into, and sees what has changed until then.
	fresh = w.notifier.err == nil && slices.ContainsFunc(w.behind, func(p place) bool { return !slices.Contains(behind, p) })
	return r.s.listing, fresh
}

// follow follows the links of a listing.
func (w *Watcher[T]) follow(ctx context.Context, s *survey) {
	w.links, w.behind = len(s.links) > 0, nil
	for _, name := range s.links {
		if w.hung[name] {
			s.entries[name] = entry{err: errHung}
			continue
		}
		back := w.leave(name)
		t, err := Attempt(ctx, w.limit(), func() target { return followed(filepath.Join(w.o.Dir, name)) }, func(target) { back() })
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !errors.Is(err, errPanicked) {
				w.hung[name] = true
			}
			s.entries[name] = entry{err: err}
		case !t.dir:
			s.entries[name] = t.entry
			if t.behind.path != "" && !slices.Contains(w.behind, t.behind) {
				w.behind = append(w.behind, t.behind)
			}
		}
	}
}

// pair notes with each file the versions of those that belong to it, which are no entries of their own.
func (w *Watcher[T]) pair(l *listing) {
	for name, e := range l.entries {
		of, which := w.o.belongs(name)
		if of == "" || w.o.Wanted(name) {
			continue
		}
		delete(l.entries, name)
		if file, ok := l.entries[of]; ok {
			file.beside[which] = e.version
			l.entries[of] = file
		}
	}
}

// apply hands a round on, if it brings anything.
func (w *Watcher[T]) apply(ctx context.Context, round Round[T]) {
	round.Unwatched = w.notifier.warning()
	round.Waiting = maps.Clone(w.waiting)
	round.Pending = w.judge.pending()
	state := fmt.Sprint(round.Waiting, round.Warning, round.Unwatched != "", round.Pending, w.epoch.Load())
	if ctx.Err() != nil || w.answered && state == w.warning && len(round.Loaded)+len(round.Failed)+len(round.Gone) == 0 {
		return
	}
	w.answered, w.warning = true, state
	w.o.Apply(round)
}
