package api

import (
	"encoding/json"
	"net/http"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/runner"
)

// events serves what has happened.
type events struct{ runner *runner.Runner }

func (s events) routes(mux *http.ServeMux) { mux.HandleFunc("GET /events", s.list) }

func (s events) list(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "true" {
		s.watch(w, r)
		return
	}
	answer.JSON(w, v1.EventList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "EventList"}, Items: s.runner.Events().List()})
}

// EventChange is one line of /events?watch=true.
type EventChange struct {
	Type   string   `json:"type"` // ADDED, or MODIFIED for a repetition
	Object v1.Event `json:"object"`
}

// watch streams events, those that were first.
func (s events) watch(w http.ResponseWriter, r *http.Request) {
	changes, cancel := s.runner.Events().Watch()
	defer cancel()
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	control := http.NewResponseController(w)
	for _, e := range s.runner.Events().List() {
		if out.Encode(EventChange{"ADDED", e}) != nil {
			return
		}
	}
	for {
		if control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-changes:
			kind := "ADDED"
			if e.Count > 1 {
				kind = "MODIFIED"
			}
			if !ok || out.Encode(EventChange{kind, e}) != nil {
				return
			}
		}
	}
}
