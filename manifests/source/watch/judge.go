package watch

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// times are the spans that the judgement goes by.
type times struct {
	// missing is how long a name must be missing, at both ends of it, before it counts as deleted. Many tools replace a file by
	// removing it and creating it anew.
	missing time.Duration
	// swapped is how long another directory in the place of the known one must be still before its files are used; emptied is
	// the same where it holds none, and for a directory that lost several files, all that it had, at once.
	swapped, emptied time.Duration
	// settle is how long a file must be still where the kernel cannot tell whether it is being written.
	settle time.Duration
	// retryMin and retryMax bound the growing pauses between looks at a file that is being written.
	retryMin, retryMax time.Duration
	// unmatched is how long a file, and what stands beside it, must be still before it counts that they do not belong together.
	unmatched time.Duration
	// told is for how long a file is being written before that is worth a word.
	told time.Duration
}

var usualTimes = times{
	missing: 500 * time.Millisecond, swapped: 2 * time.Second, emptied: 10 * time.Second, settle: 300 * time.Millisecond,
	retryMin: 20 * time.Millisecond, retryMax: 2 * time.Second, told: 3 * time.Second,
	unmatched: 2 * time.Second,
}

// entry is a name of the directory that is wanted.
type entry struct {
	edition
	// err says why it cannot be a file of use: its type, a link that leads nowhere, a file system that hangs.
	err error
}

// edition is what must be the same for a file to need no other look: what it is, and all that its use depends on.
type edition struct {
	version Version
	beside  beside
	// epoch counts the times at which all files became new (Watcher.Reload).
	epoch uint64
}

// beside are the versions of the files that belong to another one, in the order of Options.Beside; zero for those that are not there.
type beside [maxBeside]Version

const maxBeside = 2

// listing is what one look at the directory has found.
type listing struct {
	dir identity
	// problem says why the directory as a whole cannot be used; the rest is empty then.
	problem string
	entries map[string]entry
}

// verdict is what follows from a look.
type verdict struct {
	// load names files that may be new, or changed, and complete; the value says whether they have been still for the settle time.
	load map[string]bool
	// failed names files that cannot be used, and why, where that is new.
	failed map[string]error
	// gone names the files that count as deleted from now on.
	gone []string
	// again is when to look again without an event; zero means that nothing is pending.
	again time.Time
	// warning says what is wrong with the directory as a whole; its files then stay as they are.
	warning string
}

// judge decides what counts as new, deleted, swapped, emptied and settled. It is pure: it sees listings and moments, and does no
// I/O.
type judge struct {
	times times
	dir   identity // the directory whose files count; zero before the first
	files map[string]*fileState
	// absent are those of the files that are missing and do not count as deleted yet.
	absent []string
	// lost is how many files were lost when the directory was emptied at once; zero when it was not.
	lost int
	swap swap
}

// fileState is what is known of one name.
type fileState struct {
	loaded edition // the one that was taken; zero when there is none
	failed string  // why it cannot be used
	// until is when a missing name counts as deleted; zero when it is not missing.
	until time.Time
	// still is the edition that was seen since stillSince.
	still      edition
	stillSince time.Time
	hung       bool
	// at is when a file that is being written is tried again, pause after how long, busy since when it is.
	at    time.Time
	pause time.Duration
	busy  time.Time
	// unmatched is since when the file and what stands beside it do not belong together.
	unmatched time.Time
}

// swap is another directory that has taken the place of the known one.
type swap struct {
	dir          identity
	entries      map[string]entry
	first, since time.Time
}

// newJudge knows of files that an earlier run has used.
func newJudge(t times, known []string) *judge {
	j := &judge{times: t, files: map[string]*fileState{}}
	for _, name := range known {
		j.know(name)
	}
	return j
}

// know notes a file that an earlier run has used.
func (j *judge) know(name string) { j.files[name] = &fileState{} }

func (v *verdict) wakeAt(t time.Time) {
	if v.again.IsZero() || t.Before(v.again) {
		v.again = t
	}
}

// look judges what has been found.
func (j *judge) look(l listing, now time.Time) verdict {
	v := verdict{load: map[string]bool{}, failed: map[string]error{}}
	if l.problem != "" {
		// A directory that cannot be used says nothing about what is missing.
		v.warning = l.problem
		for _, f := range j.files {
			f.until = time.Time{}
		}
		j.lost, j.swap = 0, swap{}
		return v
	}
	if j.dir == (identity{}) {
		j.dir = l.dir
	}
	if l.dir != j.dir {
		if !j.settled(l, now, &v) {
			return v
		}
		j.dir = l.dir
		for name, f := range j.files { // it has been waited for
			if _, there := l.entries[name]; !there {
				f.until = now
			}
		}
	}
	j.swap = swap{}
	for name, e := range l.entries {
		j.present(name, e, now, &v)
	}
	j.missing(l, now, &v)
	return v
}

// settled says whether another directory has been still for long enough.
func (j *judge) settled(l listing, now time.Time, v *verdict) bool {
	if j.swap.dir != l.dir {
		j.swap = swap{dir: l.dir, first: now}
	}
	if j.swap.since.IsZero() || !maps.EqualFunc(j.swap.entries, l.entries, func(a, b entry) bool { return a.edition == b.edition }) {
		j.swap.entries, j.swap.since = l.entries, now
	}
	wait := j.times.swapped
	if len(l.entries) == 0 && len(j.files) > 0 {
		wait = j.times.emptied
	}
	due := j.swap.since.Add(wait)
	if last := j.swap.first.Add(10 * wait); due.After(last) { // one that is never still
		due = last
	}
	if !now.Before(due) {
		return true
	}
	v.warning = fmt.Sprintf("is another one than before: it was replaced, or something was mounted or unmounted there; what it holds (%d files) counts when it has been still for %s", len(l.entries), wait)
	v.wakeAt(due)
	return false
}

