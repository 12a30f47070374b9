package eviction

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/runner/eviction/threshold"
)

const (
	mebi     = 1 << 20
	capacity = 4096 * mebi
)

// box is a machine in virtual time: what its pods use, and what somebody else does, is not available.
type box struct {
	t       *testing.T
	begun   time.Time
	others  uint64
	pods    []*boxPod
	rings   chan struct{}
	changes chan struct{}
	works   bool
	blind   error
	lines   []string // what was done, with its time
	reclaim uint64   // what a reclaim gives back, once
	levels  int
	more    map[threshold.Signal]threshold.Level // beside memory
	looked  map[threshold.Signal]int             // how often it was measured what pods take up
	cancel  context.CancelFunc
	done    chan struct{}
}

// boxPod ends within ends of its eviction.
type boxPod struct {
	Pod
	usage uint64
	ends  time.Duration
	sets  bool // it uses as much as before when it is let in again
	was   uint64
	mute  bool // who asks for its end gets no answer
	anew  bool // it begins anew at its end, as one that was edited meanwhile
	end   *time.Timer
}

// leaves has a pod end within a time, whatever the reason.
func (b *box) leaves(p *boxPod, within time.Duration) {
	p.Ending = true
	if p.end != nil {
		p.end.Stop()
	}
	p.end = time.AfterFunc(within, func() {
		shared(func() {
			p.Ending, p.Ended, p.Held = false, true, p.HeldFor != ""
			p.was, p.usage = p.usage, 0
			if p.anew {
				p.Ended, p.Held, p.HeldFor = false, false, ""
			}
		})
		select {
		case b.changes <- struct{}{}:
		default:
		}
	})
}

// world guards what tests, the Manager and timers share; tests have it but while time passes.
var world sync.Mutex

// shared runs f beside nothing else.
func shared(f func()) {
	world.Lock()
	defer world.Unlock()
	f()
}

// pass lets virtual time pass.
func pass(d time.Duration) {
	shared(func() {})
	<-time.After(d)
	synctest.Wait()
	shared(func() {})
}

func (b *box) say(format string, args ...any) {
	b.lines = append(b.lines, fmt.Sprintf("%s ", time.Since(b.begun).Round(time.Second))+fmt.Sprintf(format, args...))
}

func (b *box) available() uint64 {
	used := b.others
	for _, p := range b.pods {
		used += p.usage
	}
	return capacity - min(used, capacity)
}

func (b *box) List() (out []Pod) {
	world.Lock()
	defer world.Unlock()
	for _, p := range b.pods {
		out = append(out, p.Pod)
	}
	return out
}

func (b *box) find(uid string) *boxPod {
	for _, p := range b.pods {
		if p.UID == uid {
			return p
		}
	}
	return nil
}

