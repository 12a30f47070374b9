package api

import (
	"log/slog"
	"net/http"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/runner/foreign"
)

// Files are what admins may look into.
type Files struct {
	// Config is the configuration in effect.
	Config any
	// LogDir is what /logs/ shows.
	LogDir string
}

// logs serves the log directory as a kubelet does; no link leads out of it.
func (f Files) logs() http.Handler {
	dir, err := foreign.OpenDir(f.LogDir, foreign.Beneath) // open as long as the server is
	if err != nil {
		slog.Warn("/logs/ cannot be served", "err", err)
		return http.NotFoundHandler()
	}
	return http.FileServerFS(dir.FS())
}

// runningPods are those of which a container runs, with no more than their names.
func (s *Server) runningPods(w http.ResponseWriter, _ *http.Request) {
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
	writeJSON(w, list)
}
