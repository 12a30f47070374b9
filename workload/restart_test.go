package workload

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/workload/history"
)

// again asks for a restart, and looks.
func (w *world) again(kind, name string) error {
	w.t.Helper()
	select {
	case <-w.c.kick: // of what was looked at before
	default:
	}
	answer := make(chan error, 1)
	go func() { answer <- w.c.RestartPods(w.t.Context(), kind, "default", name) }()
	select {
	case err := <-answer:
		return err
	case <-w.c.kick:
	}
	w.c.look(w.box.now)
	return <-answer
}

// restarts are the moments that the pods were told last, in the order of their names.
func (w *world) restarts() string {
	var out []string
	for _, p := range w.box.pods {
		out = append(out, p.taken.Name+" "+p.taken.Annotations[manifests.RestartedAnnotation])
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// A restart of pods is a rollout of the same template, which outlives a crash.
func TestRestartPods(t *testing.T) {
	w := newWorld(t, newFakeBox())
	path := filepath.Join(t.TempDir(), "workloads.json")
	start := func(known []manifests.Desired) {
		w.c = New(w.box, path, known, history.Settings{}, func(string, string, string, string, string, string) {})
		t.Cleanup(w.c.store.Close)
	}
	start(nil)
	w.put("web", object("Deployment", "web", "a", "replicas: 2", "")+"---\n"+object("StatefulSet", "db", "a", "replicas: 3\n  updateStrategy: {rollingUpdate: {partition: 2}}", ""))
	w.look()
	w.settle()
	first := w.box.now.UTC().Format(time.RFC3339)
	changes, cancel := w.c.Subscribe()
	if err := w.again("Deployment", "web"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changes:
	default:
		t.Error("who has subscribed is not told")
	}
	cancel()
	// The status that follows at once is that of the rollout: who then asks for it does not take the former one for its end.
	if r := w.c.Statuses()[0].Replicas; r.Complete || r.Updated != 0 {
		t.Errorf("after the request: %+v", r)
	}
	var story []string
	for range 30 {
		if s := w.box.shown(); len(story) == 0 || story[len(story)-1] != s {
			story = append(story, s)
		}
		w.tick()
	}
	const db = "DB-0:A DB-1:A DB-2:A "
	if got, want := strings.ReplaceAll(strings.Join(story, "; "), db, ""), "WEB-0:A WEB-1:A web-2:a; WEB-0:A WEB-1:A WEB-2:A; WEB-1:A WEB-2:A web-0:a; WEB-0:A WEB-1:A WEB-2:A; "+
		"WEB-0:A WEB-2:A web-1:a; -web-2:a WEB-0:A WEB-1:A; WEB-0:A WEB-1:A"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r := w.c.Statuses()[0].Replicas; !r.Complete || r.Updated != 2 {
		t.Errorf("at the end: %+v", r)
	}
	if got, want := w.restarts(), "db-0 , db-1 , db-2 , web-0 "+first+", web-1 "+first; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	// Partition, and a crash in the middle; a second one in the same second is another one.
	w.box.now = t0
	for range 2 {
		if err := w.again("StatefulSet", "db"); err != nil {
			t.Fatal(err)
		}
	}
	start(w.box.crash())
	w.look()
	w.settle()
	if got, want := w.restarts(), "db-0 , db-1 , db-2 "+t0.Add(time.Second).UTC().Format(time.RFC3339)+", web-0 "+first+", web-1 "+first; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r := w.c.Statuses()[1].Replicas; !r.Complete || r.Partition != 2 || r.Updated != 1 {
		t.Errorf("a partition: %+v", r)
	}

	// What is not there is said, and what has gone is forgotten.
	if err := w.again("Deployment", "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	w.put("web", object("Deployment", "web", "a", "replicas: 2", ""))
	w.look()
	if got := w.c.state.Restarted; len(got) != 1 || got["deployment/default/web"].IsZero() {
		t.Errorf("%v", got)
	}
}

// Who asks does not wait longer than it wants.
func TestRestartPodsGivesUp(t *testing.T) {
	w := newWorld(t, newFakeBox())
	w.put("web", object("Deployment", "web", "a", "replicas: 1", ""))
	w.look()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.c.RestartPods(ctx, "Deployment", "default", "web"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Who asks when the last object has just gone is answered all the same.
func TestRestartPodsOfNothing(t *testing.T) {
	w := newWorld(t, newFakeBox())
	w.put("web", object("Deployment", "web", "a", "replicas: 1", ""))
	w.look()
	w.put("web", "")
	w.c.Apply(w.set.Snapshot(w.box.now))
	<-w.c.kick // of what was looked at first
	former := w.c.status
	w.c.look(w.box.now)
	w.c.status = former // it is asked for before it is published that nothing is left
	if err := w.again("Deployment", "web"); err != nil {
		t.Fatal(err)
	}
	w.c.status = nil
	w.look()
	if got := w.c.state.Restarted; len(got) > 0 {
		t.Errorf("it is remembered still: %v", got)
	}
}

// Of a manifest's annotation and a restart the later one counts.
func TestRestartedAt(t *testing.T) {
	for given, want := range map[string]string{
		"":                     "2026-01-02T00:00:00Z",
		"2026-01-01T00:00:00Z": "2026-01-02T00:00:00Z",
		"yesterday":            "2026-01-02T00:00:00Z",
		"2026-01-03T00:00:00Z": "2026-01-03T00:00:00Z",
	} {
		template := v1.PodTemplateSpec{}
		if given != "" {
			template.Annotations = map[string]string{manifests.RestartedAnnotation: given}
		}
		p := manifests.PodOf(&template, &metav1.ObjectMeta{Name: "web"}, "Deployment", "p")
		if got := restartedAt(p, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)).Annotations[manifests.RestartedAnnotation]; got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
		if got := restartedAt(p, time.Time{}); got != p {
			t.Errorf("%q: without a restart it is another pod", given)
		}
	}
}
