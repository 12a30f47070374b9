package supply

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/pressure"
)

// box is a machine of a test. What lies at /hangs waits until the test ends.
type box struct{ ended <-chan struct{} }

func (box) Memory() (uint64, uint64, error) { return 1000, 400, nil }

func (b box) Disk(dir string) (pressure.Disk, error) {
	switch dir {
	case "/hangs":
		<-b.ended
	case "/gone":
		return pressure.Disk{}, errors.New("there is none")
	case "/btrfs":
		return pressure.Disk{Size: 100, Available: 50}, nil
	}
	return pressure.Disk{Size: 100, Available: 30, Files: 20, FilesFree: 5}, nil
}

func (box) Processes() (uint64, uint64, error) { return 120, 100, nil }

type levels = map[threshold.Signal]threshold.Level

func TestLevels(t *testing.T) {
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	all := levels{threshold.Memory: {Available: 400, Capacity: 1000}, threshold.Processes: {Available: 0, Capacity: 100}}
	with := func(more levels) levels {
		for s, l := range all {
			more[s] = l
		}
		return more
	}
	for name, c := range map[string]struct {
		root, images string
		wanted       []threshold.Signal
		want         levels
		says         string
	}{
		"everything": {"/root", "/root", threshold.Signals, with(levels{
			threshold.NodeSpace: {Available: 30, Capacity: 100}, threshold.NodeFiles: {Available: 5, Capacity: 20},
			threshold.ImageSpace: {Available: 30, Capacity: 100}, threshold.ImageFiles: {Available: 5, Capacity: 20},
		}), ""},
		"what is wanted alone":    {"/hangs", "", []threshold.Signal{threshold.Memory}, levels{threshold.Memory: {Available: 400, Capacity: 1000}}, ""},
		"nothing":                 {"/hangs", "/hangs", nil, levels{}, ""},
		"of a disk without files": {"/btrfs", "", []threshold.Signal{threshold.NodeSpace, threshold.NodeFiles}, levels{threshold.NodeSpace: {Available: 50, Capacity: 100}, threshold.NodeFiles: {}}, ""},
		"images are elsewhere":    {"/root", "", []threshold.Signal{threshold.ImageSpace}, levels{}, ""},
		"a disk that hangs": {"/hangs", "/images", []threshold.Signal{threshold.Memory, threshold.NodeSpace, threshold.ImageSpace}, levels{
			threshold.Memory: {Available: 400, Capacity: 1000}, threshold.ImageSpace: {Available: 30, Capacity: 100},
		}, "/hangs took longer than 1s"},
		"a disk that is gone": {"/gone", "", threshold.Signals, all, "there is none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			got, err := New(box{ended}, c.root, c.images).Levels(context.Background(), c.wanted)
			if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %v; want %v", got, err, c.want)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestLinux(t *testing.T) {
	dir := t.TempDir()
	got, err := New(pressure.Linux{}, dir, dir).Levels(context.Background(), threshold.Signals)
	if err != nil || len(got) != len(threshold.Signals) {
		t.Fatal(got, err)
	}
	for s, l := range got {
		if l.Available > l.Capacity || l.Capacity == 0 && s != threshold.NodeFiles && s != threshold.ImageFiles {
			t.Errorf("%s: %+v", s, l)
		}
	}
}

func TestMetrics(t *testing.T) {
	list, wrong := threshold.Parse(threshold.Text{
		Hard: map[string]string{"memory.available": "100", "nodefs.inodesFree": "10%", "imagefs.available": "1"},
		Soft: map[string]string{"memory.available": "20%"}, SoftGracePeriod: map[string]string{"memory.available": "1m"},
	})
	if wrong != nil {
		t.Fatal(wrong)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(New(box{}, "/root", "/btrfs").Metrics(list))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = m.Gauge.GetValue()
		}
	}
	want := map[string]float64{
		"solopod_eviction_available memory.available": 400, "solopod_eviction_available nodefs.inodesFree": 5, "solopod_eviction_available imagefs.available": 50,
		"solopod_eviction_threshold hard memory.available": 100, "solopod_eviction_threshold soft memory.available": 200,
		"solopod_eviction_threshold hard nodefs.inodesFree": 2, "solopod_eviction_threshold hard imagefs.available": 1,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}
