package collect

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/stored"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/image/choice"
	"github.com/solopod/solopod/runner/image/usage"
)

// box is a machine with a disk of 1000 bytes, on which images lie, of 100 each, and other things.
type box struct {
	mu      sync.Mutex
	images  map[string]engine.Image // by name
	uses    map[string]time.Time
	pulling []string
	users   []User
	unknown bool
	others  uint64
	fails   error
	stuck   string // an image that cannot be removed
	came    chan struct{}
	removed []string
	events  []string
	counted map[string]int
}

func newBox(names ...string) *box {
	b := &box{images: map[string]engine.Image{}, uses: map[string]time.Time{}, came: make(chan struct{}, 1), counted: map[string]int{}}
	for _, name := range names {
		b.add(name, "digest of "+name)
	}
	return b
}

func full(name string) string { return "docker.io/library/" + name + ":1" }

func (b *box) add(name, digest string) {
	b.images[full(name)] = engine.Image{Name: full(name), Digest: digest, Size: 100}
}

// pass has virtual time pass, and what comes of that be done.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in a bubble of synctest nobody waits
	synctest.Wait()
}

// with does something that the Collector must not see halves of.
func (b *box) with(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *box) List(context.Context) (list []engine.Image, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(b.images)) {
		list = append(list, b.images[name])
	}
	return list, nil
}

func (b *box) Parts(ctx context.Context) (map[string]stored.Parts, error) {
	list, err := b.List(ctx)
	out := map[string]stored.Parts{}
	for _, i := range list {
		out[i.Digest] = stored.Parts{i.Digest: i.Size}
	}
	return out, err
}

func (b *box) Uses() map[string]time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.uses)
}

func (b *box) Pulling() (list []string) {
	b.with(func() { list = b.pulling })
	return list
}

func (b *box) Came() <-chan struct{} { return b.came }

func (b *box) tell(_, reason, m string) {
	b.with(func() { b.events = append(b.events, reason+": "+m) })
}

func (b *box) Collect(_ context.Context, names []string, _ string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil {
		return b.fails
	}
	if b.stuck != "" && slices.Contains(names, full(b.stuck)) {
		return errors.New("it is stuck")
	}
	for _, name := range names {
		delete(b.images, name)
		b.removed = append(b.removed, strings.TrimSuffix(strings.TrimPrefix(name, "docker.io/library/"), ":1"))
	}
	return nil
}

func (b *box) level(context.Context) (threshold.Level, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	digests := map[string]bool{}
	for _, i := range b.images {
		digests[i.Digest] = true
	}
	used := b.others + uint64(100*len(digests))
	return threshold.Level{Available: 1000 - min(used, 1000), Capacity: 1000}, nil
}

func (b *box) collector(t *testing.T, s choice.Settings) *Collector {
	t.Helper()
	ready := make(chan struct{})
	close(ready)
	return New(Config{
		Settings: s, Store: b, Times: usage.Open(filepath.Join(t.TempDir(), "images.json")), Ready: ready, Level: b.level, Tell: b.tell,
		Pinned: []string{"pinned:1"},
		Users: func() ([]User, bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return slices.Clone(b.users), !b.unknown
		},
		Count: func(reason string, _ int64) { b.with(func() { b.counted[reason]++ }) },
	})
}

// run has a Collector work in virtual time, until the test ends.
func (b *box) run(t *testing.T, s choice.Settings) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	c := b.collector(t, s)
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

func (b *box) went(t *testing.T, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.removed, want) {
		t.Errorf("%q went, not %q; events %q", b.removed, want, b.events)
	}
}

func (b *box) toldOnce(t *testing.T, reason, part string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.events {
		if strings.HasPrefix(e, reason+": ") && strings.Contains(e, part) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%s with %q was told %d times: %q", reason, part, n, b.events)
	}
}

var settings = choice.Settings{High: 85, Low: 60, MinAge: 2 * time.Minute}