func (b *box) Evict(ctx context.Context, o Order) error {
	if err := b.evict(o); err != nil {
		return err
	}
	if b.find(o.UID).mute {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (b *box) evict(o Order) error {
	world.Lock()
	defer world.Unlock()
	p := b.find(o.UID)
	if p.ends < 0 {
		b.say("cannot evict %s", p.Name)
		return errors.New("there is no such pod")
	}
	b.say("evict %s in %s", p.Name, o.Grace)
	if !strings.HasPrefix(o.Message, "The node was low on resource: "+o.Signal.Resource()+". ") {
		b.t.Errorf("%s: %s", p.Name, o.Message)
	}
	if p.Ending { // it has less time
		if p.ends < time.Hour {
			b.leaves(p, o.Grace)
		}
		return nil
	}
	p.HeldFor, p.HeldSince = o.Signal, time.Now()
	p.Evictions++
	b.leaves(p, p.ends)
	return nil
}

func (b *box) Readmit(_ context.Context, uid string) error {
	world.Lock()
	defer world.Unlock()
	p := b.find(uid)
	b.say("readmit %s", p.Name)
	p.Held, p.Ended, p.HeldFor = false, false, ""
	if p.sets {
		p.usage = p.was
	}
	return nil
}

func (b *box) Rings() <-chan struct{} { return b.rings }
func (b *box) Arm(uint64)             {}
func (b *box) Works() bool            { return b.works }

// newBox has 4 GiB of memory, of which 1 GiB must be left, and 1.5 GiB for a minute.
func newBox(t *testing.T, pods ...*boxPod) *box {
	return &box{t: t, begun: time.Now(), pods: pods, rings: make(chan struct{}, 1), changes: make(chan struct{}, 1), works: true, looked: map[threshold.Signal]int{}}
}

func pod(name string, usage uint64) *boxPod {
	return &boxPod{Pod: Pod{UID: name, Name: name, Grace: 30 * time.Second}, usage: usage * mebi, ends: time.Second, sets: true}
}

func (p *boxPod) with(change func(*boxPod)) *boxPod {
	change(p)
	return p
}

func (b *box) start(text threshold.Text, change func(*Config)) {
	list, wrong := threshold.Parse(text)
	if wrong != nil {
		b.t.Fatal(wrong)
	}
	c := Config{
		Thresholds: list, Transition: 5 * time.Minute, Pods: b, Changes: b.changes, Alarm: b,
		Levels: func(context.Context, []threshold.Signal) (map[threshold.Signal]threshold.Level, error) {
			world.Lock()
			defer world.Unlock()
			b.levels++
			if b.blind != nil {
				return nil, b.blind
			}
			levels := map[threshold.Signal]threshold.Level{threshold.Memory: {Available: b.available(), Capacity: capacity}}
			maps.Copy(levels, b.more)
			return levels, nil
		},
		Use: func(_ context.Context, s threshold.Signal) map[string]Used {
			world.Lock()
			defer world.Unlock()
			b.looked[s]++
			out := map[string]Used{}
			for _, p := range b.pods {
				if p.usage > 0 && s == threshold.Memory {
					out[p.UID] = Used{Amount: p.usage}
				}
			}
			return out
		},
		Note: func(threshold.Signal, string) {},
		Tell: func(_, reason, _ string) { shared(func() { b.say("%s", reason) }) },
	}
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.done = cancel, make(chan struct{})
	go func() {
		defer close(b.done)
		if err := New(c).Run(ctx); err != nil {
			b.t.Error(err)
		}
	}()
}

func (b *box) end() {
	b.cancel()
	<-b.done
}

func (b *box) ring() {
	select {
	case b.rings <- struct{}{}:
	default:
	}
}

// did compares what was done since the last call.
func (b *box) did(want ...string) {
	b.t.Helper()
	synctest.Wait()
	if !reflect.DeepEqual(b.lines, want) {
		b.t.Errorf("after %s:\n got %q\nwant %q", time.Since(b.begun), b.lines, want)
	}
	b.lines = nil
}

var hard = threshold.Text{Hard: map[string]string{"memory.available": "1Gi"}}

// One pod is evicted at a time, those first that use most beyond what they asked for, until there is enough; then they come back one by one.
func TestEvictsOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("small", 300), pod("large", 1500), pod("medium", 900).with(func(p *boxPod) { p.ends = 5 * time.Second; p.Priority = 1 }))
		b.start(hard, nil)
		defer b.end()
		pass(65 * time.Second)
		b.did()
		b.others = 2400 * mebi
		b.ring()
		pass(20 * time.Second)
		b.did("1m5s EvictionThresholdMet", "1m5s evict large in 1s", "1m6s evict small in 1s", "1m7s evict medium in 1s")
		b.others = 0
		for _, p := range b.pods {
			p.sets = false
		}
		pass(10 * time.Minute)
		b.did("6m12s readmit medium", "6m22s readmit large", "6m32s readmit small")
	})
}

