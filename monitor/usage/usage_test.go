package usage

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/storage"
)

// box is a machine whose places take a certain time to be measured. What takes longer than its limit fails then.
type box struct {
	mu     sync.Mutex
	places []storage.Place
	takes  map[string]time.Duration // by the place's name
	hangs  map[string]error         // those whose disk does not answer, and what is said of it
	begun  map[string][]time.Time
	busy   map[string]time.Duration
}

func newBox(places ...storage.Place) *box {
	return &box{places: places, takes: map[string]time.Duration{}, hangs: map[string]error{}, begun: map[string][]time.Time{}, busy: map[string]time.Duration{}}
}

func (b *box) Places() []storage.Place {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.places
}

func (b *box) Measure(ctx context.Context, p storage.Place, limit time.Duration) (storage.Measured, error) {
	b.mu.Lock()
	b.begun[p.Name] = append(b.begun[p.Name], time.Now())
	takes := b.takes[p.Name]
	b.busy[p.Name] += min(takes, limit)
	hangs := b.hangs[p.Name]
	b.mu.Unlock()
	if hangs != nil {
		pass(limit)
		return storage.Measured{}, fmt.Errorf("disk of %s: %w", p.Name, hangs)
	}
	select {
	case <-time.After(min(takes, limit)):
	case <-ctx.Done():
		return storage.Measured{}, ctx.Err()
	}
	if takes > limit {
		return storage.Measured{}, context.DeadlineExceeded
	}
	return storage.Measured{Space: foreign.Space{Bytes: 100, Inodes: 10}, FileSystem: storage.FileSystem{Capacity: 1000, Available: 800, Inodes: 50, InodesFree: 40}, At: time.Now()}, nil
}

func (b *box) times(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.begun[name])
}

func volume(name string) storage.Place {
	return storage.Place{Namespace: "n", Pod: "p", UID: "u", Kind: storage.Volume, Name: name}
}

// running runs a Meter in virtual time.
func running(t *testing.T, b *box, f func(t *testing.T, m *Meter)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := New(b)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := m.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		f(t, m)
		cancel()
		<-ended
	})
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// ask asks every 15 seconds, as a Prometheus.
func ask(lasting time.Duration, question func()) {
	for end := time.Now().Add(lasting); time.Now().Before(end); pass(15 * time.Second) {
		question()
	}
}

// Who asks is not made to wait, and is told the second time; it is measured each minute, and no longer when nobody asks.
func TestIntervals(t *testing.T) {
	b := newBox(volume("a"), volume("b"))
	b.takes["a"] = 50 * time.Millisecond
	running(t, b, func(t *testing.T, m *Meter) {
		pass(time.Hour)
		if n := b.times("a"); n > 0 {
			t.Errorf("nobody asked, and it was measured %d times", n)
		}
		begun := time.Now()
		if got := m.Pods(); len(got) > 0 || time.Since(begun) > 0 {
			t.Errorf("after %s there is already %v", time.Since(begun), got)
		}
		pass(time.Second)
		if got := m.Pods()["u"]; got == nil || len(got.Volumes) != 2 || got.Ephemeral == nil || got.Ephemeral.Bytes != 200 || got.Ephemeral.Space.Inodes != 20 {
			t.Errorf("a second later there is %+v", got)
		}
		ask(time.Hour, func() { m.Pods() })
		for _, name := range []string{"a", "b"} {
			if n := b.times(name); n < 60 || n > 66 {
				t.Errorf("within an hour %s was measured %d times", name, n)
			}
		}
		pass(patience + time.Minute)
		n := b.times("a")
		pass(24 * time.Hour)
		if more := b.times("a") - n; more > 0 {
			t.Errorf("long after the last question it was measured %d times more", more)
		}
		if got := m.Pods(); len(got) > 0 {
			t.Errorf("what was measured a day ago is still told: %v", got)
		}
	})
}

// The first question may wait for a moment, no longer, and others do not.
func TestAwait(t *testing.T) {
	b := newBox(volume("quick"), volume("slow"))
	b.takes["quick"], b.takes["slow"] = 10*time.Millisecond, time.Hour
	running(t, b, func(t *testing.T, m *Meter) {
		pass(time.Minute)
		begun := time.Now()
		m.Await(t.Context(), Everything, 200*time.Millisecond)
		if took := time.Since(begun); took != 200*time.Millisecond {
			t.Errorf("it waited %s", took)
		}
		if got := m.Pods()["u"]; got == nil || len(got.Volumes) != 1 || got.Ephemeral != nil {
			t.Errorf("there is %+v", got)
		}
		begun = time.Now()
		m.Await(t.Context(), Everything, 200*time.Millisecond)
		if took := time.Since(begun); took > 0 {
			t.Errorf("the second time it waited %s", took)
		}
	})
	b = newBox(volume("quick"))
	b.takes["quick"] = 10 * time.Millisecond
	running(t, b, func(t *testing.T, m *Meter) {
		begun := time.Now()
		m.Await(t.Context(), Everything, time.Second)
		if took := time.Since(begun); took != 10*time.Millisecond || len(m.Pods()["u"].Volumes) != 1 {
			t.Errorf("after %s there is %+v", took, m.Pods())
		}
	})
}

