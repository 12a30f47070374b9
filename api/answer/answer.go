// Package answer writes the answers of the HTTP interface: objects, text, and failures in Kubernetes' form.
package answer

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/attempt"
)

// Fail answers with a Status object, as Kubernetes does.
func Fail(w http.ResponseWriter, code int, err error) {
	attempt.Fail(w, err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encode(w, metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Message: err.Error(),
	})
}

// JSON answers with an object.
func JSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encode(w, v)
}

// Text answers with text.
func Text(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		slog.Debug("a client went away", "err", err)
	}
}

func encode(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		slog.Debug("a client went away", "err", err)
	}
}

// Stream answers with lines of JSON until the client goes, or cannot be written to: with what next yields, at first and with each change.
// Each is sent at once.
func Stream[T any](w http.ResponseWriter, r *http.Request, changes <-chan struct{}, next func() []T) {
	w.Header().Set("Content-Type", "application/json")
	out, flush := json.NewEncoder(w), http.NewResponseController(w).Flush
	for {
		for _, line := range next() {
			if out.Encode(line) != nil {
				return
			}
		}
		if flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changes:
		}
	}
}
