package api

import (
	"net/http"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/runner"
)

// pods serves the pods and their logs.
type pods struct{ runner *runner.Runner }

func (s pods) readers(mux *http.ServeMux) {
	mux.HandleFunc("GET /pods", s.list)
	mux.HandleFunc("GET /pods/{$}", s.list)
	mux.HandleFunc("GET /runningpods/{$}", s.running)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
}

func (s pods) changers(mux *http.ServeMux) {
	mux.HandleFunc("POST /restart/{namespace}/{pod}", s.restart)
}

func (s pods) list(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "true" {
		s.watch(w, r)
		return
	}
	list := v1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []v1.Pod{}}
	for _, pod := range s.runner.Pods() {
		list.Items = append(list.Items, *pod)
	}
	answer.JSON(w, list)
}

// watch streams changes the way the Kubernetes API does: one JSON object a line, first ADDED for what exists.
func (s pods) watch(w http.ResponseWriter, r *http.Request) {
	changes, cancel := s.runner.Subscribe()
	defer cancel()
	var known map[string]*v1.Pod
	answer.Stream(w, r, changes, func() []WatchEvent {
		now := objects.Seen(known, s.runner.Pods())
		lines := difference(known, now)
		known = now
		return lines
	})
}

// WatchEvent is one line of /pods?watch=true.
type WatchEvent struct {
	Type   string  `json:"type"` // ADDED, MODIFIED or DELETED
	Object *v1.Pod `json:"object"`
}

func difference(before, now map[string]*v1.Pod) []WatchEvent {
	var out []WatchEvent
	for uid, pod := range now {
		switch old := before[uid]; {
		case old == nil:
			out = append(out, WatchEvent{"ADDED", pod})
		case old.ResourceVersion != pod.ResourceVersion:
			out = append(out, WatchEvent{"MODIFIED", pod})
		}
	}
	for uid, pod := range before {
		if now[uid] == nil {
			out = append(out, WatchEvent{"DELETED", pod})
		}
	}
	return out
}

// running lists the pods of which a container runs, with no more than their names.
func (s pods) running(w http.ResponseWriter, _ *http.Request) {
	list := v1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []v1.Pod{}}
	for _, pod := range s.runner.Pods() {
		running := v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID}}
		for _, statuses := range [][]v1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
			for _, c := range statuses {
				if c.State.Running != nil {
					running.Spec.Containers = append(running.Spec.Containers, v1.Container{Name: c.Name, Image: c.Image})
				}
			}
		}
		if len(running.Spec.Containers) > 0 {
			list.Items = append(list.Items, running)
		}
	}
	answer.JSON(w, list)
}

// restart answers as soon as the restart has begun.
func (s pods) restart(w http.ResponseWriter, r *http.Request) {
	if err := s.runner.Restart(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), r.URL.Query().Get("container")); err != nil {
		answer.Fail(w, statusOf(err), err)
		return
	}
	answer.Text(w, "ok")
}