// present judges a name that is there.
func (j *judge) present(name string, e entry, now time.Time, v *verdict) {
	f := j.files[name]
	if f == nil {
		f = &fileState{}
		j.files[name] = f
	}
	f.until = time.Time{}
	if e.err != nil {
		if f.failed != e.err.Error() {
			*f = fileState{failed: e.err.Error(), hung: f.hung}
			v.failed[name] = e.err
		}
		return
	}
	if f.still != e.edition {
		f.still, f.stillSince = e.edition, now
		if !f.unmatched.IsZero() { // what was missing may have come
			f.at = time.Time{}
		}
	}
	switch {
	case f.failed == "" && f.loaded == e.edition || f.hung:
	case now.Before(f.at):
		v.wakeAt(f.at)
	default:
		v.load[name] = now.Sub(f.stillSince) >= j.times.settle
	}
}

// missing judges the names that are not there.
func (j *judge) missing(l listing, now time.Time, v *verdict) {
	var names []string
	for name := range j.files {
		if _, there := l.entries[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	emptied := len(l.entries) == 0 && len(names) > 1
	j.absent = nil
	lasting := 0 // files that count as deleted after the longer time only
	for _, name := range names {
		f := j.files[name]
		switch {
		case f.until.IsZero() && emptied:
			f.until = now.Add(j.times.emptied)
		case f.until.IsZero():
			f.until = now.Add(j.times.missing)
		}
		if !now.Before(f.until) {
			v.gone = append(v.gone, name)
			delete(j.files, name)
			continue
		}
		j.absent = append(j.absent, name)
		v.wakeAt(f.until)
		if f.until.After(now.Add(j.times.missing)) {
			lasting++
		}
	}
	switch {
	case len(l.entries) > 0 || len(j.absent) == 0:
		j.lost = 0
	case emptied && j.lost == 0:
		j.lost = lasting
	}
	if j.lost > 0 { // the number stays: those that went just before count as deleted meanwhile
		v.warning = fmt.Sprintf("has lost all of its files (%d) at once; they count as deleted when they have been missing for %s", j.lost, j.times.emptied)
	}
}

// took: that version of a file was loaded. It returns the names that the file had before it was renamed: they are gone.
func (j *judge) took(name string, e edition) (gone []string) {
	if f := j.files[name]; f != nil {
		*f = fileState{loaded: e, still: e, stillSince: f.stillSince}
	}
	for _, other := range j.absent {
		if f := j.files[other]; f != nil && !f.until.IsZero() && f.loaded.version != (Version{}) && f.loaded.version.renamed(e.version) {
			gone = append(gone, other)
			delete(j.files, other)
		}
	}
	return gone
}

// busy: the file is being written, or was changed while it was read, or may be. It returns when to look again, and whether it has
// been so for so long that it is worth a word.
func (j *judge) busy(name string, now time.Time) (again time.Time, tell bool) {
	f := j.files[name]
	if f == nil {
		return now, false
	}
	if f.busy.IsZero() {
		f.busy = now
	}
	f.pause = min(max(2*f.pause, j.times.retryMin), j.times.retryMax)
	f.at = now.Add(f.pause)
	return f.at, now.Sub(f.busy) >= j.times.told
}

// unsettled: the kernel cannot tell whether the file is being written; it is tried again when it has been still for long enough.
func (j *judge) unsettled(name string, now time.Time) (again time.Time) {
	f := j.files[name]
	if f == nil {
		return now
	}
	if f.at = f.stillSince.Add(j.times.settle); !f.at.After(now) {
		f.at = now.Add(j.times.settle)
	}
	return f.at
}

// mismatched: the file and what stands beside it do not belong together. They come one after the other: it counts when both have been
// still for long enough, or at last although they never are. Until then it returns when to look again; zero means that it counts
// now, and is not looked at again before something changes.
func (j *judge) mismatched(name string, e edition, now time.Time) (again time.Time) {
	f := j.files[name]
	if f == nil {
		return now
	}
	if f.unmatched.IsZero() {
		f.unmatched = now
	}
	due := f.stillSince.Add(j.times.unmatched)
	if last := f.unmatched.Add(10 * j.times.unmatched); due.After(last) {
		due = last
	}
	if now.Before(due) {
		f.at = due
		return due
	}
	*f = fileState{loaded: e, still: e, stillSince: f.stillSince}
	return time.Time{}
}

// refused: the file cannot be read. It returns whether that is new.
func (j *judge) refused(name string, err error) bool {
	f := j.files[name]
	if f == nil || f.failed == err.Error() {
		return false
	}
	*f = fileState{failed: err.Error(), still: f.still, stillSince: f.stillSince, hung: f.hung}
	return true
}

// waits: the file is being written, and is looked at again at a time that is set.
func (j *judge) waits(name string) bool {
	f := j.files[name]
	return f != nil && !f.at.IsZero() && f.unmatched.IsZero()
}

// pending counts the files that are being written or do not answer.
func (j *judge) pending() int {
	n := 0
	for _, f := range j.files {
		if f.hung || !f.at.IsZero() {
			n++
		}
	}
	return n
}

// hang notes that a file does not answer, or that it has answered at last.
func (j *judge) hang(name string, hung bool) {
	if f := j.files[name]; f != nil {
		f.hung = hung
	}
}
