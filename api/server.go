package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/solopod/solopod/api/access"
	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/api/objects"
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
	// secure is how the TLS port shows itself; nil without one.
	secure atomic.Pointer[access.Identity]
	// measuring has the paths of health and metrics, reading those that only read, all has every one.
	measuring, reading, all *http.ServeMux
}

// Metrics are what stands behind the metrics' paths.
type Metrics struct {
	Own, Probes prometheus.Gatherer
	// State writes the state of objects.
	State   func(context.Context, *bytes.Buffer) error
	Monitor *monitor.Monitor
	Node    string // the machine's name
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
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer.JSON(w, s.version) }) // a metric has it, too
	s.metrics.routes(mux)
}

// readers are the paths that only read.
func (s *Server) readers(mux *http.ServeMux) {
	mux.HandleFunc("GET /manifests", s.manifests)
	controllers{s.workloads}.readers(mux)
	mux.HandleFunc("GET /node", s.node)
	pods{s.runner}.readers(mux)
	events{s.runner}.routes(mux)
	imageStore{s.runner}.readers(mux)
	claimStore{s.runner}.readers(mux)
	objects.Manifested{Manifests: s.workloads}.Readers(mux)
	page.Routes(mux)
}

// changers are the paths that change something, or show what only admins may see.
func (s *Server) changers(mux *http.ServeMux) {
	mux.HandleFunc("POST /drain", s.drain)
	mux.HandleFunc("GET /configz", func(w http.ResponseWriter, _ *http.Request) { answer.JSON(w, s.files.Config) })
	mux.Handle("GET /logs/", http.StripPrefix("/logs/", http.HandlerFunc(s.files.logs)))
	pods{s.runner}.changers(mux)
	controllers{s.workloads}.changers(mux)
	imageStore{s.runner}.changers(mux)
	claimStore{s.runner}.changers(mux)
	objects.Manifested{Manifests: s.workloads}.Admins(mux)
	streams{s.runner}.routes(mux)
}

// CertificateEnds is when the TLS port's certificate does; zero where there is no such port.
func (s *Server) CertificateEnds() time.Time {
	if i := s.secure.Load(); i != nil {
		return i.Certificate().NotAfter
	}
	return time.Time{}
}

// Audit has changes written down to trail too. It is called before Serve.
func (s *Server) Audit(trail *audit.Trail) { s.trail = trail }

// Serves adds paths that only read, of Services and what else lies outside the runner. It is called before Serve.
func (s *Server) Serves(from interface{ Readers(*http.ServeMux) }) {
	from.Readers(s.reading)
	from.Readers(s.all)
}

// Changes adds paths that change something, of what lies beside the pods. It is called before Serve.
func (s *Server) Changes(from interface{ Changers(*http.ServeMux) }) { from.Changers(s.all) }

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := s.runner.Stuck(runner.StuckAfter); err != nil {
		answer.Fail(w, http.StatusServiceUnavailable, err)
		return
	}
	answer.Text(w, "ok")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if !s.runner.Ready() {
		answer.Fail(w, http.StatusServiceUnavailable, errors.New("the manifests have not been read yet"))
		return
	}
	answer.Text(w, "ok")
}

func (s *Server) manifests(w http.ResponseWriter, _ *http.Request) {
	files, problem, unwatched := s.runner.Files()
	answer.JSON(w, Manifests{DirectoryError: problem, Unwatched: unwatched, Files: files})
}