// As the disk gets full images go that were used the longest ago, until there is room; what is used, named, pinned or pulled stays.
func TestSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox("early", "late", "middle", "named", "pinned", "pulled")
		b.images[full("labelled")] = engine.Image{Name: full("labelled"), Digest: "digest of labelled", Size: 100, Pinned: true}
		b.pulling = []string{full("pulled")}
		b.users = []User{{"CronJob default/night", []string{"named:1"}}, {"pod default/late", []string{"late:1"}}, {"pod default/middle", []string{"middle:1"}}}
		b.run(t, settings)
		pass(10 * time.Minute)
		b.went(t) // 700 of 1000
		b.with(func() { b.users = b.users[:2] })
		pass(10 * time.Minute)
		b.with(func() { b.users, b.others = b.users[:1], 100 })
		pass(10 * time.Minute)
		b.went(t) // 800 of 1000
		b.with(func() { b.others = 250 })
		pass(10 * time.Minute)
		b.went(t, "early", "middle", "late") // 650: less is not to be had
		b.toldOnce(t, "ImagesCollected", "3 unused images were removed")
		b.with(func() { b.others = 500 })
		pass(time.Hour)
		b.toldOnce(t, "FreeDiskSpaceFailed", "docker.io/library/labelled:1 (100, used by whoever has pinned it)")
		b.with(func() { b.others = 0 })
		pass(time.Hour)
		b.with(func() { b.others = 500 })
		pass(time.Hour)
		if n := len(b.events); n != 3 || b.counted["space"] != 3 {
			t.Errorf("there are %d events, and counted was %v", n, b.counted)
		}
	})
}

// What has come just now stays for a while; what comes has the disk looked at at once.
func TestMinimumAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		b.run(t, settings)
		pass(time.Second)
		b.with(func() { b.add("new", "1"); b.others = 800 })
		b.came <- struct{}{}
		pass(time.Minute)
		b.went(t)
		pass(5 * time.Minute)
		b.went(t, "new")
	})
}

// A content with several names is one image: it stays while one of them is used, by a tag or a digest.
func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		digest := "sha256:" + strings.Repeat("1", 64)
		b := newBox()
		b.add("a", digest)
		b.add("b", digest)
		b.users = []User{{"pod x/y", []string{"b@" + digest}}}
		c := b.collector(t, settings)
		all := Pruning{All: true}
		if done, err := c.Prune(t.Context(), all); err != nil || len(done.Removed) != 0 || len(done.Kept) != 1 || done.Kept[0].Reason != "used by pod x/y" {
			t.Errorf("%+v, %v", done, err)
		}
		b.with(func() { b.users = nil })
		if done, err := c.Prune(t.Context(), all); err != nil || len(done.Removed) != 1 || done.Freed != 100 {
			t.Errorf("%+v, %v", done, err)
		}
		b.went(t, "a", "b")
	})
}

func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox("unused", "used")
		b.users = []User{{"pod x/y", []string{"used:1"}}}
		b.run(t, choice.Settings{High: 100, Low: 80, MaxAge: time.Hour})
		pass(59 * time.Minute)
		b.went(t)
		pass(3 * time.Minute)
		b.went(t, "unused")
		b.with(func() { b.users = nil })
		pass(time.Hour)
		b.went(t, "unused")
		pass(6 * time.Minute)
		b.went(t, "unused", "used")
		b.toldOnce(t, "ImagesCollected", "not used for more than 1h0m0s: 1 unused image was removed (docker.io/library/used:1)")
	})
}

// Before a pod is evicted all go that may.
func TestReclaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox("a", "b", "used")
		b.users = []User{{"pod x/y", []string{"used:1"}}}
		c := b.collector(t, settings)
		if did, err := c.Reclaim(t.Context(), 1); did != "" || err != nil {
			t.Errorf("what came just now went: %q, %v", did, err)
		}
		pass(3 * time.Minute)
		if did, err := c.Reclaim(t.Context(), 1); !strings.HasPrefix(did, "2 unused images were removed") || err != nil || b.counted["eviction"] != 2 {
			t.Errorf("%q, %v, %v", did, err, b.counted)
		}
		b.went(t, "a", "b")
	})
}

// Nothing goes while it is not known who uses images, nor what somebody has begun to use since it was chosen.
func TestNeverWhatMayBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox("a")
		b.unknown = true
		c := b.collector(t, settings)
		if _, err := c.Prune(t.Context(), Pruning{All: true}); !errors.Is(err, errUnknown) {
			t.Error(err)
		}
		b.unknown = false
		going := choice.Going{Image: choice.Image{Names: []string{full("a")}, Digest: "digest of a"}}
		now := time.Now()
		b.users = []User{{"pod x/y", []string{"a:1"}}}
		if err := c.remove(t.Context(), going, now, forSpace); !errors.Is(err, errTaken) {
			t.Error(err)
		}
		b.users, b.pulling = nil, []string{full("a")}
		if err := c.remove(t.Context(), going, now, forSpace); !errors.Is(err, errTaken) {
			t.Error(err)
		}
		b.pulling, b.uses["digest of a"] = nil, now.Add(time.Second)
		if err := c.remove(t.Context(), going, now, forSpace); !errors.Is(err, errTaken) {
			t.Error(err)
		}
		b.went(t)
	})
}