// What is short for a while alone is dealt with when that is over, and pods get the time that is set.
func TestSoft(t *testing.T) {
	soft := threshold.Text{Hard: map[string]string{"memory.available": "100Mi"}, Soft: map[string]string{"memory.available": "1Gi"}, SoftGracePeriod: map[string]string{"memory.available": "1m30s"}}
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("hog", 3200).with(func(p *boxPod) { p.ends = 20 * time.Second }), pod("other", 10))
		b.start(soft, func(c *Config) { c.MaxGrace = 25 * time.Second })
		defer b.end()
		pass(80 * time.Second)
		b.did()
		pass(20 * time.Second)
		b.did("1m30s EvictionThresholdMet", "1m30s evict hog in 25s")
		pass(time.Minute)
		b.did()
	})
	synctest.Test(t, func(t *testing.T) { // the hard one does not wait for who goes gently
		b := newBox(t, pod("hog", 3200).with(func(p *boxPod) { p.ends = 29 * time.Second }), pod("other", 10))
		b.start(soft, nil)
		defer b.end()
		pass(91 * time.Second)
		b.did("1m30s EvictionThresholdMet", "1m30s evict hog in 30s")
		b.others = 860 * mebi
		b.ring()
		pass(time.Minute) // but for its end, which has one second left
		b.did("1m31s evict hog in 1s")
	})
	synctest.Test(t, func(t *testing.T) { // it was short, but not for long enough
		b := newBox(t, pod("hog", 3200))
		b.start(soft, nil)
		defer b.end()
		pass(63 * time.Second) // not when it is measured
		b.find("hog").usage = 0
		pass(15 * time.Second)
		b.find("hog").usage = 3200 * mebi
		pass(time.Minute)
		b.did()
	})
}

// What has to be reclaimed at least is, before it is enough.
func TestMinimumReclaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("a", 100), pod("b", 50), pod("c", 40))
		b.others = 2900 * mebi
		b.start(threshold.Text{Hard: hard.Hard, MinimumReclaim: map[string]string{"memory.available": "100Mi"}}, nil)
		defer b.end()
		pass(20 * time.Second)
		b.did("0s EvictionThresholdMet", "0s evict a in 1s", "1s evict b in 1s") // 18Mi too little, and 100Mi more
	})
}

// What nobody misses goes before pods do, and is not tried again and again.
func TestReclaimsFirst(t *testing.T) {
	reclaim := func(b *box) func(*Config) {
		return func(c *Config) {
			c.Reclaims = []Reclaim{
				{Name: "of disks", Signals: []threshold.Signal{threshold.NodeSpace}, Do: func(context.Context, uint64) (string, error) {
					shared(func() { b.say("of disks") })
					return "", nil
				}},
				{Name: "what fails", Signals: threshold.Signals, Do: func(context.Context, uint64) (string, error) { return "", errors.New("it fails") }},
				{Name: "cache", Signals: threshold.Signals, Do: func(_ context.Context, missing uint64) (string, error) {
					shared(func() {
						b.say("reclaim %d", missing/mebi)
						b.others -= b.reclaim
					})
					return "cache", nil
				}},
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("a", 100))
		b.others, b.reclaim = 3000*mebi, 60*mebi
		b.start(hard, reclaim(b))
		defer b.end()
		pass(30 * time.Second)
		b.did("0s EvictionThresholdMet", "0s reclaim 28")
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("a", 100), pod("b", 90))
		b.others, b.reclaim = 3060*mebi, 1*mebi
		b.start(hard, reclaim(b))
		defer b.end()
		pass(30 * time.Second)
		b.did("0s EvictionThresholdMet", "0s reclaim 178", "0s evict a in 1s", "1s evict b in 1s")
	})
}

// Where no pod can be evicted that is told once, and nothing else is done.
func TestNothingToEvict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("idle", 0), pod("gone", 900).with(func(p *boxPod) { p.ends = -1 }))
		b.others = capacity
		b.start(hard, nil)
		defer b.end()
		pass(15 * time.Second)
		b.did("0s EvictionThresholdMet", "0s cannot evict gone", "10s cannot evict gone", "10s NothingToEvict")
		b.pods = b.pods[:1]
		pass(time.Hour)
		b.did()
		for range 10 { // to and fro is one time
			b.others = 0
			pass(20 * time.Second)
			b.others = capacity
			b.ring()
			pass(20 * time.Second)
		}
		b.did()
		b.others = 0
		pass(6 * time.Minute)
		b.others = capacity
		b.ring()
		pass(time.Minute)
		b.did("1h12m55s EvictionThresholdMet", "1h13m5s NothingToEvict") // which is another time
	})
}

