package watch

import (
	"context"
	"io/fs"
	"path"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/oom/kmsg"
)

// podsOnly counts kills of pods; the containers' cgroups are gone.
type podsOnly map[string]uint64

func (podsOnly) Watch(string, func(uint64)) (func(), error) { return nil, fs.ErrNotExist }

func (podsOnly) WatchLimit(string, func()) (func(), error) { return nil, fs.ErrNotExist }

func (p podsOnly) Kills(cgroupPath string) (uint64, error) {
	if n, ok := p[cgroupPath]; ok {
		return n, nil
	}
	return 0, fs.ErrNotExist
}

// A container whose cgroup went before its counter was read was killed for memory if the log says so, or if its pod's cgroup has counted a kill
// that nobody else's was. Nobody waits for that for long, nor where nothing is to be learned.
func TestGoneBeforeItWasRead(t *testing.T) {
	pod := path.Dir(webPath)
	for name, c := range map[string]struct {
		pods   podsOnly
		v1     bool
		of     string // the container
		killed bool
		// log: it tells of the kill after that time; other: another container of the pod has counted it.
		log      time.Duration
		other    bool
		known    uint64 // were counted before
		machine  uint64
		behind   bool
		want     uint64
		at, till time.Duration // when that is known
	}{
		"nothing was":                     {pods: podsOnly{pod: 0}, killed: true},
		"the log tells it":                {pods: podsOnly{pod: 1}, killed: true, log: 300 * time.Millisecond, want: 1, at: 300 * time.Millisecond, till: time.Second},
		"nobody tells it":                 {pods: podsOnly{pod: 1}, killed: true, want: 1, at: patience, till: patience},
		"it ended by itself":              {pods: podsOnly{pod: 1}},
		"it was another's":                {pods: podsOnly{pod: 1}, killed: true, other: true},
		"some of its were counted":        {pods: podsOnly{pod: 3}, killed: true, known: 2, want: 3, at: patience, till: patience},
		"all of its were counted":         {pods: podsOnly{pod: 2}, killed: true, known: 2, want: 2},
		"counted, and it ended by itself": {pods: podsOnly{pod: 2}, known: 2, want: 2},
		"the pod's is gone too":           {pods: podsOnly{}, killed: true},
		"of nobody's":                     {pods: podsOnly{}, of: "/solopod/other", killed: true},
		"with v1 the log tells it":        {v1: true, killed: true, machine: 1, log: 300 * time.Millisecond, want: 1, at: 300 * time.Millisecond, till: time.Second},
		"with v1 nobody tells it":         {v1: true, killed: true, machine: 1, at: patience, till: patience},
		"the log is not read yet":         {pods: podsOnly{pod: 0}, killed: true, behind: true, at: patience, till: patience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _ := watcher(t, filepath.Join(t.TempDir(), "ooms.jsonl"), "boot-1", nil)
				w.join.nested, w.join.behind, w.join.machine = !c.v1, c.behind, &tally{}
				w.machine = func() (uint64, bool) { return c.machine, true }
				w.cgroupID = func(string) uint64 { return 1 }
				w.Heard(c.pods)
				other, _ := w.join.subjects.Container("c1")
				other.ID, other.Container = "c3", "other"
				if c.other {
					w.join.counted(other, 1, time.Now())
				}
				w.counted(webPath, c.known)
				w.join.settle(time.Now())
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if c.log > 0 {
					go func() {
						<-time.After(c.log)
						for _, e := range append(lines("boot-1", 5, noPID, time.Now()), kmsg.Entry{}) {
							w.take(e)
						}
						w.report(w.parser.Flush())
					}()
				}
				of := webPath
				if c.of != "" {
					of = c.of
				}
				begun := time.Now()
				got := w.Gone(ctx, of, c.killed)
				if took := time.Since(begun); got != c.want || took < c.at || took > max(c.till, 0) {
					t.Errorf("it is %d after %s", got, took)
				}
			})
		})
	}
}

// Who asks no more gets what is known.
func TestGoneAndNobodyAsks(t *testing.T) {
	w, _ := watcher(t, filepath.Join(t.TempDir(), "ooms.jsonl"), "boot-1", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := w.Gone(ctx, webPath, true); got != 0 {
		t.Error(got)
	}
}

// A kill that is taken for a container's has one record and one count, also when the log tells of it after all.
func TestClaim(t *testing.T) {
	for name, late := range map[string]bool{"nobody tells it": false, "the log is late": true} {
		synctest.Test(t, func(t *testing.T) {
			w, s := watcher(t, filepath.Join(t.TempDir(), "ooms.jsonl"), "boot-1", nil)
			w.join.nested, w.join.behind, w.join.machine = true, false, &tally{}
			w.machine = func() (uint64, bool) { return 1, true }
			w.cgroupID = func(string) uint64 { return 1 }
			w.Heard(podsOnly{path.Dir(webPath): 1})
			at := time.Now()
			if n := w.Gone(t.Context(), webPath, true); n != 1 {
				t.Error(name, n)
			}
			<-time.After(patience)
			w.join.settle(time.Now())
			want := "web//unknown/counter"
			if late {
				for _, e := range lines("boot-1", 5, noPID, at) {
					w.take(e)
				}
				w.report(w.parser.Flush())
				want = "web/java/container/log"
			}
			<-time.After(time.Minute)
			w.join.settle(time.Now())
			if got := summary(s.List()); got != want || s.List()[0].Container != "main" || w.join.totals.Sum() != 1 {
				t.Errorf("%s: %s, counted %s", name, got, countsOf(w.join.totals))
			}
		})
	}
}
