package api

import (
	"errors"
	"net/http"

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