// At a start pods do not run yet: that one of them is to blame shows a little later.
func TestNothingToEvictYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("hog", 0))
		b.others = 3500 * mebi
		b.start(hard, nil)
		defer b.end()
		pass(5 * time.Second)
		b.find("hog").usage, b.others = 3000*mebi, 500*mebi
		pass(time.Minute)
		b.did("0s EvictionThresholdMet", "10s evict hog in 1s")
	})
}

// Who ends already, whatever the reason, is waited for if that is enough; a hard threshold leaves it a second. Nobody else goes then.
func TestLeaving(t *testing.T) {
	soft := threshold.Text{Soft: map[string]string{"memory.available": "1Gi"}, SoftGracePeriod: map[string]string{"memory.available": "0s"}}
	leaving := func(usage uint64, change func(*boxPod)) func() *boxPod {
		return func() *boxPod {
			return pod("leaving", usage).with(func(p *boxPod) { p.Ending = true; p.ends = 20 * time.Second }).with(change)
		}
	}
	for name, c := range map[string]struct {
		text    threshold.Text
		leaving func() *boxPod
		want    []string
	}{
		"enough":       {hard, leaving(1000, func(*boxPod) {}), []string{"evict leaving in 1s"}},
		"gently":       {soft, leaving(1000, func(*boxPod) {}), nil},
		"not enough":   {hard, leaving(100, func(*boxPod) {}), []string{"evict leaving in 1s", "evict other in 1s"}},
		"next to none": {hard, leaving(0, func(p *boxPod) { p.usage = 1000 }), []string{"evict other in 1s"}},
		"does not end": {hard, leaving(1000, func(p *boxPod) { p.ends = time.Hour }), []string{"evict leaving in 1s", "31s later", "evict other in 1s"}},
		"nor gently":   {soft, leaving(1000, func(p *boxPod) { p.ends = time.Hour }), []string{"1m0s later", "evict other in 30s"}},
		"evicted":      {hard, leaving(100, func(p *boxPod) { p.HeldFor, p.HeldSince = threshold.Memory, time.Now() }), []string{"evict leaving in 1s", "1s later", "evict other in 1s"}},
		"for files":    {hard, leaving(100, func(p *boxPod) { p.HeldFor, p.HeldSince = threshold.NodeFiles, time.Now() }), []string{"evict leaving in 1s", "evict other in 1s"}},
		"long ago": {soft, leaving(100, func(p *boxPod) {
			p.ends, p.HeldFor, p.HeldSince = time.Hour, threshold.Memory, time.Now().Add(-50*time.Second)
		}), []string{"10s later", "evict other in 30s"}},
		"in the future": {soft, leaving(100, func(p *boxPod) {
			p.ends, p.HeldFor, p.HeldSince = time.Hour, threshold.Memory, time.Now().Add(time.Hour)
		}), []string{"1m0s later", "evict other in 30s"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := c.leaving()
			b := newBox(t, p, pod("other", 300))
			b.others = 3000*mebi - p.usage
			b.leaves(p, p.ends)
			b.start(c.text, nil)
			defer b.end()
			pass(100 * time.Second)
			var got []string
			last := "0s"
			for _, line := range b.lines {
				when, what, _ := strings.Cut(line, " ")
				if !strings.HasPrefix(what, "evict") {
					continue
				}
				if when != last {
					got = append(got, when+" later")
					last = when
				}
				got = append(got, what)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
			for _, p := range b.pods {
				if p.end != nil {
					p.end.Stop()
				}
			}
		})
	}
}

// A pod that is edited while it is evicted begins anew at once. Nobody else goes before what it had is free, nor is it waited for any longer.
func TestEditedWhileItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		between := 20*time.Second + 500*time.Millisecond // two looks
		b := newBox(t, pod("edited", 1000).with(func(p *boxPod) { p.ends = between }), pod("other", 100), pod("more", 90))
		b.others = 2500 * mebi
		soft := threshold.Text{Hard: map[string]string{}, Soft: map[string]string{"memory.available": "1Gi"}, SoftGracePeriod: map[string]string{"memory.available": "0s"}}
		b.start(soft, nil)
		defer b.end()
		pass(10 * time.Second)
		b.did("0s EvictionThresholdMet", "0s evict edited in 30s")
		p := b.find("edited")
		p.anew, p.Held = true, false
		b.ring()
		pass(30 * time.Second)
		b.did()
		p.anew, p.usage = false, 1000*mebi // and it fills the machine again
		b.ring()
		pass(3 * time.Second)
		b.did("40s evict edited in 30s")
		p.anew = true
		b.others = 3500 * mebi // so that its end is not enough
		pass(40 * time.Second)
		b.did("1m1s evict other in 30s", "1m2s evict more in 30s", "1m13s NothingToEvict")
	})
}

