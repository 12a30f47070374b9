package watch

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/oom/record"
)

// Where only a counter tells a kill, it is of the limit that was hit then: with cgroup v1 those below are told as well.
func TestAtLimit(t *testing.T) {
	const pod, class, root, above = "/box/solopod/burstable/poduid-web", "/box/solopod/burstable", "/box/solopod", "/box"
	const container = pod + "/c1"
	type hits map[string]float64 // and when
	for name, c := range map[string]struct {
		v1, whole bool // whole: the pod's cgroup counts it, as the container's is gone
		hits      hits
		want      record.Owner
		of        string
	}{
		"none":                      {hits: hits{}, want: record.Unknown},
		"the container's":           {hits: hits{container: 0}, want: record.Container, of: container},
		"the pod's":                 {hits: hits{pod: 0}, want: record.Pod, of: pod},
		"the class'":                {hits: hits{class: 0.5}, want: record.Pods, of: class},
		"that of all pods":          {hits: hits{root: 0.5}, want: record.Pods, of: root},
		"one above":                 {hits: hits{above: 0.5}, want: record.Ancestor, of: above},
		"two":                       {hits: hits{container: 0, root: 0}, want: record.Unknown},
		"another class'":            {hits: hits{root + "/besteffort": 0}, want: record.Unknown},
		"another container's":       {hits: hits{pod + "/c3": 0, pod: 0}, want: record.Pod, of: pod},
		"one before":                {hits: hits{root: 0, container: 5}, want: record.Container, of: container},
		"one long before":           {hits: hits{root: 0.5, pod: -10}, want: record.Pods, of: root},
		"the pod counts it":         {whole: true, hits: hits{root: 5}, want: record.Pods, of: root},
		"with v1 the container's":   {v1: true, hits: hits{container: 5}, want: record.Container, of: container},
		"with v1 the pod's":         {v1: true, hits: hits{container: 5, pod: 5}, want: record.Pod, of: pod},
		"with v1 that of all pods":  {v1: true, hits: hits{container: 5, pod: 5, class: 5, root: 5}, want: record.Pods, of: root},
		"with v1 one above":         {v1: true, hits: hits{container: 5, pod: 5, class: 5, root: 5, above: 5}, want: record.Ancestor, of: above},
		"with v1 none of the limit": {v1: true, hits: hits{}, want: record.Unknown},
	} {
		b := &box{}
		j := joinOf(b, !c.v1, nil)
		j.root = root
		s, _ := b.Container("c1")
		counted := t0.Add(5 * time.Second)
		for of, at := range c.hits {
			if at < 1 && at >= 0 && name != "one before" {
				at += 5
			}
			noteHit(j, of, 1<<30, t0.Add(time.Duration(at*float64(time.Second))))
		}
		if c.whole {
			j.podCounted("uid-web", 1, 1, counted)
			placed(j, podKey("uid-web"), pod)
		} else {
			j.counted(s, 1, counted)
			placed(j, "c1", container)
		}
		for second := range 60 {
			j.settle(counted.Add(time.Duration(second) * time.Second))
		}
		if len(b.records) != 1 || b.records[0].Owner != c.want || b.records[0].Cgroup != c.of || (b.records[0].Limit != nil) != (c.of != "") || j.totals.Sum() != 1 {
			t.Errorf("%s: %+v", name, b.records)
		}
	}
}

func TestHitsAreBounded(t *testing.T) {
	j := joinOf(&box{}, true, nil)
	for n := range 3 * mostHits {
		noteHit(j, "/solopod", 1, t0.Add(time.Duration(n)*time.Millisecond))
	}
	if len(j.hits) != mostHits {
		t.Error(len(j.hits))
	}
	if noteHit(j, "/solopod", 1, t0.Add(time.Hour)); len(j.hits) != 1 {
		t.Error(len(j.hits))
	}
}

// limited tells of the limits that are followed; those in broken cannot be.
type limited struct {
	counter
	followed *[]string
	broken   string
}

func (l limited) WatchLimit(cgroupPath string, _ func()) (func(), error) {
	if cgroupPath == l.broken {
		return nil, errors.New("it is no more")
	}
	*l.followed = append(*l.followed, cgroupPath)
	return func() {
		*l.followed = slices.DeleteFunc(*l.followed, func(p string) bool { return p == cgroupPath })
	}, nil
}

// What lies above containers is followed once, until the last of them ends.
func TestFollowedLimits(t *testing.T) {
	w, _ := watcher(t, filepath.Join(t.TempDir(), "ooms.jsonl"), "boot-1", nil)
	var followed []string
	c := w.Heard(limited{followed: &followed, broken: "/solopod/burstable/poduid-db"})
	var stops []func()
	for n, path := range []string{webPath, dbPath} {
		stop, err := c.Watch(path, func(uint64) {})
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, stop)
		if want := []int{4, 5}[n]; len(followed) != want {
			t.Errorf("%d are followed, not %d: %s", len(followed), want, strings.Join(followed, " "))
		}
	}
	stops[0]()
	if got := fmt.Sprint(followed); got != "[/solopod/burstable /solopod "+dbPath+"]" {
		t.Error(got)
	}
	if stops[1](); len(followed) != 0 || len(w.limits.users) != 0 {
		t.Error(followed)
	}
}
