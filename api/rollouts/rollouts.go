// Package rollouts serves the versions of Deployments and the like: which there are, and which one is to hold.
package rollouts

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/workload"
	"github.com/solopod/solopod/workload/history"
	"github.com/solopod/solopod/workload/revisions"
)

// Served serves those of a Controller.
type Served struct{ Workloads *workload.Controller }

// Readers adds the path that only reads.
func (s Served) Readers(mux *http.ServeMux) {
	mux.HandleFunc("GET /rollouts/{namespace}/{kind}/{name}", s.list)
}

// Changers adds the paths that have another version hold.
func (s Served) Changers(mux *http.ServeMux) {
	mux.HandleFunc("POST /rolloutUndo/{namespace}/{kind}/{name}", s.undo)
	mux.HandleFunc("POST /rolloutPause/{namespace}/{kind}/{name}", s.change(func(h *history.History, key string) error { return h.Pause(key, time.Now()) }))
	mux.HandleFunc("POST /rolloutResume/{namespace}/{kind}/{name}", s.change((*history.History).Resume))
}

// Path is that of what is done with an object, as rolloutUndo.
func Path(what, namespace, kind, name string) string {
	return "/" + what + "/" + url.PathEscape(namespace) + "/" + url.PathEscape(kind) + "/" + url.PathEscape(name)
}

// Version is one of an object's.
type Version struct {
	Revision    int64     `json:"revision"`
	ChangeCause string    `json:"changeCause,omitempty"`
	Since       time.Time `json:"since"`
	// Current: it holds. Manifest: it is what the manifest says.
	Current  bool                `json:"current,omitempty"`
	Manifest bool                `json:"manifest,omitempty"`
	Template *v1.PodTemplateSpec `json:"template"`
}

// Versions answers /rollouts: the oldest first.
type Versions struct {
	Versions []Version `json:"versions"`
}

// Undone answers /rolloutUndo, and what pauses and resumes.
type Undone struct {
	// Revision is the one that holds now. Skipped: it did before.
	Revision int64 `json:"revision"`
	Skipped  bool  `json:"skipped,omitempty"`
}

// rolled are the kinds that have versions; the pods that can go back are none of them.
var rolled = map[string]bool{"Deployment": true, "StatefulSet": true, "DaemonSet": true}

// keyOf names a request's object; empty where it is of no such kind.
func keyOf(r *http.Request) (string, error) {
	kind := r.PathValue("kind")
	if !rolled[kind] {
		return "", fmt.Errorf("%s: %w", kind, history.ErrNotFound)
	}
	return history.Key(kind, r.PathValue("namespace"), r.PathValue("name")), nil
}

func (s Served) list(w http.ResponseWriter, r *http.Request) {
	key, err := keyOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	list, manifest, err := s.Workloads.History.Versions(key)
	if err != nil {
		fail(w, err)
		return
	}
	out := Versions{[]Version{}}
	for i, v := range list {
		out.Versions = append(out.Versions, Version{v.Number, v.Cause, v.Since, i == len(list)-1, v.Hash == manifest, v.Template})
	}
	answer.JSON(w, out)
}

func (s Served) undo(w http.ResponseWriter, r *http.Request) {
	key, err := keyOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	to := int64(0)
	if text := r.URL.Query().Get("toRevision"); text != "" {
		if to, err = strconv.ParseInt(text, 10, 64); err != nil || to < 0 {
			answer.Fail(w, http.StatusBadRequest, fmt.Errorf("toRevision is a number, or 0 for the one before, not %q", text))
			return
		}
	}
	skipped, err := s.Workloads.History.Undo(key, to, time.Now())
	if err == nil {
		err = workload.Renewed(r.Context(), s.Workloads)
	}
	if err != nil {
		fail(w, err)
		return
	}
	answer.JSON(w, Undone{s.Workloads.History.Show(key).Revision, skipped})
}

// change answers when what do has changed was decided about.
func (s Served) change(do func(h *history.History, key string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, err := keyOf(r)
		if err == nil && r.PathValue("kind") != "Deployment" {
			err = errNotPausable
		}
		if err == nil {
			err = do(s.Workloads.History, key)
		}
		if err == nil {
			err = workload.Renewed(r.Context(), s.Workloads)
		}
		if err != nil {
			fail(w, err)
			return
		}
		answer.JSON(w, Undone{Revision: s.Workloads.History.Show(key).Revision})
	}
}

// errNotPausable is kubectl's, too.
var errNotPausable = errors.New("a Deployment alone can be paused; the partition of a StatefulSet keeps its pods from a new version")

func fail(w http.ResponseWriter, err error) {
	status := http.StatusConflict
	if errors.Is(err, history.ErrNotFound) {
		status = http.StatusNotFound
	}
	if errors.Is(err, errNotPausable) || errors.Is(err, revisions.ErrNoRevision) {
		status = http.StatusBadRequest
	}
	answer.Fail(w, status, err)
}