// A worker that does not answer has the order all the same: nobody goes in its place.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("hog", 1000).with(func(p *boxPod) { p.mute = true; p.ends = 20 * time.Second }), pod("other", 900))
		b.others = 1800 * mebi
		b.start(hard, nil)
		defer b.end()
		pass(time.Minute)
		b.did("0s EvictionThresholdMet", "0s evict hog in 1s")
	})
}

// A disk that others fill keeps nobody out who was evicted for something else, nor is memory measured less often; what pods have on it is
// not looked for all the time. What is not measured keeps out nobody either.
func TestOtherIsShort(t *testing.T) {
	text := threshold.Text{Hard: map[string]string{"memory.available": "1Gi", "nodefs.available": "10%", "pid.available": "1"}}
	held := func(name string, s threshold.Signal) *boxPod {
		return pod(name, 0).with(func(p *boxPod) {
			p.Held, p.HeldFor, p.HeldSince, p.Evictions = true, s, time.Now().Add(-time.Hour), 1
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, held("for-memory", threshold.Memory), held("for-disk", threshold.NodeSpace))
		b.works = false
		b.more = map[threshold.Signal]threshold.Level{threshold.NodeSpace: {Available: 1 << 30, Capacity: 100 << 30}}
		b.start(text, nil)
		defer b.end()
		pass(10 * time.Minute)
		b.did("0s EvictionThresholdMet", "10s NothingToEvict", "5m0s readmit for-memory")
		if n := b.looked[threshold.NodeSpace]; n > 11 {
			t.Errorf("what pods have on the disk was measured %d times in ten minutes", n)
		}
		b.others = capacity
		pass(21 * time.Second)
		b.did("10m10s EvictionThresholdMet", "10m20s NothingToEvict")
		b.more[threshold.NodeSpace] = threshold.Level{Available: 50 << 30, Capacity: 100 << 30}
		pass(10 * time.Minute)
		b.did("15m22s readmit for-disk")
	})
	synctest.Test(t, func(t *testing.T) { // the time for which a soft one is crossed is over in time
		soft := text
		soft.Soft, soft.SoftGracePeriod = map[string]string{"memory.available": "2Gi"}, map[string]string{"memory.available": "5s"}
		b := newBox(t, pod("hog", 600))
		b.more = map[threshold.Signal]threshold.Level{threshold.NodeSpace: {Available: 1 << 30, Capacity: 100 << 30}}
		b.start(soft, nil)
		defer b.end()
		pass(time.Minute + time.Second)
		b.lines = nil
		b.others = 1600 * mebi
		b.ring()
		pass(6 * time.Second)
		b.did("1m6s EvictionThresholdMet", "1m6s evict hog in 30s")
	})
}

// Nothing is done before it is known which pods there should be, within limits.
func TestReady(t *testing.T) {
	for _, limit := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(t)
			b.others = capacity
			ready := make(chan struct{})
			b.start(hard, func(c *Config) { c.Ready = ready })
			defer b.end()
			pass(29 * time.Second)
			b.did()
			at := "30s"
			if !limit {
				at = "29s"
				close(ready)
				synctest.Wait()
			} else {
				pass(2 * time.Second)
			}
			b.did(at + " EvictionThresholdMet")
		})
	}
}

