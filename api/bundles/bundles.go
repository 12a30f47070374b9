// Package bundles serves the bundles of a box: it applies one that is sent, and says which there are.
package bundles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/bundle/apply"
)

// partTime is how long each part of a bundle may take to come.
const partTime = time.Minute

// Box applies bundles; apply.Box is one.
type Box interface {
	Apply(ctx context.Context, from io.Reader, force bool) (apply.Applied, error)
	List() []apply.Status
}

// List are the bundles of a box.
type List struct {
	Bundles []apply.Status `json:"bundles"`
}

// Served serves them.
type Served struct{ Box Box }

// Readers adds the path that reads.
func (s Served) Readers(mux *http.ServeMux) {
	mux.HandleFunc("GET /bundles", func(w http.ResponseWriter, _ *http.Request) {
		answer.JSON(w, List{append([]apply.Status{}, s.Box.List()...)})
	})
}

// Changers adds the path that applies one.
func (s Served) Changers(mux *http.ServeMux) { mux.HandleFunc("POST /bundles", s.apply) }

func (s Served) apply(w http.ResponseWriter, r *http.Request) {
	force := false
	if text := r.URL.Query().Get("force"); text != "" {
		var err error
		if force, err = strconv.ParseBool(text); err != nil {
			answer.Fail(w, http.StatusBadRequest, fmt.Errorf("force is true or false, not %q", text))
			return
		}
	}
	done, err := s.Box.Apply(r.Context(), answer.Patient(w, r, partTime), force)
	switch {
	case errors.Is(err, apply.ErrRefused):
		answer.Fail(w, http.StatusUnprocessableEntity, err)
	case err != nil:
		answer.Fail(w, http.StatusServiceUnavailable, err)
	default:
		answer.JSON(w, done)
	}
}
