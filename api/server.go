package api

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/solopod/solopod/api/page"
	"github.com/solopod/solopod/audit"
	"github.com/solopod/solopod/monitor"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/workload"
)

// Server answers the HTTP interface: it says who may ask for what; what stands behind a path is in the file of its subject.
type Server struct {
	runner    *runner.Runner
	workloads *workload.Controller
	version   Version
	metrics   Metrics
	files     Files
	trail     *audit.Trail
	// measuring has the paths of health and metrics, reading those that only read, all has every one.
	measuring, reading, all *http.ServeMux
}

// Metrics are what stands behind the metrics' paths.
type Metrics struct {
	Own, Probes prometheus.Gatherer
	Monitor     *monitor.Monitor
	Node        string // the machine's name
}

// NewServer makes a server of the runner's pods and the controller's Jobs.
func NewServer(r *runner.Runner, workloads *workload.Controller, v Version, m Metrics, f Files) *Server {
	s := &Server{runner: r, workloads: workloads, version: v, metrics: m, files: f, trail: audit.NewTrail(nil)}
	s.measuring, s.reading, s.all = http.NewServeMux(), http.NewServeMux(), http.NewServeMux()
	for _, mux := range []*http.ServeMux{s.measuring, s.reading, s.all} {
		s.measurers(mux)
	}
	for _, mux := range []*http.ServeMux{s.reading, s.all} {
		s.readers(mux)
	}
	s.changers(s.all)
	return s
}

// measurers are the paths of health and metrics. They have names of pods and their images, and what they use, but nothing of what is in them.
func (s *Server) measurers(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.version) }) // a metric has it, too
	s.metrics.routes(mux)
}

// readers are the paths that only read.
func (s *Server) readers(mux *http.ServeMux) {
	mux.HandleFunc("GET /manifests", s.manifests)
	mux.HandleFunc("GET /workloads", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, Workloads{s.workloads.Statuses()}) })
	mux.HandleFunc("GET /node", s.node)
	pods{s.runner}.readers(mux)
	events{s.runner}.routes(mux)
	imageStore{s.runner}.readers(mux)
	claimStore{s.runner}.readers(mux)
	page.Routes(mux)
}

// changers are the paths that change something, or show what only admins may see.
func (s *Server) changers(mux *http.ServeMux) {
	mux.HandleFunc("POST /drain", s.drain)
	mux.HandleFunc("GET /configz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.files.Config) })
	mux.Handle("GET /logs/", http.StripPrefix("/logs/", http.HandlerFunc(s.files.logs)))
	pods{s.runner}.changers(mux)
	imageStore{s.runner}.changers(mux)
	claimStore{s.runner}.changers(mux)
	streams{s.runner}.routes(mux)
}

// Audit has changes written down to trail too. It is called before Serve.
func (s *Server) Audit(trail *audit.Trail) { s.trail = trail }

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

func (s *Server) manifests(w http.ResponseWriter, _ *http.Request) {
	files, problem, unwatched := s.runner.Files()
	writeJSON(w, Manifests{DirectoryError: problem, Unwatched: unwatched, Files: files})
}
