package oom

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3"
)

func TestParseKills(t *testing.T) {
	for text, want := range map[string]uint64{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n":                    3, // v1
		"low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n":     1, // v2
		"oom_kill 18446744073709551615\n":                                  18446744073709551615,
		"under_oom 1\noom_kill  7\noom_kill 9\nunknown_row with words 1\n": 7,
	} {
		if got, err := ParseKills(strings.NewReader(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "oom_kill_disable 0\nunder_oom 0\n", "oom_kill many\n", "oom_kill -1\n", "oom_kill"} {
		if got, err := ParseKills(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

func FuzzParseKills(f *testing.F) {
	f.Add("under_oom 0\noom_kill 3\n")
	f.Fuzz(func(_ *testing.T, text string) {
		ParseKills(strings.NewReader(text)) //nolint:errcheck // it must not panic
	})
}

func TestParseHits(t *testing.T) {
	for text, want := range map[string]uint64{"low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n": 2, "oom_kill 3\noom 0\n": 0} {
		if got, err := parseCounter(strings.NewReader(text), "oom"); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

// bounded makes a cgroup with a limit, which goes with the test.
func bounded(t *testing.T, path string, bytes int) (dir string) {
	t.Helper()
	dir, limit, swap := filepath.Join(mountpoint, "memory", path), "memory.limit_in_bytes", ""
	if cgroups.Mode() == cgroups.Unified {
		dir, limit, swap = filepath.Join(mountpoint, path), "memory.max", "memory.swap.max"
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, limit), []byte(fmt.Sprint(bytes)), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, swap)); err == nil && swap != "" {
		if err := os.WriteFile(filepath.Join(dir, swap), []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Of a cgroup in another one it is told whose limit it was: with v1 the highest that is told of has it, with v2 the only one.
func TestWatchLimit(t *testing.T) {
	const small, large = 16 << 20, 32 << 20
	for name, c := range map[string]struct{ outer, inner int }{"the inner one's": {large, small}, "the outer one's": {small, large}} {
		w, outer := New(), "/solopod-oom-"+filepath.Base(t.TempDir())
		inner := outer + "/inner"
		bounded(t, outer, c.outer)
		if cgroups.Mode() == cgroups.Unified {
			if err := os.WriteFile(filepath.Join(mountpoint, outer, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
				t.Fatal(err)
			}
		}
		dir, hits := bounded(t, inner, c.inner), make(chan string, 100)
		for _, path := range []string{outer, inner} {
			stop, err := w.WatchLimit(path, func() {
				select {
				case hits <- path:
				default: // the kernel tells of each charge that fails; nobody reads any more
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
		}
		script := fmt.Sprintf("echo $$ > %s/cgroup.procs; head -c 64m /dev/zero | tail > /dev/null", dir)
		exec.Command("sh", "-c", script).Run() //nolint:errcheck // the shell may or may not report its child's end
		want := inner
		if c.outer < c.inner {
			want = outer
		}
		for told := ""; told != want; {
			select {
			case told = <-hits:
				if told != want && (want == inner || cgroups.Mode() == cgroups.Unified) {
					t.Errorf("%s: %s is told", name, told)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: %s is not told", name, want)
			}
		}
	}
	if _, err := New().WatchLimit("/solopod-oom-none", func() {}); err == nil {
		t.Error("a cgroup that does not exist can be watched")
	}
}

// The kernel kills in a cgroup with a limit, twice, and each time it is told how often by now.
func TestWatch(t *testing.T) {
	path := "/solopod-oom-" + filepath.Base(t.TempDir())
	dir := bounded(t, path, 16<<20)
	kills := make(chan uint64, 10)
	w := New()
	stop, err := w.Watch(path, func(n uint64) { kills <- n })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	known := uint64(0)
	for kill := range 2 {
		// tail keeps what has no line end. The kernel may find that it has to kill more than one process.
		script := fmt.Sprintf("echo $$ > %s/cgroup.procs; head -c 64m /dev/zero | tail > /dev/null", dir)
		exec.Command("sh", "-c", script).Run() //nolint:errcheck // the shell may or may not report its child's end
		counter, err := w.Kills(path)
		if err != nil || counter <= known {
			t.Fatalf("after kill %d the counter is %d, %v", kill+1, counter, err)
		}
		for known < counter {
			select {
			case got := <-kills:
				if got <= known || got > counter {
					t.Errorf("told of %d kills after %d, the counter is %d", got, known, counter)
				}
				known = got
			case <-time.After(10 * time.Second):
				t.Fatalf("told of %d kills, the counter is %d", known, counter)
			}
		}
	}
	stop()
	again, err := w.Watch(path, func(n uint64) { kills <- n })
	if err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-kills:
		if got != known {
			t.Errorf("told of %d kills before it was watched, not %d", got, known)
		}
	case <-time.After(10 * time.Second):
		t.Error("not told of the kills before it was watched")
	}
	again()
	noGoroutines(t)
	if _, err := w.Watch(path+"-none", func(uint64) {}); err == nil {
		t.Error("a cgroup that does not exist can be watched")
	}
}
