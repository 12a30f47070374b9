package watch

import (
	"path"
	"slices"
	"sync"
	"time"

	"github.com/solopod/solopod/oom/kernel"
	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/runner/cgroup"
)

// Counters tell of a kill, and the log whose limit it was. Where the log does not, the cgroups do that are told of when a limit is hit: those
// of the container, its pod, its class, all pods, and what lies above them.

// hit is when a limit was hit.
type hit struct {
	cgroup string
	limit  int64
	owner  record.Owner
	at     time.Time
}

const (
	// hitsKept is how long hits are remembered: kills are settled within it. mostHits bounds them.
	hitsKept, mostHits = time.Minute, 1000
	// mostLevels bounds the cgroups above a container that are followed.
	mostLevels = 16
)

// follows are the cgroups whose limits are followed, each once, for as long as there is a container below.
type follows struct {
	mu    sync.Mutex
	users map[string]int
	stops map[string]func()
}

// begin follows one; watch is called by the first who does.
func (f *follows) begin(cgroupPath string, watch func() (stop func(), err error)) {
	f.mu.Lock()
	if f.users == nil {
		f.users, f.stops = map[string]int{}, map[string]func(){}
	}
	f.users[cgroupPath]++
	first := f.users[cgroupPath] == 1
	f.mu.Unlock()
	if !first {
		return
	}
	stop, err := watch()
	if err != nil {
		return // kills at that limit are of an unknown one then
	}
	f.mu.Lock()
	if f.users[cgroupPath] > 0 && f.stops[cgroupPath] == nil {
		f.stops[cgroupPath], stop = stop, nil
	}
	f.mu.Unlock()
	if stop != nil { // nobody needs it any more
		stop()
	}
}

func (f *follows) end(cgroupPath string) {
	f.mu.Lock()
	var stop func()
	if f.users[cgroupPath]--; f.users[cgroupPath] <= 0 {
		stop = f.stops[cgroupPath]
		delete(f.users, cgroupPath)
		delete(f.stops, cgroupPath)
	}
	f.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// followLimits follows the limits of a container and of all above it until leave is called.
func (w *Watcher) followLimits(cgroupPath string) (leave func()) {
	var all []string
	for at := path.Clean(cgroupPath); at != "/" && at != "." && len(all) < mostLevels; at = path.Dir(at) {
		all = append(all, at)
		w.limits.begin(at, func() (func(), error) { return w.counter.WatchLimit(at, func() { w.hit(at) }) })
	}
	return func() {
		for _, at := range all {
			w.limits.end(at)
		}
	}
}

// hit notes that a limit was hit.
func (w *Watcher) hit(cgroupPath string) {
	limit, err := cgroup.MemoryLimit(cgroupPath)
	if err != nil {
		limit = 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	noteHit(&w.join, cgroupPath, limit, time.Now())
}

func noteHit(j *join, cgroupPath string, limit int64, now time.Time) {
	owner := record.Ancestor
	if p := placesOf(j.root, cgroupPath); len(p) > 0 && kernel.Below(cgroupPath, j.root) {
		owner = p[0].level
	}
	j.hits = slices.DeleteFunc(j.hits, func(h hit) bool { return now.Sub(h.at) > hitsKept })
	if len(j.hits) >= mostHits {
		j.hits = slices.Delete(j.hits, 0, 1)
	}
	j.hits = append(j.hits, hit{cgroupPath, limit, owner, now})
}

// atLimit says at whose limit the kills were that only a counter tells, where that is certain. With cgroup v1 those below are told as well: it
// is the highest. With v2 there must be one only.
func atLimit(j *join, t *tally, due step, r record.Record) record.Record {
	if t.path == "" || due.away {
		return r
	}
	var of hit
	for _, h := range j.hits {
		switch {
		case h.at.Sub(due.at).Abs() > slack || !kernel.Below(t.path, h.cgroup):
		case of.cgroup == "" || of.cgroup == h.cgroup || !j.nested && len(h.cgroup) < len(of.cgroup):
			of = h
		case j.nested:
			return r
		}
	}
	if of.cgroup == "" {
		return r
	}
	r.Owner, r.Cgroup = of.owner, of.cgroup
	if of.limit > 0 {
		r.Limit = &of.limit
	}
	return r
}

// placed remembers where the cgroup is of which a tally is.
func placed(j *join, key, cgroupPath string) {
	if t := j.tallies[key]; t != nil {
		t.path = cgroupPath
	}
}
