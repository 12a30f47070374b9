package api

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/runner/logs/reader"
)

// logs answers with a container's log, as a kubelet.
func (s pods) logs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	o, err := logOptions(q)
	if err != nil {
		answer.Fail(w, http.StatusBadRequest, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &flusher{w: w, c: http.NewResponseController(w)}
	err = s.runner.Logs(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), containerName(r), q.Get("previous") == "true", o, out)
	switch {
	case r.Context().Err() != nil, err != nil && out.begun:
		panic(http.ErrAbortHandler) // the client is to see that the log is not complete: the daemon ends, or cannot read on
	case err != nil:
		answer.Fail(w, statusOf(err), err)
	}
}

// logOptions reads a query in the kubelet's form.
func logOptions(q url.Values) (o reader.Options, err error) {
	o = reader.Options{Tail: -1, Follow: q.Get("follow") == "true", Timestamps: q.Get("timestamps") == "true"}
	if v := q.Get("tailLines"); v != "" {
		if o.Tail, err = strconv.ParseInt(v, 10, 64); err != nil || o.Tail < 0 {
			return o, fmt.Errorf("tailLines: %q is not a number of lines", v)
		}
	}
	if v := q.Get("limitBytes"); v != "" {
		if o.LimitBytes, err = strconv.ParseInt(v, 10, 64); err != nil || o.LimitBytes < 1 {
			return o, fmt.Errorf("limitBytes: %q is not a number of bytes", v)
		}
	}
	o.Since, err = since(q.Get("sinceSeconds"), q.Get("sinceTime"))
	return o, err
}

// longAgo bounds sinceSeconds: more do not fit into a time.Duration.
const longAgo = 100 * 365 * 24 * 60 * 60

func since(seconds, at string) (time.Time, error) {
	if seconds != "" {
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil || n < 0 {
			return time.Time{}, fmt.Errorf("sinceSeconds: %q is not a number of seconds", seconds)
		}
		return time.Now().Add(-time.Duration(min(n, longAgo)) * time.Second), nil
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