// Pods that make their volumes endless have a small share of a processor, and the others are measured as ever.
func TestHostile(t *testing.T) {
	places := []storage.Place{volume("good")}
	for n := range 20 {
		places = append(places, volume(fmt.Sprint("endless", n)))
	}
	b := newBox(places...)
	for n := range 20 {
		b.takes[fmt.Sprint("endless", n)] = time.Hour
	}
	b.takes["good"] = 20 * time.Millisecond
	const lasting = 6 * time.Hour
	running(t, b, func(t *testing.T, m *Meter) {
		ask(lasting, func() { m.Pods() })
		if got := m.Pods()["u"]; len(got.Volumes) != 1 || got.Volumes[0].Name != "good" || time.Since(got.Volumes[0].At) > 2*time.Minute {
			t.Errorf("there is %+v", got.Volumes)
		}
	})
	if n := b.times("good"); n < 5*60 {
		t.Errorf("beside others the small volume was measured %d times within %s", n, lasting)
	}
	var busy time.Duration
	for n := range 20 {
		name := fmt.Sprint("endless", n)
		busy += b.busy[name]
		if b.times(name) < 2 {
			t.Errorf("%s has had no second chance", name)
		}
	}
	if share := busy.Seconds() / lasting.Seconds(); share > 0.11 {
		t.Errorf("the endless volumes have taken %.0f %% of the time", 100*share)
	}
}

// A disk that did not answer for a while is measured soon after it does again. Meanwhile its volume is unknown, and what else the pod has is not.
func TestHangs(t *testing.T) {
	for _, c := range []struct {
		err  error
		soon time.Duration
	}{{aside.ErrHangs, 2 * time.Minute}, {unix.ENOTCONN, 6 * time.Minute}} {
		claim := volume("nfs")
		claim.Claim = "data"
		b := newBox(volume("good"), claim)
		running(t, b, func(t *testing.T, m *Meter) {
			ask(5*time.Minute, func() { m.Pods() })
			set := func(hangs error) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.hangs["nfs"] = hangs
			}
			set(c.err)
			ask(5*time.Minute, func() { m.Pods() })
			if got := m.Pods()["u"]; len(got.Volumes) != 1 || got.Volumes[0].Name != "good" || time.Since(got.Volumes[0].At) > 2*time.Minute || got.Ephemeral == nil {
				t.Errorf("%v: while the disk hangs there is %+v", c.err, got)
			}
			set(nil)
			ask(c.soon, func() { m.Pods() })
			if got := m.Pods()["u"]; len(got.Volumes) != 2 || got.Ephemeral == nil {
				t.Errorf("%v: when the disk answers there is %+v", c.err, got)
			}
		})
	}
}

// What takes long, and ends, is told too, and measured more seldom.
func TestLarge(t *testing.T) {
	b := newBox(volume("large"))
	b.takes["large"] = 6 * time.Second
	running(t, b, func(t *testing.T, m *Meter) {
		ask(time.Hour, func() { m.Pods() })
		if got := m.Pods()["u"]; len(got.Volumes) != 1 {
			t.Errorf("there is %+v", got)
		}
	})
	if n := b.times("large"); n < 8 || n > 14 {
		t.Errorf("within an hour it was measured %d times", n)
	}
}

// Only what is asked for is measured, and a claim of two pods once.
func TestPurposes(t *testing.T) {
	first := storage.Place{Namespace: "n", Pod: "p", UID: "u", Kind: storage.Volume, Name: "data", Claim: "db"}
	second := first
	second.Pod, second.UID, second.Name = "q", "v", "again"
	layer := storage.Place{Namespace: "n", Pod: "p", UID: "u", Kind: storage.Layer, Name: "c", ID: "id"}
	b := newBox(first, second, layer, volume("scratch"))
	running(t, b, func(t *testing.T, m *Meter) {
		m.Await(t.Context(), Claims, time.Second)
		if b.times("data")+b.times("again") != 1 || b.times("c") != 0 || b.times("scratch") != 0 {
			t.Errorf("for claims: %v", b.begun)
		}
		m.Await(t.Context(), Layers, time.Second)
		if got := m.Layers(); got["id"].Bytes != 100 || b.times("scratch") != 0 {
			t.Errorf("layers are %+v", got)
		}
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(m.ClaimMetrics())
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, metric := range f.Metric {
				for _, l := range metric.Label {
					if l.GetValue() != map[string]string{"namespace": "n", "persistentvolumeclaim": "db"}[l.GetName()] {
						t.Errorf("%s has %v", f.GetName(), metric.Label)
					}
				}
				got[strings.TrimPrefix(f.GetName(), "kubelet_volume_stats_")] += metric.GetGauge().GetValue()
			}
		}
		if want := map[string]float64{"capacity_bytes": 1000, "available_bytes": 800, "used_bytes": 100, "inodes": 50, "inodes_free": 40, "inodes_used": 10}; !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A pod that is gone is forgotten, and a new one is found while somebody asks.
func TestPodsComeAndGo(t *testing.T) {
	b := newBox(volume("a"))
	running(t, b, func(t *testing.T, m *Meter) {
		m.Await(t.Context(), Everything, time.Second)
		other := volume("b")
		other.UID = "v"
		b.mu.Lock()
		b.places = []storage.Place{other}
		b.mu.Unlock()
		ask(30*time.Second, func() { m.Pods() })
		if got := m.Pods(); got["u"] != nil || got["v"] == nil || len(got["v"].Volumes) != 1 {
			t.Errorf("there is %v", got)
		}
	})
}
