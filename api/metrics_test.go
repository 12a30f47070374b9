package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// /metrics has Solopod's own metrics and the state of objects, which is also at a path of its own and can be left out.
func TestMetricsPaths(t *testing.T) {
	own := prometheus.NewRegistry()
	own.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "solopod_things_total", Help: "Things"}))
	mux := http.NewServeMux()
	Metrics{Own: own, Probes: own, State: func(_ context.Context, w *bytes.Buffer) error {
		w.WriteString("kube_thing 1\n")
		return nil
	}}.routes(mux)
	for path, want := range map[string]struct {
		code  int
		words []string
	}{
		"/metrics":             {200, []string{"solopod_things_total 0\n", "kube_thing 1\n"}},
		"/metrics?state=true":  {200, []string{"solopod_things_total 0\n", "kube_thing 1\n"}},
		"/metrics?state=false": {200, []string{"solopod_things_total 0\n"}},
		"/metrics/state":       {200, []string{"kube_thing 1\n"}},
		"/metrics?state=no":    {400, []string{"it is true or false"}},
	} {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		body := answer.Body.String()
		if answer.Code != want.code {
			t.Errorf("%s: %d", path, answer.Code)
		}
		for _, w := range []string{"solopod_things_total 0\n", "kube_thing 1\n", "it is true or false"} {
			wanted := false
			for _, word := range want.words {
				wanted = wanted || word == w
			}
			if strings.Contains(body, w) != wanted {
				t.Errorf("%s answers %q", path, body)
			}
		}
	}
}

// What cannot be gathered is an error, not half an answer.
func TestMetricsThatFail(t *testing.T) {
	mux := http.NewServeMux()
	failing := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return nil, errors.New("it does not answer") })
	Metrics{Own: failing, Probes: failing}.routes(mux)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "it does not answer") {
		t.Errorf("%d, %s", answer.Code, answer.Body)
	}
}