// A pod that fills the machine each time comes back each time, but less and less often.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("hog", 3500))
		b.start(hard, func(c *Config) { c.Transition = 30 * time.Second })
		defer b.end()
		pass(3 * time.Hour)
		var at []time.Duration
		for _, line := range b.lines {
			if when, what, _ := strings.Cut(line, " "); what == "readmit hog" {
				d, err := time.ParseDuration(when)
				if err != nil {
					t.Fatal(err)
				}
				at = append(at, d)
			}
		}
		b.lines = nil
		if len(at) < 9 || len(at) > 14 {
			t.Fatalf("it came back at %s", at)
		}
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d < 30*time.Second || d > longestHold+time.Minute || d < hold(i+1) {
				t.Errorf("the %d. time after %s", i, d)
			}
		}
	})
}

// Pods that were evicted before a restart of the daemon wait as others do; those that do not fit wait until they do.
func TestHeldAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := func(name string, priority int32, request string) *boxPod {
			return pod(name, 0).with(func(p *boxPod) {
				p.Held, p.HeldFor, p.HeldSince, p.Evictions, p.Priority = true, threshold.Memory, time.Now().Add(-time.Hour), 1, priority
				p.Request = v1.ResourceList{v1.ResourceMemory: resource.MustParse(request)}
			})
		}
		b := newBox(t, held("low", 0, "10Mi"), held("large", 10, "2Gi"), held("high", 5, "10Mi"), held("for-files", -1, "0").with(func(p *boxPod) { p.HeldFor = threshold.NodeFiles }))
		b.others = 2000 * mebi
		b.start(hard, nil)
		defer b.end()
		pass(5*time.Minute - time.Second)
		b.did()
		pass(2 * time.Minute)
		b.did("5m0s readmit high", "5m10s readmit low", "5m20s readmit for-files")
		b.others = 0
		pass(10 * time.Minute)
		if len(b.lines) != 1 || !strings.HasSuffix(b.lines[0], "readmit large") {
			t.Error(b.lines)
		}
	})
}

// While what is short stays so nobody comes back.
func TestHeldWhileShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("hog", 1000))
		b.others = 3500 * mebi
		b.start(hard, nil)
		defer b.end()
		pass(time.Hour)
		b.did("0s EvictionThresholdMet", "0s evict hog in 1s", "11s NothingToEvict")
		b.others = 1000 * mebi
		pass(5*time.Minute + 20*time.Second)
		if len(b.lines) != 1 || !strings.HasSuffix(b.lines[0], "readmit hog") {
			t.Error(b.lines)
		}
	})
}

// A pod that does not end does not keep others from being evicted for ever.
func TestDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("stuck", 3100).with(func(p *boxPod) { p.ends = time.Hour }), pod("other", 500))
		b.start(hard, nil)
		defer b.end()
		pass(2 * time.Minute)
		b.did("0s EvictionThresholdMet", "0s evict stuck in 1s", "31s evict other in 1s")
	})
}

// What cannot be measured evicts nobody, and is measured again.
func TestBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("hog", 3500))
		b.blind = errors.New("a disk does not answer")
		b.start(hard, nil)
		defer b.end()
		pass(65 * time.Second) // not when it is measured
		b.did()
		b.blind = nil
		pass(15 * time.Second)
		b.did("1m10s EvictionThresholdMet", "1m10s evict hog in 1s")
	})
}

// A machine with enough of everything is measured every five minutes; a storm of rings is a measurement each half second.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("small", 10))
		list := threshold.Text{Hard: map[string]string{"memory.available": "0%"}}
		b.start(list, nil)
		pass(time.Hour)
		synctest.Wait()
		if b.levels > 13 {
			t.Errorf("without thresholds it was measured %d times", b.levels)
		}
		b.end()
		b.levels = 0
		b.start(hard, nil)
		defer b.end()
		for range 1000 {
			b.ring()
			pass(10 * time.Millisecond)
		}
		synctest.Wait()
		if b.levels > 21 {
			t.Errorf("it was measured %d times in ten seconds", b.levels)
		}
	})
}

