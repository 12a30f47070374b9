package history

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/rollback"
	"github.com/solopod/solopod/workload/revisions"
)

func nobody(string, string, string, string, string, string) {}

// What a damaged file may have lost is left out, and what is no record at all is set aside: in neither case is a pod touched.
func TestDamaged(t *testing.T) {
	pod := &v1.Pod{}
	pod.Namespace, pod.Name, pod.UID, pod.Annotations = "default", "web", "u", map[string]string{rollback.Annotation: "5m"}
	for _, text := range []string{
		"", "{", "[]", `{"objects": null}`, `{"objects": {"Pod/default/web": null}}`, `{"objects": {"Pod/default/web": {}}}`,
		`{"objects": {"Pod/default/web": {"revisions": [{"number": 1, "hash": "x"}]}}}`,
		`{"objects": {"Pod/default/web": {"revisions": [{"number": 1, "hash": "x", "template": {}}]}}}`,
		`{"objects": {"Deployment/default/web": {"revisions": [{"number": 1, "hash": "x", "pod": {}}], "good": "y"}}}`,
	} {
		path := filepath.Join(t.TempDir(), "revisions.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h := New(path, Settings{}, nobody)
		out := h.Apply(&manifests.Snapshot{Pods: map[string]manifests.Desired{"u": {Pod: pod}}}, true, time.Now())
		if out.Pods["u"].Pod != pod {
			t.Errorf("%s: the pod is %v", text, out.Pods["u"].Pod)
		}
		h.Images()
		h.Notes()
		h.Close()
	}
}

// The record stays short enough to be read again: the oldest versions of what has the most go first, and never the last good one.
func TestRecordIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revisions.json")
	h := New(path, Settings{}, nobody)
	large := strings.Repeat("x", 1<<20)
	template := func(n int) *v1.PodTemplateSpec {
		out := &v1.PodTemplateSpec{}
		out.Annotations = map[string]string{"large": large + string(rune('a'+n))}
		return out
	}
	o := &revisions.Object{}
	h.objects["Deployment/default/web"] = o
	for n := range 20 {
		o.Take(revisions.Revision{Hash: string(rune('a' + n)), Template: template(n)}, 100, time.Now())
		if n == 1 {
			o.Proven()
		}
	}
	h.dirty = true
	h.Save()
	h.Close()
	if info, err := os.Stat(path); err != nil || info.Size() > mostBytes {
		t.Fatal(info, err)
	}
	again := New(path, Settings{}, nobody)
	defer again.Close()
	list, _, err := again.Versions("Deployment/default/web")
	if err != nil || len(list) < 2 || list[0].Hash != "b" || list[len(list)-1].Hash != "t" {
		t.Errorf("%d are kept: %v", len(list), err)
	}
}

// What is asked for while the controller looks at pods of another version is neither proven nor late by these.
func TestAskedMeanwhile(t *testing.T) {
	h := New(filepath.Join(t.TempDir(), "revisions.json"), Settings{}, nobody)
	defer h.Close()
	const key = "Deployment/default/web"
	apply := func(version string) {
		d := &appsv1.Deployment{}
		d.Namespace, d.Name, d.Spec.Template.Annotations = "default", "web", map[string]string{"version": version}
		h.Apply(&manifests.Snapshot{Deployments: map[string]*appsv1.Deployment{"default/web": d}}, false, time.Now())
	}
	apply("a")
	apply("b")
	h.Proven(key) // b
	undo := func() {
		t.Helper()
		if skipped, err := h.Undo(key, 0, time.Now()); err != nil || skipped {
			t.Fatal(skipped, err)
		}
	}
	undo()
	h.Proven(key) // b, which was looked at, and not a
	if _, _, tried := h.Trial(key, time.Minute); !tried {
		t.Error("a version that no pod has had counts as good")
	}
	if back := h.Late(key, "b was late", time.Now()); !back || h.Show(key).Reason != revisions.Undone {
		t.Errorf("what was asked for is given up: %v, %+v", back, h.Show(key))
	}
	apply("b")
	if back := h.Late(key, "a is late", time.Now()); !back || h.Show(key).Reason != "" {
		t.Errorf("it does not go back: %v, %+v", back, h.Show(key))
	}
	undo()
	apply("b")
	if h.Proven(key); h.Show(key).Reason != revisions.Undone {
		t.Errorf("%+v", h.Show(key))
	}
	if _, _, tried := h.Trial(key, time.Minute); tried {
		t.Error("a version whose pods are ready does not count as good")
	}
}
