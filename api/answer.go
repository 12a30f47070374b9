package api

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/attempt"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/session"
)

func statusOf(err error) int {
	switch {
	case errors.Is(err, session.ErrNotFound), errors.Is(err, engine.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, session.ErrNotRunning):
		return http.StatusConflict
	case errors.Is(err, aside.ErrHangs):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// fail answers with a Status object, as Kubernetes does.
func fail(w http.ResponseWriter, code int, err error) {
	attempt.Fail(w, err)
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
