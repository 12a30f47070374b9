package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/workload"
)

// Workloads answers /workloads: Jobs, CronJobs, Deployments and the like.
type Workloads struct {
	Workloads []workload.Status `json:"workloads"`
}

// Workloads lists the Jobs, CronJobs, Deployments and the like.
func (c *Client) Workloads(ctx context.Context) ([]workload.Status, error) {
	var list Workloads
	err := c.get(ctx, "/workloads", nil, &list)
	return list.Workloads, err
}

// WatchWorkloads opens a watch of the Jobs, CronJobs, Deployments and the like, until ctx ends: each change has all of them. The caller
// must call Each or Close.
func WatchWorkloads(ctx context.Context, c *Client) (*Watch[Workloads], error) {
	return openWatch[Workloads](ctx, c, "/workloads")
}

// RestartPods has the pods of a Deployment, StatefulSet, DaemonSet or ReplicaSet, which is the kind, replaced as its strategy says. It
// returns when that has begun.
func RestartPods(ctx context.Context, c *Client, kind, namespace, name string) error {
	return c.tell(ctx, http.MethodPost, "/restartPods/"+url.PathEscape(namespace)+"/"+url.PathEscape(kind)+"/"+url.PathEscape(name), nil, nil)
}

// controllers serves what makes pods.
type controllers struct{ controller *workload.Controller }

func (s controllers) readers(mux *http.ServeMux) { mux.HandleFunc("GET /workloads", s.list) }

func (s controllers) changers(mux *http.ServeMux) {
	mux.HandleFunc("POST /restartPods/{namespace}/{kind}/{name}", s.restart)
	mux.HandleFunc("GET /desired", s.desired)
}

func (s controllers) list(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "true" {
		s.watch(w, r)
		return
	}
	answer.JSON(w, Workloads{s.controller.Statuses()})
}

// watch streams all of them, one JSON object a line, first and whenever one has changed.
func (s controllers) watch(w http.ResponseWriter, r *http.Request) {
	changes, cancel := s.controller.Subscribe()
	defer cancel()
	var told *Workloads
	answer.Stream(w, r, changes, func() []Workloads {
		now := Workloads{s.controller.Statuses()}
		if told != nil && reflect.DeepEqual(*told, now) {
			return nil
		}
		told = &now
		return []Workloads{now}
	})
}

// restart answers when the rollout has begun.
func (s controllers) restart(w http.ResponseWriter, r *http.Request) {
	err := s.controller.RestartPods(r.Context(), r.PathValue("kind"), r.PathValue("namespace"), r.PathValue("name"))
	switch {
	case errors.Is(err, workload.ErrNotFound):
		answer.Fail(w, http.StatusNotFound, err)
	case err != nil:
		answer.Fail(w, http.StatusInternalServerError, err)
	default:
		answer.Text(w, "ok")
	}
}
