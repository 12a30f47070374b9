package api

import (
	"bytes"
	"context"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/solopod/solopod/monitor/exposition"
)

// routes adds the paths that a kubelet has, and /metrics.
func (m Metrics) routes(mux *http.ServeMux) {
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.Own, promhttp.HandlerOpts{}))
	mux.Handle("GET /metrics/probes", promhttp.HandlerFor(m.Probes, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /metrics/cadvisor", written(m.Monitor.WriteContainers))
	mux.HandleFunc("GET /metrics/resource", written(m.Monitor.WriteResources))
	for _, path := range []string{"/stats/summary", "/stats/summary/{$}"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			only := r.URL.Query().Get("only_cpu_and_memory")
			summary, err := m.Monitor.Summary(r.Context(), m.Node, only == "true" || only == "1")
			if err != nil {
				fail(w, http.StatusServiceUnavailable, err)
				return
			}
			writeJSON(w, summary)
		})
	}
}

var answers = sync.Pool{New: func() any { return &bytes.Buffer{} }}

// written answers with what write writes, when all of it has been: a slow client holds nobody up. It is not compressed, which
// would take longer than the rest.
func written(write func(context.Context, *bytes.Buffer) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		buf := answers.Get().(*bytes.Buffer)
		defer answers.Put(buf)
		buf.Reset()
		if err := write(r.Context(), buf); err != nil {
			fail(w, http.StatusServiceUnavailable, err)
			return
		}
		w.Header().Set("Content-Type", exposition.ContentType)
		w.Write(buf.Bytes()) //nolint:errcheck // the client may have gone
	}
}
