package sample

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/foreign"
)

const (
	mi   = 1 << 20
	root = "/solopod/burstable/pod1/"
)

// box is a machine with cgroups that have a limit and use some memory, by their paths.
type box struct {
	limits    map[string]int64
	use       map[string]func(time.Duration) int64
	available uint64
	hidden    bool
	began     time.Time
	looks     map[string]int
	scans     int
}

func (b *box) sampler() *Sampler {
	b.began, b.looks = time.Now(), map[string]int{}
	s := New(Config{
		Subject: func(string) (Subject, bool) {
			return Subject{Command: []string{"run", "it"}, Hidden: b.hidden, Started: time.Now()}, true
		},
		Machine: func() (uint64, uint64, error) { return 1024 * mi, b.available, nil }, Numbers: true,
	})
	s.world = world{
		func(path string) (int64, error) {
			b.looks[path]++
			if use := b.use[path]; use != nil {
				return use(time.Since(b.began)), nil
			}
			return 0, errors.New("gone")
		},
		func(path string) (int64, error) { return b.limits[path], nil },
		func(string) []command {
			b.scans++
			return []command{{17, "java", "java -jar app.jar"}}
		},
	}
	return s
}

type counter struct{ err error }

func (c counter) Watch(string, func(uint64)) (func(), error) { return func() {}, c.err }
func (counter) Kills(string) (uint64, error)                 { return 0, nil }

// run has a sampler watch some cgroups for a time.
func run(t *testing.T, s *Sampler, took time.Duration, paths ...string) (stop []func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx) //nolint:errcheck // it has none
	}()
	for _, path := range paths {
		end, err := s.Heard(counter{}).Watch(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		stop = append(stop, end)
	}
	time.Sleep(took) //nolint:forbidigo // the bubble's time
	cancel()
	<-ended
	return stop
}

func flat(bytes int64) func(time.Duration) int64 { return func(time.Duration) int64 { return bytes } }

// leak grows by a MiB a second.
func leak(at time.Duration) int64 { return 10*mi + int64(at.Seconds()*mi) }

// What rests far from its limit is looked at seldom, what has none not at all while the machine has room; and the nearer, the oftener.
func TestPace(t *testing.T) {
	for name, c := range map[string]struct {
		box         box
		most, least int // looks in the hour after the first ten minutes
		scans       bool
	}{
		"at rest":                    {box: box{limits: map[string]int64{root + "c1": 256 * mi}, use: map[string]func(time.Duration) int64{root + "c1": flat(mi)}}, least: 59, most: 61},
		"near its limit":             {box: box{limits: map[string]int64{root + "c1": 256 * mi}, use: map[string]func(time.Duration) int64{root + "c1": flat(250 * mi)}}, least: 355, most: 361, scans: true},
		"no limit":                   {box: box{available: 512 * mi, use: map[string]func(time.Duration) int64{root + "c1": flat(mi)}}},
		"no limit, machine is short": {box: box{available: 64 * mi, use: map[string]func(time.Duration) int64{root + "c1": flat(mi)}}, least: 355, most: 361, scans: true},
		"its pod's limit": {box: box{limits: map[string]int64{root[:len(root)-1]: 256 * mi}, use: map[string]func(time.Duration) int64{
			root + "c1": flat(mi), root[:len(root)-1]: flat(192 * mi)}}, least: 235, most: 245, scans: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := c.box.sampler()
				run(t, s, 10*time.Minute, root+"c1")
				looks, scans := c.box.looks[root+"c1"], c.box.scans
				run(t, s, time.Hour)
				if n := c.box.looks[root+"c1"] - looks; n < c.least || n > c.most {
					t.Errorf("%d looks in an hour, not %d to %d", n, c.least, c.most)
				}
				if scanned := c.box.scans > scans; scanned != c.scans {
					t.Errorf("processes are looked at: %t", scanned)
				}
			})
		})
	}
}

// What was seen of a container is told of its kill, also when it is gone, and of no other.
func TestComplete(t *testing.T) {
	yes, no := true, false
	usage := int64(190 * mi)
	kill := func(id, process string, pid int, main *bool) record.Record {
		return record.Record{ContainerID: id, Time: time.Now().Round(0), Process: process, PID: pid, Main: main, Owner: record.Container, Usage: &usage, Source: record.Log}
	}
	synctest.Test(t, func(t *testing.T) {
		b := &box{limits: map[string]int64{root + "c1": 192 * mi}, use: map[string]func(time.Duration) int64{root + "c1": leak}}
		s := b.sampler()
		for _, end := range run(t, s, 3*time.Minute, root+"c1") {
			end()
		}
		r := s.Complete(kill("c1", "java", 17, &yes))
		if r.Command != "java -jar app.jar" || r.Growth == nil || r.Growth.PerSecond < mi*99/100 || r.Growth.PerSecond > mi*101/100 || r.Growth.Seconds != 180 || r.Growth.From != 10*mi {
			t.Errorf("%q, %+v", r.Command, r.Growth)
		}
		for of, want := range map[*record.Record]string{
			new(kill("c1", "java", 18, &no)): "", new(kill("c1", "sh", 17, &no)): "", new(kill("c1", "sh", 17, &yes)): "run it", new(kill("c2", "java", 17, &yes)): "",
		} {
			if got := s.Complete(*of); got.Command != want {
				t.Errorf("%s, %s (%d): %q, not %q", of.ContainerID, of.Process, of.PID, got.Command, want)
			}
		}
		if r := s.Complete(record.Record{ContainerID: "c1", Source: record.Counter}); r.Growth != nil {
			t.Errorf("of a counter: %+v", r)
		}
		time.Sleep(late + time.Second) //nolint:forbidigo // the bubble's time
		run(t, s, time.Second, root+"c3")
		if r := s.Complete(kill("c1", "java", 17, &yes)); r.Command != "" || len(s.containers) != 1 {
			t.Errorf("it is remembered for ever: %+v", r)
		}
	})
}

