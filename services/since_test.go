package services

import (
	"fmt"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/served"
)

// What is shown says since when it is there: over edits, restarts and files that cannot be read, but not over a removal.
func TestSince(t *testing.T) {
	b := newBox(t)
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "deny"}}
	given := metav1.NewTime(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC))
	old := web(func(s *v1.Service) { s.Name, s.CreationTimestamp = "old", given })
	original := web()
	began := time.Now().Truncate(time.Second)
	b.apply(original, old, policy)
	b.until("the first table", func(t *served.Table) bool { return len(t.Services) == 2 })
	of := func(name string) time.Time {
		for _, s := range b.control.Services() {
			if s.Name == name {
				return s.CreationTimestamp.Time
			}
		}
		return time.Time{}
	}
	first := of("web")
	if first.Before(began) || first.After(time.Now()) || !of("old").Equal(given.Time) || !original.CreationTimestamp.IsZero() {
		t.Errorf("it is there since %s, and another since %s", first, of("old"))
	}
	if p := b.control.NetworkPolicies(); len(p) != 1 || p[0].CreationTimestamp.Time.Before(began) {
		t.Errorf("the policies are %+v", p)
	}
	for _, s := range b.control.EndpointSlices() {
		if want := of(s.Labels["kubernetes.io/service-name"]); !s.CreationTimestamp.Time.Equal(want) {
			t.Errorf("the slice %s is there since %s, and its service since %s", s.Name, s.CreationTimestamp, want)
		}
	}
	// The record is made older, so that a time that was made anew shows.
	past := first.Add(-time.Hour)
	b.stop()
	r, _ := loadRecord(b.path)
	if len(r.Since) != 3 {
		t.Fatalf("on record are %v", r.Since)
	}
	r.Since["service/d/web"] = past
	if err := writeRecord(b.path)(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	b.start()
	port := func(n int32) func(*v1.Service) { return func(s *v1.Service) { s.Spec.Ports[0].Port = n } }
	b.apply(web(port(81)), policy)
	b.until("the edit", func(t *served.Table) bool { return len(t.Services) == 1 && t.Services[0].Ports[0].Port == 81 })
	if got := of("web"); !got.Equal(past) {
		t.Errorf("after an edit and a restart it is there since %s, not %s", got, past)
	}
	b.applyWith(manifests.StateInvalid, old)
	b.until("its file cannot be read", func(t *served.Table) bool { return len(t.Services) == 1 && t.Services[0].Name == "old" })
	b.apply(web(port(82)))
	b.until("its file can be read", func(t *served.Table) bool { return t.Services[0].Ports[0].Port == 82 })
	if got := of("web"); !got.Equal(past) {
		t.Errorf("after its file could not be read it is there since %s, not %s", got, past)
	}
	b.apply(old)
	b.until("it is removed", func(t *served.Table) bool { return len(t.Services) == 1 && t.Services[0].Name == "old" })
	b.apply(web())
	b.until("it is back", func(t *served.Table) bool { return t.Services[0].Name == "web" })
	if got := of("web"); got.Before(began) {
		t.Errorf("what was removed and made anew is there since %s", got)
	}
}

// While a file cannot be read what comes and goes beside it does not have the record grow for ever.
func TestRecordIsBounded(t *testing.T) {
	b := newBox(t)
	for round := range 5 {
		var many []metav1.Object
		for i := range 500 {
			many = append(many, web(func(s *v1.Service) { s.Name = fmt.Sprintf("web-%d-%d", round, i) }))
		}
		b.applyWith(manifests.StateInvalid, many...)
		b.until("the round's services", func(t *served.Table) bool { return t.Services[0].Name == fmt.Sprintf("web-%d-0", round) })
	}
	b.stop()
	r, damaged := loadRecord(b.path)
	if n := 500 + mostGone; damaged || len(r.Given) != n || len(r.Since) != n {
		t.Errorf("%d services and %d times are on record", len(r.Given), len(r.Since))
	}
}
