package workload

import (
	"strings"
	"testing"
)

// Pods that wait in place for what an edit needs serve as before: they are ready and available, of the old version, and it is said what
// they lack. When it is there the rollout goes on.
func TestWaitingPodsServe(t *testing.T) {
	box := newFakeBox()
	w := newWorld(t, box)
	web := func(version string) {
		w.put("web", object("Deployment", "web", version, "replicas: 3\n  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}", ""))
		w.look()
	}
	replicas := func() Replicas {
		t.Helper()
		s := w.c.Statuses()
		if len(s) != 1 || s[0].Replicas == nil {
			t.Fatalf("%+v", s)
		}
		return *s[0].Replicas
	}
	web("a")
	w.settle()
	w.tick()
	box.lacking = "b"
	web("b")
	if got := w.settle(); got != "WEB-0:A WEB-1:A WEB-2:A" {
		t.Fatal(got)
	}
	w.tick()
	if r := replicas(); r.Ready != 3 || r.Available != 3 || r.Updated != 0 || r.Current != 3 || r.Complete {
		t.Errorf("while a pod waits: %+v", r)
	}
	if m := w.c.Statuses()[0].Message; !strings.Contains(m, "waiting for web-0, which cannot begin yet and runs on as it was: image i is not present") {
		t.Error(m)
	}
	box.lacking = ""
	if got := w.settle(); got != "WEB-0:B WEB-1:B WEB-2:B" {
		t.Fatal(got)
	}
	w.tick()
	if r := replicas(); r.Ready != 3 || r.Updated != 3 || !r.Complete {
		t.Errorf("afterwards: %+v", r)
	}
	// Taken back while it waits: nothing was ever replaced.
	box.lacking = "c"
	web("c")
	w.settle()
	web("b")
	w.settle()
	w.tick()
	if r := replicas(); r.Ready != 3 || r.Updated != 3 || !r.Complete {
		t.Errorf("taken back: %+v", r)
	}
}