// Values of Secrets may stand in command lines.
func TestHidden(t *testing.T) {
	yes := true
	synctest.Test(t, func(t *testing.T) {
		b := &box{hidden: true, limits: map[string]int64{root + "c1": 16 * mi}, use: map[string]func(time.Duration) int64{root + "c1": leak}}
		s := b.sampler()
		run(t, s, time.Minute, root+"c1")
		if r := s.Complete(record.Record{ContainerID: "c1", Time: time.Now(), Process: "java", PID: 17, Main: &yes, Source: record.Log}); r.Command != "run it" || b.scans > 0 {
			t.Errorf("%q, %d looks at its processes", r.Command, b.scans)
		}
	})
}

// What a pod used when the machine was full is the sum of its containers', if all were looked at.
func TestPodUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &box{available: 32 * mi, use: map[string]func(time.Duration) int64{root + "c1": flat(100 * mi), root + "c2": flat(20 * mi), "/solopod/burstable/pod2/c3": flat(mi)}}
		s := b.sampler()
		run(t, s, time.Minute, root+"c1", root+"c2", "/solopod/burstable/pod2/c3")
		kill := record.Record{ContainerID: "c1", Time: time.Now(), Owner: record.Machine, Victim: record.Victim{AnonRSS: 150 * mi}, Source: record.Log}
		if got := s.Complete(kill).PodUsage; got == nil || *got != 170*mi {
			t.Errorf("%v", got)
		}
		time.Sleep(2 * fresh) //nolint:forbidigo // the bubble's time
		kill.Time = time.Now()
		if got := s.Complete(kill).PodUsage; got != nil {
			t.Errorf("of long ago: %d", *got)
		}
	})
}

func TestIDOf(t *testing.T) {
	for path, want := range map[string]string{"/solopod/burstable/pod1/abc": "abc", "/solopod.slice/solopod-pod1.slice/solopod-abc.scope": "abc"} {
		if got := idOf(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// The largest processes' command lines are read as they are, and bounded.
func TestCommands(t *testing.T) {
	var pids []int
	for _, arg := range []string{"100000", strings.Repeat("0", 300) + "100001"} {
		cmd := exec.CommandContext(t.Context(), "sleep", arg)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill() //nolint:errcheck // it may have ended
			cmd.Wait()         //nolint:errcheck // it was killed
		})
		pids = append(pids, cmd.Process.Pid)
	}
	found := commandsOf(append(pids, 1<<30))
	lines := map[int]string{}
	for _, c := range found {
		if c.name != "sleep" {
			t.Errorf("%+v", c)
		}
		lines[c.pid] = c.line
	}
	if len(found) != 2 || lines[pids[0]] != "sleep 100000" || lines[pids[1]] != "sleep "+strings.Repeat("0", mostBytes-6) {
		t.Errorf("%v", lines)
	}
	if got := cut("a\xffé" + strings.Repeat("x", mostBytes-5) + "é"); !strings.HasPrefix(got, "aéx") || strings.HasSuffix(got, "é") || len(got) > mostBytes {
		t.Errorf("%q", got)
	}
}

func TestMerged(t *testing.T) {
	var known, found []command
	for i := range kept {
		known = append(known, command{i, "a", "old"})
	}
	for i := range ofEach {
		found = append(found, command{i, "a", "new"})
	}
	got := merged(found, known)
	if text := fmt.Sprint(got); len(got) != kept || strings.Count(text, "new") != ofEach || got[ofEach].pid != ofEach {
		t.Errorf("%s", text)
	}
}

// What is looked at in the world is there: a cgroup's limit and use, and the command lines of what runs in it.
func TestWorld(t *testing.T) {
	if cgroup.Unified() {
		t.Skip("the controllers of cgroup v2 are its manager's to hand out")
	}
	name := fmt.Sprintf("/solopod-sample-%d", os.Getpid())
	dir := filepath.Join(cgroup.Mountpoint, "memory", name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "echo $$ > "+dir+"/cgroup.procs && exec sleep 100007")
	t.Cleanup(func() {
		if cmd.Process != nil {
			cmd.Process.Kill() //nolint:errcheck // it may have ended
			cmd.Wait()         //nolint:errcheck // it was killed
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	s := New(Config{Numbers: true})
	if limit, err := s.world.limit(name); err != nil || limit != 0 {
		t.Errorf("without a limit: %d, %v", limit, err)
	}
	if err := foreign.WriteKernel(filepath.Join(dir, "memory.limit_in_bytes"), "33554432"); err != nil {
		t.Fatal(err)
	}
	if limit, err := s.world.limit(name); err != nil || limit != 32*mi {
		t.Errorf("its limit: %d, %v", limit, err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tick, limit := time.NewTicker(5*time.Millisecond), time.NewTimer(10*time.Second)
	defer tick.Stop()
	defer limit.Stop()
	for {
		found := s.world.largest(name)
		if used, err := s.world.used(name); len(found) == 1 && found[0] == (command{cmd.Process.Pid, "sleep", "sleep 100007"}) && err == nil && used > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("%+v", found)
		}
	}
}