func TestInterval(t *testing.T) {
	const gibi = 1 << 30
	for name, c := range map[string]struct {
		s                    threshold.Signal
		left, capacity, fall uint64
		rings                bool
		want                 time.Duration
	}{
		"nothing is left":          {threshold.Memory, 0, 4 * gibi, 0, true, near},
		"much":                     {threshold.Memory, 2355 << 20, 4 * gibi, 0, true, far},
		"much of little":           {threshold.Memory, 128 << 20, gibi / 2, 0, true, far},
		"some":                     {threshold.Memory, gibi / 4, 4 * gibi, 0, true, 75 * time.Second},
		"it goes down slowly":      {threshold.Memory, 2 * gibi, 4 * gibi, 10 << 20, true, 102 * time.Second},
		"it goes down quickly":     {threshold.Memory, 2 * gibi, 4 * gibi, gibi, true, near},
		"nothing rings":            {threshold.Memory, gibi / 4, 4 * gibi, 0, false, 2 * time.Second},
		"nothing rings, and short": {threshold.Memory, 0, 4 * gibi, 0, false, nearest},
		"nothing rings, but much":  {threshold.Memory, 1 << 40, 1 << 40, 0, false, farBlind},
		"nothing rings, and falls": {threshold.Memory, 4 * gibi, 64 * gibi, gibi, false, 2 * time.Second},
		"no capacity":              {threshold.Memory, 0, 0, 0, true, near},
		"disk":                     {threshold.NodeSpace, 10 * gibi, 20 * gibi, 0, false, 102 * time.Second},
		"files":                    {threshold.ImageFiles, 600_000, 1_000_000, 0, false, time.Minute},
		"processes":                {threshold.Processes, 20_000, 32_000, 0, false, 100 * time.Second},
	} {
		if got := interval(c.s, c.left, c.capacity, c.fall, c.rings); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}

func TestTrend(t *testing.T) {
	at := time.Unix(1000, 0)
	var tr trend
	for i, c := range []struct {
		after     time.Duration
		available uint64
		want      uint64
	}{{0, 1000, 0}, {10 * time.Second, 900, 10}, {100 * time.Millisecond, 5, 10}, {10 * time.Second, 900, 0}, {2 * time.Second, 500, 200}, {-time.Hour, 100, 0}, {time.Second, 90, 10}} {
		at = at.Add(c.after)
		tr.saw(map[threshold.Signal]threshold.Level{threshold.Memory: {Available: c.available}}, at)
		if got := tr.falls[threshold.Memory]; got != c.want {
			t.Errorf("%d: %d, not %d", i, got, c.want)
		}
	}
}

// A program that takes memory quickly is seen in time where nothing rings.
func TestSeenInTime(t *testing.T) {
	for _, fast := range []uint64{10, 100} { // MiB a second
		synctest.Test(t, func(t *testing.T) {
			b := newBox(t, pod("hog", 1).with(func(p *boxPod) { p.ends = -1 }))
			b.works = false
			seen := uint64(capacity)
			b.start(threshold.Text{Hard: map[string]string{"memory.available": "256Mi"}}, func(c *Config) {
				c.Levels = func(context.Context, []threshold.Signal) (map[threshold.Signal]threshold.Level, error) {
					used := fast * mebi * uint64(max(time.Since(b.begun)-7*time.Second, 0)/time.Millisecond) / 1000
					left := capacity - min(used, capacity)
					if left < 256*mebi && seen == capacity {
						seen = left
					}
					return map[threshold.Signal]threshold.Level{threshold.Memory: {Available: left, Capacity: capacity}}, nil
				}
			})
			pass(time.Duration(8+capacity/mebi/fast) * time.Second)
			b.end()
			if seen == capacity || seen < 128*mebi {
				t.Errorf("of a program that takes %d MiB a second it was seen when %d MiB were left", fast, seen/mebi)
			}
		})
	}
}

// A machine with enough of everything is hardly looked at, however small it is.
func TestIdleWithThresholds(t *testing.T) {
	const gibi = 1 << 30
	type levels = map[threshold.Signal]threshold.Level
	for name, c := range map[string]struct {
		levels levels
		works  bool
		most   int
	}{
		"a box of 4 GiB": {levels{
			threshold.Memory: {Available: 2455 << 20, Capacity: 4 * gibi}, threshold.NodeSpace: {Available: 20 * gibi, Capacity: 30 * gibi},
			threshold.ImageSpace: {Available: 20 * gibi, Capacity: 30 * gibi}, threshold.NodeFiles: {Available: 1_700_000, Capacity: 2_000_000},
		}, true, 24},
		"a machine": {levels{
			threshold.Memory: {Available: 20 * gibi, Capacity: 64 * gibi}, threshold.NodeSpace: {Available: 200 * gibi, Capacity: 400 * gibi},
		}, true, 13},
		"a machine where nothing rings": {levels{threshold.Memory: {Available: 10 * gibi, Capacity: 64 * gibi}}, false, 121},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(t)
			b.works = c.works
			b.start(threshold.Text{}, func(config *Config) {
				config.Thresholds = slices.DeleteFunc(config.Thresholds, func(t threshold.Threshold) bool {
					_, known := c.levels[t.Signal]
					return !known
				})
				config.Levels = func(context.Context, []threshold.Signal) (levels, error) {
					b.levels++
					return c.levels, nil
				}
			})
			defer b.end()
			pass(time.Hour)
			synctest.Wait()
			if b.levels > c.most {
				t.Errorf("%s was measured %d times an hour", name, b.levels)
			}
		})
	}
}

