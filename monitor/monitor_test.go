package monitor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/cgroups/v3"

	"github.com/solopod/solopod/runner"
)

// A cgroup that was removed and made anew under the same path is read anew, and one that is not there is not told of.
func TestMadeAnew(t *testing.T) {
	path := "/solopod-monitor-" + filepath.Base(t.TempDir())
	var dirs []string
	if cgroups.Mode() == cgroups.Unified {
		dirs = []string{filepath.Join(mountpoint, path)}
	} else {
		for _, controller := range []string{"memory", "cpuacct", "pids"} {
			dirs = append(dirs, filepath.Join(mountpoint, controller, path))
		}
	}
	each := func(change func(dir string) error) {
		t.Helper()
		for _, dir := range dirs {
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	mkdir := func(dir string) error { return os.Mkdir(dir, 0o755) }
	t.Cleanup(func() {
		for _, dir := range dirs {
			os.Remove(dir)
		}
	})
	m := New(nil, "/none", nil, nil)
	defer m.reset()
	known := func() bool {
		_, memory := m.stats(path, false, "").get(memoryUsage)
		_, cpu := m.stats(path, false, "").get(cpuUsage)
		return memory && cpu
	}
	for round := range 3 {
		if known() {
			t.Fatalf("round %d: a cgroup that is not there is told of", round)
		}
		each(mkdir)
		if !known() {
			t.Fatalf("round %d: the cgroup is not told of", round)
		}
		each(os.Remove)
		if round == 1 {
			// Nobody looks while it is gone.
			each(mkdir)
			if !known() {
				t.Fatal("the cgroup that was made anew is not told of")
			}
			each(os.Remove)
		}
	}
}

// A scrape that does not end holds others for a while only, and those that nobody waits for not at all.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(nil, "/none", nil, nil)
		leave, err := m.turn.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := m.turn.Take(t.Context()); !errors.Is(err, ErrBusy) || time.Since(begun) != turnLimit {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.turn.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		leave()
		if leave, err = m.turn.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		leave()
	})
}

// Where few files may be open, none stays open, and the values are the same.
func TestFewOpenFiles(t *testing.T) {
	for _, c := range []struct {
		most int
		held bool
	}{{1 << 20, true}, {0, false}} {
		m := New(nil, "/none", nil, nil)
		m.mostOpen = c.most
		for round := range 3 {
			if _, ok := m.stats("/", true, "").get(cpuUsage); !ok {
				t.Errorf("round %d with %d files: nothing is known of the machine", round, c.most)
			}
			if held := m.open > 0; held != c.held || m.open != len(m.readers["/"].files) {
				t.Errorf("round %d: of %d files %d are open, and %d counted", round, c.most, len(m.readers["/"].files), m.open)
			}
		}
		if m.reset(); m.open != 0 {
			t.Errorf("after all %d are open", m.open)
		}
	}
}

// targets are a source.
type targets []runner.Target

func (t *targets) Targets() []runner.Target { return *t }

// What is open of a cgroup that is gone is closed also when nobody asks any more, and all a while later.
func TestLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &targets{{UID: "u", PodCgroup: "/", Cgroup: "/", Running: true, HostNetwork: true}, {UID: "gone", PodCgroup: "/pod-gone", Cgroup: "/gone", Running: true, HostNetwork: true}}
		m := New(all, "/none", nil, nil)
		ask := func() {
			leave, err := m.turn.Take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m.read(false)
			leave()
		}
		expect := func(when time.Duration, readers int, open bool) {
			t.Helper()
			<-time.After(when)
			synctest.Wait()
			if leave, ok := m.turn.Try(); ok {
				defer leave()
			}
			if len(m.readers) != readers || (m.open > 0) != open {
				t.Errorf("%d cgroups are held, %d files are open", len(m.readers), m.open)
			}
		}
		for range 2 {
			*all = (*all)[:2]
			ask()
			*all = (*all)[:1]
			expect(dropAfter-1, 3, true)
			expect(2, 1, true)
			ask()
			expect(dropAfter+time.Second, 1, true)
			leave, err := m.turn.Take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			expect(keepOpen-dropAfter, 1, true) // a scrape hangs meanwhile
			leave()
			expect(dropAfter, 0, false)
		}
	})
}
