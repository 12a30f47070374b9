package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/solopod/solopod/runner/eviction/threshold"
)

// TestEvictionSettings: the kubelet's settings of evictions are taken as they are, and what is wrong with them has its place.
func TestEvictionSettings(t *testing.T) {
	file, load := settingsFile(t)
	for text, want := range map[string]int{
		"":                 5,
		"evictionHard: {}": 0,
		"evictionHard:":    5,
		"evictionMinimumReclaim: {nodefs.available: 0Mi}":                                                                                  5,
		"evictionHard: {memory.available: 500Mi}":                                                                                          1,
		"evictionHard: {memory.available: \"0%\", pid.available: '1000'}":                                                                  1,
		"evictionHard: {memory.available: 10%}\nevictionMaxPodGracePeriod: 60":                                                             1,
		"evictionSoft: {memory.available: 1Gi}\nevictionSoftGracePeriod:\n  memory.available: 1m30s\nevictionPressureTransitionPeriod: 0s": 6,
	} {
		c, err := load(text)
		if got := c.thresholds(); err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"# a box\nevictionHard:\n  nodefs.available: 10%\n  memory.availble: 1Gi": `F:4:20: evictionHard: memory.availble: there is no such signal; did you mean memory.available?`,
		"evictionHard: {memory.available: 110%}":                                  `F:1:34: evictionHard: memory.available: "110%" is more than 100 %, which there cannot be`,
		"evictionSoft:\n  memory.available: 1Gi":                                  "F:2:21: evictionSoft: memory.available: it needs a time for which it must be crossed; set evictionSoftGracePeriod, like {memory.available: 1m30s}",
		"evictionMinimumReclaim:\n  pid.available: '5'":                           "F:2:18: evictionMinimumReclaim: pid.available: no threshold is set for it, so that nothing is reclaimed; set one in evictionHard or evictionSoft, or remove this",
		"evictionMaxPodGracePeriod: -1":                                           "F:1:28: evictionMaxPodGracePeriod: it cannot be negative; it is a number of seconds, or 0 for no bound",
		"evictionPressureTransitionPeriod: -1s":                                   "F:1:35: evictionPressureTransitionPeriod: it cannot be negative; it is a duration like 30s or 1m30s",
		"evictionHard: {memory.available: 100}":                                   "F:1:15: evictionHard: expected a text, in quotes, found a number; it is an object of quantities or parts by signal, like {memory.available: 100Mi, nodefs.available: 10%}",
	} {
		_, err := load(text)
		if want = strings.ReplaceAll(want, "F:", file+":"); err == nil || err.Error() != want {
			t.Errorf("%q: got\n%v\nwant\n%s", text, err, want)
		}
	}
	if list := (&config{Containerd: embeddedContainerd}).thresholds(); len(list) != len(threshold.Defaults()) {
		t.Errorf("%v", list)
	}
}

// TestEvictionOutsideContainerd: where images lie is not known then, so that there is no threshold of them: what cannot be measured would
// keep pods from being let in again.
func TestEvictionOutsideContainerd(t *testing.T) {
	for _, containerd := range []string{embeddedContainerd, "/run/containerd/containerd.sock"} {
		c := &config{Root: t.TempDir(), Containerd: containerd, EvictionHard: map[string]string{
			"memory.available": "1Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%", "imagefs.inodesFree": "1%",
		}}
		var signals, want []threshold.Signal
		for _, th := range c.thresholds() {
			signals = append(signals, th.Signal)
		}
		if want = signals; containerd != embeddedContainerd {
			want = []threshold.Signal{threshold.Memory, threshold.NodeSpace, threshold.NodeFiles}
			slices.Sort(want)
			slices.Sort(signals)
		}
		if !slices.Equal(signals, want) {
			t.Errorf("%s: %v", containerd, signals)
		}
		levels, err := c.supply().Levels(t.Context(), signals)
		if err != nil || len(levels) != len(signals) {
			t.Errorf("%s: of %v there is %v, %v", containerd, signals, levels, err)
		}
	}
}
