package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/monitor/exposition"
)

// routes adds the paths that a kubelet has, and /metrics.
func (m Metrics) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		state := r.URL.Query().Get("state")
		if state != "" && state != "true" && state != "false" {
			answer.Fail(w, http.StatusBadRequest, fmt.Errorf("state=%s: it is true or false; false leaves out what /metrics/state has", state))
			return
		}
		written(func(ctx context.Context, out *bytes.Buffer) error { return m.own(ctx, out, state != "false") })(w, r)
	})
	mux.HandleFunc("GET /metrics/state", written(m.State))
	mux.Handle("GET /metrics/probes", promhttp.HandlerFor(m.Probes, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /metrics/cadvisor", written(m.Monitor.WriteContainers))
	mux.HandleFunc("GET /metrics/resource", written(m.Monitor.WriteResources))
	for _, path := range []string{"/stats/summary", "/stats/summary/{$}"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			only := r.URL.Query().Get("only_cpu_and_memory")
			summary, err := m.Monitor.Summary(r.Context(), m.Node, only == "true" || only == "1")
			if err != nil {
				answer.Fail(w, http.StatusServiceUnavailable, err)
				return
			}
			answer.JSON(w, summary)
		})
	}
}

// own writes Solopod's own metrics, and those of the state of objects if they are wanted.
func (m Metrics) own(ctx context.Context, w *bytes.Buffer, state bool) error {
	families, err := m.Own.Gather()
	if err != nil {
		return err
	}
	text := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := text.Encode(f); err != nil {
			return err
		}
	}
	if !state {
		return nil
	}
	return m.State(ctx, w)
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
			answer.Fail(w, http.StatusServiceUnavailable, err)
			return
		}
		w.Header().Set("Content-Type", exposition.ContentType)
		w.Write(buf.Bytes()) //nolint:errcheck // the client may have gone
	}
}
