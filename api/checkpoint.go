package api

import (
	"errors"
	"net/http"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/runner/session"
)

// checkpoint answers, as a kubelet, with the path of the archive that was made.
func (s streams) checkpoint(w http.ResponseWriter, r *http.Request) {
	n := nameIn(r)
	path, err := s.runner.Checkpoint(r.Context(), n.namespace, n.pod, n.container)
	switch {
	case errors.Is(err, session.ErrNoCRIU):
		answer.Fail(w, http.StatusNotImplemented, err)
	case err != nil:
		answer.Fail(w, statusOf(err), err)
	default:
		answer.JSON(w, map[string][]string{"items": {path}})
	}
}
