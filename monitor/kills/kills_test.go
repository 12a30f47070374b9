package kills

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/oom/total"
)

// Series begin at zero with their pod, count what was counted, and go with the pod.
func TestKills(t *testing.T) {
	pod := &v1.Pod{Spec: v1.PodSpec{InitContainers: []v1.Container{{Name: "first"}}, Containers: []v1.Container{{Name: "main"}}}}
	pod.Namespace, pod.Name, pod.UID = "default", "web", "1"
	var totals total.Totals
	kill := func(uid, container string, owner record.Owner, at int64) record.Record {
		r := record.Record{Pod: record.PodName{UID: uid, Namespace: "default", Name: "of " + uid}, Container: container, Owner: owner, Time: time.Unix(at, 0)}
		totals.Add(r, 1)
		return r
	}
	records := []record.Record{
		kill("1", "main", record.Container, 10), kill("1", "main", record.Container, 20), kill("1", "main", record.Pods, 30), kill("1", "", record.Unknown, 40), kill("gone", "main", record.Pod, 50),
		kill("", "", record.Machine, 60),
	}
	c := New(Source{Totals: func() total.Totals { return totals }, Records: func() []record.Record { return records[:2] }, Pods: func() []*v1.Pod {
		former := pod.DeepCopy()
		former.UID = "2"
		return []*v1.Pod{pod, former}
	}})
	want := `solopod_node_oom_kills_total counter kind=ancestor 0
solopod_node_oom_kills_total counter kind=machine 1
solopod_node_oom_kills_total counter kind=unknown 0
solopod_oom_kills_total counter container= kind=unknown namespace=default pod=web 1
solopod_oom_kills_total counter container=first kind=ancestor namespace=default pod=web 0
solopod_oom_kills_total counter container=first kind=container namespace=default pod=web 0
solopod_oom_kills_total counter container=first kind=machine namespace=default pod=web 0
solopod_oom_kills_total counter container=first kind=pod namespace=default pod=web 0
solopod_oom_kills_total counter container=first kind=pods namespace=default pod=web 0
solopod_oom_kills_total counter container=first kind=unknown namespace=default pod=web 0
solopod_oom_kills_total counter container=main kind=ancestor namespace=default pod=web 0
solopod_oom_kills_total counter container=main kind=container namespace=default pod=web 2
solopod_oom_kills_total counter container=main kind=machine namespace=default pod=web 0
solopod_oom_kills_total counter container=main kind=pod namespace=default pod=web 0
solopod_oom_kills_total counter container=main kind=pods namespace=default pod=web 1
solopod_oom_kills_total counter container=main kind=unknown namespace=default pod=web 0
solopod_oom_last_kill_timestamp_seconds gauge container=main namespace=default pod=of 1 20
`
	if got := gathered(t, c); got != want {
		t.Errorf("got\n%s", got)
	}
	totals.Early = true
	if got := gathered(t, c); strings.Contains(got, "solopod_node_oom_kills_total") {
		t.Errorf("kills from before Solopod would be an increase:\n%s", got)
	}
}

// gathered has a line of each sample.
func gathered(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range families {
		for _, m := range f.Metric {
			fmt.Fprint(&out, f.GetName(), " ", strings.ToLower(f.GetType().String()))
			for _, l := range m.Label {
				fmt.Fprintf(&out, " %s=%s", l.GetName(), l.GetValue())
			}
			fmt.Fprintln(&out, "", m.GetCounter().GetValue()+m.GetGauge().GetValue())
		}
	}
	return out.String()
}
