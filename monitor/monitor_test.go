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
	m := New(nil, nil)
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
func TestEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(nil, nil)
		m.forget.Stop()
		leave, err := m.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := m.enter(t.Context()); !errors.Is(err, ErrBusy) || time.Since(begun) != turnLimit {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		leave()
		if leave, err = m.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		leave()
	})
}

// A file system that does not answer costs one scrape a moment, the next ones nothing, and answers again when it does.
func TestAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a aside[int]
		hangs, begun := make(chan struct{}), time.Now()
		for n, want := range []time.Duration{asideLimit, 0, 0} {
			before := time.Now()
			if _, answered := a.ask(func() int { <-hangs; return 1 }); answered || time.Since(before) != want {
				t.Errorf("question %d is answered %v after %s", n, answered, time.Since(before))
			}
		}
		close(hangs)
		synctest.Wait()
		if n, answered := a.ask(func() int { return 2 }); !answered || n != 2 {
			t.Errorf("the answer is %d, %v", n, answered)
		}
		if _, answered := a.ask(func() int { panic("over a file") }); answered {
			t.Error("a question whose code fails is answered")
		}
		if n, answered := a.ask(func() int { return 3 }); !answered || n != 3 {
			t.Errorf("the answer is then %d, %v", n, answered)
		}
		if took := time.Since(begun); took != asideLimit {
			t.Errorf("it all took %s", took)
		}
	})
}
