package total

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/solopod/solopod/oom/record"
)

func of(pod, container string, owner record.Owner) record.Record {
	r := record.Record{Container: container, Owner: owner}
	if pod != "" {
		r.Pod = record.PodName{UID: "uid-" + pod, Namespace: "default", Name: pod}
	}
	return r
}

// What is counted is there again from what was kept.
func TestKept(t *testing.T) {
	var totals Totals
	for range 3 {
		totals.Add(of("web", "main", record.Container), 1)
	}
	totals.Add(of("web", "main", record.Pod), 2)
	totals.Add(of("web", "", record.Unknown), 1)
	totals.Add(of("db", "main", record.Machine), 1)
	totals.Add(of("", "", record.Ancestor), 4)
	text, err := json.Marshal(totals.Kept())
	if err != nil {
		t.Fatal(err)
	}
	var kept Kept
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	again := Of(kept)
	if !reflect.DeepEqual(again.Clone(), totals.Clone()) || again.Sum() != 11 || again.Pods["uid-web"].Kills[Key{"main", record.Container}] != 3 || again.Node[record.Ancestor] != 4 {
		t.Errorf("%+v, not %+v", again, totals)
	}
	clone := again.Clone()
	again.Add(of("web", "main", record.Container), 1)
	again.Add(of("", "", record.Ancestor), 1)
	if clone.Sum() != 11 {
		t.Errorf("a clone changes to %+v", clone)
	}
	if damaged := Of(Kept{Node: map[record.Owner]uint64{"": 1, "sun": 2, record.Pod: 1 << 60}, Pods: []KeptPod{{Kills: map[string]map[record.Owner]uint64{"c": {record.Pod: 1}}}}}); damaged.Sum() != 0 {
		t.Errorf("of damage there is %+v", damaged)
	}
}

// A pod's kills go with it, and stay where nobody knows whether it is gone.
func TestKeep(t *testing.T) {
	for name, c := range map[string]struct {
		all   bool
		there []map[string]bool
		want  uint64
	}{
		"nobody knows":             {true, []map[string]bool{nil, nil}, 2},
		"it is not there yet":      {false, []map[string]bool{{}, {}}, 2},
		"it is there":              {true, []map[string]bool{{"uid-web": true}, {"uid-web": true}}, 2},
		"it is gone":               {false, []map[string]bool{{"uid-web": true}, {}}, 1},
		"it went before the start": {true, []map[string]bool{{}}, 1},
	} {
		var totals Totals
		totals.Add(of("web", "main", record.Container), 1)
		totals.Add(of("", "", record.Machine), 1)
		for _, there := range c.there {
			totals.Keep(there, c.all)
		}
		if got := totals.Sum(); got != c.want {
			t.Errorf("%s: %d, not %d", name, got, c.want)
		}
	}
}

// Pods that nobody forgets are bounded.
func TestBound(t *testing.T) {
	var totals Totals
	for n := range 2 * mostPods {
		totals.Add(of(fmt.Sprint(n), "main", record.Container), 1)
	}
	if _, ok := totals.Pods[fmt.Sprint("uid-", 2*mostPods-1)]; !ok || len(totals.Pods) != mostPods || len(totals.order) != mostPods {
		t.Errorf("%d pods are counted", len(totals.Pods))
	}
}
