package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/eviction"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/storage"
)

// fakeDisks are places whose measurements are their names'.
type fakeDisks struct {
	places []storage.Place
	took   map[string]time.Duration
	fails  map[string]error
}

func (f fakeDisks) Places() []storage.Place { return f.places }

func (f fakeDisks) Measure(ctx context.Context, p storage.Place, limit time.Duration) (storage.Measured, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m := storage.Measured{Space: foreign.Space{Bytes: 1 << 20, Inodes: 7}}
	select {
	case <-ctx.Done():
		return m, fmt.Errorf("walking: %w", ctx.Err())
	case <-time.After(f.took[p.Name]):
		return m, f.fails[p.Name]
	}
}

// TestOnDisks: what goes at an eviction counts, and nothing else; what is too large to be counted in time is known as that, and the whole of
// it takes ten seconds at most.
func TestOnDisks(t *testing.T) {
	volume := func(uid, name string) storage.Place { return storage.Place{UID: uid, Kind: storage.Volume, Name: name} }
	layer := func(uid, name, id string) storage.Place {
		return storage.Place{UID: uid, Kind: storage.Layer, Name: name, ID: id}
	}
	all := []storage.Place{
		volume("a", "data"), layer("a", "main", "here"), layer("a", "helper", "elsewhere"), {UID: "a", Kind: storage.Logs, Name: "main", ID: "here"},
		{UID: "a", Kind: storage.ImageVolumes, Name: "main", ID: "here"},
		{UID: "a", Kind: storage.Volume, Name: "claimed", Claim: "c"}, {UID: "a", Kind: storage.Volume, Name: "fast", Memory: true},
		volume("large", "many"), volume("large", "few"), volume("broken", "hangs"), volume("going", "gone"), {UID: "logger", Kind: storage.Logs, Name: "main"},
	}
	d := fakeDisks{all, map[string]time.Duration{"many": time.Hour}, map[string]error{"hangs": fmt.Errorf("it: %w", aside.ErrHangs), "gone": os.ErrNotExist}}
	here := func() func(string) bool { return func(id string) bool { return id == "here" } }
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got := onDisks(t.Context(), d, here, false)
		want := map[string]eviction.Used{
			"a":     {Amount: 3 << 20, Containers: map[string]uint64{"main": 2 << 20}},
			"large": {Amount: 2 << 20, More: true}, "broken": {Amount: 1 << 20, Unknown: true}, "going": {Amount: 1 << 20},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
		if got := onDisks(t.Context(), d, here, true); got["a"].Amount != 21 || got["a"].Containers["main"] != 14 || !got["large"].More {
			t.Errorf("files: %+v", got)
		}
		if took := time.Since(began); took > 2*placeLimit {
			t.Errorf("it took %s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := fakeDisks{took: map[string]time.Duration{"many": time.Hour}}
		for i := range 100 {
			d.places = append(d.places, volume(fmt.Sprint(i), "many"))
		}
		began := time.Now()
		got := onDisks(t.Context(), d, here, false)
		if took := time.Since(began); took > 10*time.Second || len(got) != 100 || !got["0"].More || got["99"].More || !got["99"].Unknown {
			t.Errorf("%+v after %s", got, took)
		}
	})
}

func TestUpperDir(t *testing.T) {
	const mounts = "25 30 0:23 / /sys rw shared:7 - sysfs sysfs rw\n" +
		"70 30 0:60 / /run/containerd/io.containerd.runtime.v2.task/solopod/one/rootfs rw shared:1 - overlay overlay rw,lowerdir=/l/1/fs:/l/2/fs,upperdir=/data/7/fs,workdir=/data/7/work\n" +
		"71 30 0:61 / /run/containerd/io.containerd.runtime.v2.task/solopod/two/rootfs rw - overlay overlay ro,lowerdir=/l\n" +
		"72 30 0:62 / /three/rootfs rw - ext4 /dev/x rw,upperdir=/no\nbroken\n\n"
	for id, want := range map[string]string{"one": "/data/7/fs", "two": "", "three": "", "four": "", "": ""} {
		if got := upperDirs(mounts)[id]; got != want {
			t.Errorf("%s: %q, not %q", id, got, want)
		}
	}
	if same, err := sameDisk(t.TempDir(), "/proc"); same || err != nil {
		t.Error(same, err)
	}
	dir := t.TempDir()
	if same, err := sameDisk(dir, dir); !same || err != nil {
		t.Error(same, err)
	}
	if _, err := sameDisk(dir, dir+"/none"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	inside, outside := (&config{Containerd: embeddedContainerd}).layersOn(), (&config{Containerd: "/run/containerd/containerd.sock", Root: dir}).layersOn()
	if !inside()("x") || outside()("no-such-container") {
		t.Error("layers of a containerd inside lie on the disk of root, and unknown ones do not")
	}
}
