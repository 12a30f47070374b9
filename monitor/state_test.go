package monitor

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// strangeFiles are manifests whose names are no text.
type strangeFiles struct{}

func (strangeFiles) Pods() []*v1.Pod { return nil }

func (strangeFiles) Busy() (int, time.Duration) { return 0, 0 }

func (strangeFiles) Files() (files []manifests.File, problem, unwatched string) {
	for _, name := range []string{"b\xfcro.yaml", `b\xfcro.yaml`, "a\"b\nc.yaml"} {
		files = append(files, manifests.File{Name: name, State: manifests.StateInvalid, Problems: manifests.Problems{{Message: "it is wrong"}}})
	}
	return files, "", ""
}

// A file whose name is not UTF-8 spoils no scrape.
func TestFileNames(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewStates(strangeFiles{}, "box"))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "solopod_manifest_errors" {
			continue
		}
		for _, m := range f.Metric {
			got[m.Label[0].GetValue()] = m.Gauge.GetValue()
		}
	}
	if len(got) != 2 || got[`b\xfcro.yaml`] != 2 || got["a\"b\nc.yaml"] != 1 {
		t.Errorf("got %v", got)
	}
}