// While a disk is short through others nothing of pods is reclaimed each minute.
func TestReclaimsOnceForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, pod("small", 0))
		b.others = capacity
		reclaims := 0
		b.start(hard, func(c *Config) {
			c.Reclaims = []Reclaim{{Name: "logs", Signals: threshold.Signals, Do: func(context.Context, uint64) (string, error) {
				reclaims++
				return "logs", nil
			}}}
		})
		defer b.end()
		pass(time.Hour)
		b.did("0s EvictionThresholdMet", "10s NothingToEvict")
		if reclaims != 1 {
			t.Errorf("it was reclaimed %d times", reclaims)
		}
	})
}

func TestHold(t *testing.T) {
	for evictions, want := range map[int]time.Duration{0: 10 * time.Second, 1: 10 * time.Second, 2: 20 * time.Second, 8: 1280 * time.Second, 9: 30 * time.Minute, 1000: 30 * time.Minute} {
		if got := hold(evictions); got != want {
			t.Errorf("after %d: %s, not %s", evictions, got, want)
		}
	}
}

// The words are the kubelet's.
func TestMessage(t *testing.T) {
	p := &Pod{Requests: map[string]v1.ResourceList{"x": {v1.ResourceMemory: resource.MustParse("10Mi")}, "within": {v1.ResourceMemory: resource.MustParse("1Gi")}}}
	c := threshold.Crossed{
		Threshold: threshold.Threshold{Signal: threshold.Memory, Least: threshold.Amount{Quantity: 100 * mebi}}, Level: threshold.Level{Available: 53*mebi + 1000, Capacity: capacity},
	}
	used := Used{Containers: map[string]uint64{"x": 60 * mebi, "within": 20 * mebi, "helper": 2 * mebi}}
	want := "The node was low on resource: memory. Threshold quantity: 100Mi, available: 53Mi. " +
		"Container helper was using 2Mi, request is 0, has larger consumption of memory. Container x was using 60Mi, request is 10Mi, has larger consumption of memory. "
	if got := message(c, p, used); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	c = threshold.Crossed{Threshold: threshold.Threshold{Signal: threshold.Processes, Least: threshold.Amount{Part: 0.1}}, Level: threshold.Level{Available: 12, Capacity: 1000}}
	if got := message(c, p, Used{}); got != "The node was low on resource: pids. Threshold quantity: 100, available: 12. " {
		t.Error(got)
	}
}