// What fails is told once, and tried again.
func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox("a")
		b.others, b.fails = 900, errors.New("the disk is read-only")
		b.run(t, settings)
		pass(time.Hour)
		b.toldOnce(t, "ImageGCFailed", "cannot remove image docker.io/library/a:1: the disk is read-only")
		b.with(func() { b.fails = nil })
		pass(10 * time.Minute)
		b.went(t, "a")
	})
}

// One that cannot be removed keeps none of the others, and is tried again.
func TestOneIsStuck(t *testing.T) {
	for name, s := range map[string]choice.Settings{"space": settings, "age": {High: 85, Low: 60, MaxAge: time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox("a", "b", "c")
			b.stuck = "a"
			b.uses["digest of b"] = time.Now().Add(time.Second)
			b.run(t, s)
			pass(10 * time.Minute)
			if name == "space" {
				b.with(func() { b.others = 560 })
			} else {
				b.with(func() { b.users = []User{{"pod x/y", []string{"c:1"}}} })
			}
			pass(70 * time.Minute)
			if name == "space" {
				b.went(t, "c", "b")
			} else {
				b.went(t, "b")
			}
			b.toldOnce(t, "ImageGCFailed", "cannot remove image docker.io/library/a:1: it is stuck")
			n := 0
			b.with(func() { n, b.stuck, b.others = len(b.removed), "", 800 })
			pass(10 * time.Minute)
			b.with(func() {
				if !slices.Equal(b.removed[n:], []string{"a"}) {
					t.Errorf("%s: %q went then", name, b.removed[n:])
				}
			})
		})
	}
}

// Who uses an image is said once, also of one who is known in several ways: a pod by its manifest, by itself and by its containers.
func TestUsersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox("a")
		b.users = []User{{"pod x/a", []string{"a:1"}}, {"pod x/b", []string{"a:1"}}, {"pod x/a", []string{"a:1", "a:1"}}, {"pod x/b", []string{"a:1"}}, {"pod x/a", []string{"a:1"}}}
		done, err := b.collector(t, settings).Prune(t.Context(), Pruning{All: true})
		if err != nil || len(done.Kept) != 1 || done.Kept[0].Reason != "used by pod x/a, pod x/b" {
			t.Errorf("%+v, %v", done, err)
		}
	})
}

// Removal of a name is held up by who means that one, and no other that stays.
func TestUsersOf(t *testing.T) {
	digest := "sha256:" + strings.Repeat("1", 64)
	b := newBox()
	b.add("old", digest)
	b.add("new", digest)
	b.add("pinned", digest)
	b.pulling = []string{full("pulled")}
	b.add("pulled", digest)
	b.images["docker.io/library/old:2"] = engine.Image{Name: "docker.io/library/old:2", Digest: digest}
	b.users = []User{{"new", []string{"new:1"}}, {"old", []string{"old:1"}}, {"exact", []string{"old@" + digest}}}
	c := b.collector(t, settings)
	for ref, want := range map[string][]string{
		"new:1": {"new"}, "old:1": {"old"}, "old:2": nil, "old@" + digest: {"old", "exact"}, "old:2@" + digest: nil, "none:1": nil,
		"pinned:1": {"whoever has pinned it"}, "pulled:1": {"a pull that goes on"},
	} {
		if got, err := c.UsersOf(t.Context(), image.Goes(ref)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", ref, got, err)
		}
	}
}

func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox("a", "b")
		c := b.collector(t, settings)
		if done, err := c.Prune(t.Context(), Pruning{DryRun: true}); err != nil || len(done.Removed) != 0 || len(done.Kept) != 2 {
			t.Errorf("%+v, %v", done, err)
		}
		pass(time.Hour)
		b.with(func() { b.uses["digest of b"] = time.Now().Add(-10 * time.Minute) })
		done, err := c.Prune(t.Context(), Pruning{DryRun: true, Unused: 30 * time.Minute})
		if err != nil || !done.DryRun || len(done.Removed) != 1 || done.Removed[0].Names[0] != full("a") || done.Freed != 100 ||
			len(done.Kept) != 1 || done.Kept[0].Reason != "it was used 10m0s ago, not longer than 30m0s" {
			t.Errorf("%+v, %v", done, err)
		}
		b.went(t)
		if users, err := c.UsersOf(t.Context(), func(string, string) bool { return true }); len(users) != 0 || err != nil {
			t.Errorf("%v, %v", users, err)
		}
	})
}
