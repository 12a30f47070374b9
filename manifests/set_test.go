package manifests

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func pod(name string) *v1.Pod {
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)}}
}

// describe says of each file its state, pods and first problem.
func describe(s Snapshot) string {
	var out []string
	for _, f := range s.Files {
		line := f.Name + " " + f.State + " " + strings.Join(f.Pods, ",")
		if len(f.Problems) > 0 {
			line += " (" + f.Problems[0].Error() + ")"
		}
		out = append(out, strings.TrimSpace(line))
	}
	return strings.Join(out, "; ")
}

func TestSet(t *testing.T) {
	now := time.Unix(1e9, 0)
	bad := Problems{{File: "a", Message: "bad"}}
	immutable := func(value string) Contents {
		yes := true
		return Contents{ConfigMaps: []*v1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c"}, Immutable: &yes, Data: map[string]string{"k": value}}}}
	}
	s := NewSet([]Desired{{pod("old"), "a"}})
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "a Active default/old"},
		{func() { s.Put("a", Contents{}, bad, now) }, "a Invalid default/old (a: bad)"},
		{func() { s.Put("a", Contents{Pods: []*v1.Pod{pod("new")}}, nil, now) }, "a Active default/new"},
		{func() { s.Put("b", Contents{Pods: []*v1.Pod{pod("new")}}, nil, now) }, "a Active default/new; b Conflict  (b: metadata.name: pod default/new is already defined by a, which comes first by name; remove or rename one of them)"},
		{func() { s.Drop("b") }, "a Active default/new"},
		{func() { s.Await(map[string]string{"a": "slow", "c": "slow"}, now) }, "a Active default/new (a: warning: slow); c Invalid  (c: slow)"},
		{func() { s.Await(nil, now); s.Drop("c") }, "a Active default/new"},
		{func() { s.Put("a", immutable("1"), nil, now) }, "a Active"},
		{func() { s.Put("a", immutable("2"), nil, now) }, "a Invalid  (a: immutable: ConfigMap default/c is immutable, and its data have changed; remove it from the directory first, or give the new one another name)"},
	} {
		step.do()
		if got := describe(s.Snapshot(now)); got != step.want {
			t.Errorf("got  %s\nwant %s", got, step.want)
		}
	}
	s.SetDirectoryError("gone")
	if s.Snapshot(now).DirectoryError != "gone" {
		t.Error("the directory's error is lost")
	}
}
