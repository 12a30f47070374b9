package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/solopod/solopod/runner/logs/reader"
)

// logs answers with a container's log, as a kubelet.
func (s pods) logs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	o := reader.Options{Tail: -1, Follow: q.Get("follow") == "true", Timestamps: q.Get("timestamps") == "true"}
	var err error
	if v := q.Get("tailLines"); v != "" {
		if o.Tail, err = strconv.ParseInt(v, 10, 64); err != nil || o.Tail < 0 {
			fail(w, http.StatusBadRequest, fmt.Errorf("tailLines: %q is not a number of lines", v))
			return
		}
	}
	if v := q.Get("limitBytes"); v != "" {
		if o.LimitBytes, err = strconv.ParseInt(v, 10, 64); err != nil || o.LimitBytes < 1 {
			fail(w, http.StatusBadRequest, fmt.Errorf("limitBytes: %q is not a number of bytes", v))
			return
		}
	}
	if o.Since, err = since(q.Get("sinceSeconds"), q.Get("sinceTime")); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &flusher{w: w, c: http.NewResponseController(w)}
	err = s.runner.Logs(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), containerName(r), q.Get("previous") == "true", o, out)
	if err != nil && !out.begun {
		fail(w, statusOf(err), err)
	}
}

func since(seconds, at string) (time.Time, error) {
	if seconds != "" {
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil || n < 0 {
			return time.Time{}, fmt.Errorf("sinceSeconds: %q is not a number of seconds", seconds)
		}
		return time.Now().Add(-time.Duration(n) * time.Second), nil
	}
	if at == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return time.Time{}, fmt.Errorf("sinceTime: %q is not a time like 2026-01-31T12:00:00Z", at)
	}
	return t, nil
}
