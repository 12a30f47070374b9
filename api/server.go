package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"github.com/solopod/solopod/runner/session"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/page"
	"github.com/solopod/solopod/monitor"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/logs/reader"
	"github.com/solopod/solopod/workload"
)

// Server answers the HTTP interface.
type Server struct {
	runner    *runner.Runner
	workloads *workload.Controller
	version   Version
	metrics   Metrics
	files     Files
	// sessions bounds how many there are.
	sessions chan struct{}
	// reading has the paths that only read, all has every one.
	reading, all *http.ServeMux
}

// Metrics are what stands behind the metrics' paths.
type Metrics struct {
	Own, Probes prometheus.Gatherer
	Monitor     *monitor.Monitor
	Node        string // the machine's name
}

// NewServer makes a server of the runner's pods and the controller's Jobs.
func NewServer(r *runner.Runner, workloads *workload.Controller, v Version, m Metrics, f Files) *Server {
	s := &Server{runner: r, workloads: workloads, version: v, metrics: m, files: f, sessions: make(chan struct{}, maxSessions)}
	s.reading, s.all = http.NewServeMux(), http.NewServeMux()
	for _, mux := range []*http.ServeMux{s.reading, s.all} {
		s.readers(mux)
	}
	s.changers(s.all)
	return s
}

// readers are the paths that only read.
func (s *Server) readers(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /pods", s.pods)
	mux.HandleFunc("GET /pods/{$}", s.pods)
	mux.HandleFunc("GET /runningpods/{$}", s.runningPods)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /manifests", s.manifests)
	mux.HandleFunc("GET /images", s.images)
	mux.HandleFunc("GET /claims", s.claims)
	mux.HandleFunc("GET /workloads", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, Workloads{s.workloads.Statuses()}) })
	mux.HandleFunc("GET /node", s.node)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.version) })
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	s.metrics.routes(mux)
	page.Routes(mux)
}

// changers are the paths that change something, or show what only admins may see.
func (s *Server) changers(mux *http.ServeMux) {
	mux.HandleFunc("POST /images", s.importImages)
	mux.HandleFunc("POST /images/pull", s.pullImage)
	mux.HandleFunc("DELETE /images", s.removeImage)
	mux.HandleFunc("DELETE /claims/{namespace}/{name}", s.removeClaim)
	mux.HandleFunc("POST /drain", s.drain)
	mux.HandleFunc("POST /restart/{namespace}/{pod}", s.restart)
	mux.HandleFunc("GET /configz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.files.Config) })
	mux.Handle("GET /logs/", http.StripPrefix("/logs/", s.files.logs()))
	s.streams(mux)
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := s.runner.Stuck(runner.StuckAfter); err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	writeText(w, "ok")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if !s.runner.Ready() {
		fail(w, http.StatusServiceUnavailable, errors.New("the manifests have not been read yet"))
		return
	}
	writeText(w, "ok")
}

func (s *Server) pods(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "true" {
		s.watchPods(w, r)
		return
	}
	list := v1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []v1.Pod{}}
	for _, pod := range s.runner.Pods() {
		list.Items = append(list.Items, *pod)
	}
	writeJSON(w, list)
}

// watchPods streams changes the way the Kubernetes API does: one JSON object a line, first ADDED for what exists.
func (s *Server) watchPods(w http.ResponseWriter, r *http.Request) {
	changes, cancel := s.runner.Subscribe()
	defer cancel()
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	known := map[string]*v1.Pod{}
	for {
		now := map[string]*v1.Pod{}
		for _, pod := range s.runner.Pods() {
			now[string(pod.UID)] = pod
		}
		for _, e := range difference(known, now) {
			if out.Encode(e) != nil {
				return
			}
		}
		known = now
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changes:
		}
	}
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

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "true" {
		s.watchEvents(w, r)
		return
	}
	writeJSON(w, v1.EventList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "EventList"}, Items: s.runner.Events().List()})
}

// EventChange is one line of /events?watch=true.
type EventChange struct {
	Type   string   `json:"type"` // ADDED, or MODIFIED for a repetition
	Object v1.Event `json:"object"`
}

// watchEvents streams events, those that were first.
func (s *Server) watchEvents(w http.ResponseWriter, r *http.Request) {
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

func (s *Server) manifests(w http.ResponseWriter, _ *http.Request) {
	files, dirError := s.runner.Files()
	writeJSON(w, Manifests{dirError, files})
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	o := reader.Options{Tail: -1, Follow: q.Get("follow") == "true", Timestamps: q.Get("timestamps") == "true"}
	var err error
	if v := q.Get("tailLines"); v != "" {
		if o.Tail, err = strconv.ParseInt(v, 10, 64); err != nil || o.Tail < 0 {
			fail(w, http.StatusBadRequest, fmt.Errorf("tailLines: %q is not a number of lines", v))
			return
		}
	}
	if v := q.Get("limitBytes"); v != "" {
		if o.LimitBytes, err = strconv.ParseInt(v, 10, 64); err != nil || o.LimitBytes < 1 {
			fail(w, http.StatusBadRequest, fmt.Errorf("limitBytes: %q is not a number of bytes", v))
			return
		}
	}
	if o.Since, err = since(q.Get("sinceSeconds"), q.Get("sinceTime")); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &flusher{w: w, c: http.NewResponseController(w)}
	err = s.runner.Logs(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), containerName(r), q.Get("previous") == "true", o, out)
	if err != nil && !out.begun {
		fail(w, statusOf(err), err)
	}
}

func since(seconds, at string) (time.Time, error) {
	if seconds != "" {
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil || n < 0 {
			return time.Time{}, fmt.Errorf("sinceSeconds: %q is not a number of seconds", seconds)
		}
		return time.Now().Add(-time.Duration(n) * time.Second), nil
	}
	if at == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return time.Time{}, fmt.Errorf("sinceTime: %q is not a time like 2026-01-31T12:00:00Z", at)
	}
	return t, nil
}

// flusher sends each write at once, for those who follow.
type flusher struct {
	w     io.Writer
	c     *http.ResponseController
	begun bool
}

func (f *flusher) Write(b []byte) (int, error) {
	f.begun = true
	n, err := f.w.Write(b)
	if err == nil {
		err = f.c.Flush()
	}
	return n, err
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, session.ErrNotFound), errors.Is(err, engine.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, session.ErrNotRunning):
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}

// fail answers with a Status object, as Kubernetes does.
func fail(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encode(w, metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Message: err.Error(),
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encode(w, v)
}

func encode(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		slog.Debug("a client went away", "err", err)
	}
}

func writeText(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		slog.Debug("a client went away", "err", err)
	}
}
