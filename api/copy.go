package api

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/runner/archive"
)

func (s streams) archive(r *http.Request) (archive.Container, error) {
	n := nameIn(r)
	return s.runner.Archive(n.namespace, n.pod, n.container)
}

// readFiles answers with a file or a directory of a container, as a tar stream.
func (s streams) readFiles(w http.ResponseWriter, r *http.Request) {
	files, err := s.archive(r)
	if err != nil {
		answer.Fail(w, statusOf(err), err)
		return
	}
	out := &flusher{w: w, c: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/x-tar")
	if err := files.Read(r.URL.Query().Get("path"), out); err != nil {
		if out.begun { // an archive without an end tells the client
			slog.Debug("cannot read all files of a container", "err", err)
			panic(http.ErrAbortHandler)
		}
		answer.Fail(w, fileStatus(err), err)
	}
}

// writeFiles makes the files of a tar stream in a container.
func (s streams) writeFiles(w http.ResponseWriter, r *http.Request) {
	files, err := s.archive(r)
	if err == nil {
		// Much may come; what counts is that some does.
		err = files.Write(r.URL.Query().Get("path"), answer.Patient(w, r, answerTime))
	}
	if err != nil {
		answer.Fail(w, fileStatus(err), err)
		return
	}
	answer.Text(w, "ok")
}

func fileStatus(err error) int {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	}
	return statusOf(err)
}

// ReadFiles returns a file or a directory of a container as a tar stream, which the caller must close.
func (c *Client) ReadFiles(ctx context.Context, namespace, pod, container, path string) (io.ReadCloser, error) {
	return c.do(ctx, http.MethodGet, c.streamURL("files", namespace, pod, container).Path, url.Values{"path": {path}}, nil)
}

// WriteFiles makes the file or directory of a tar stream in a container: in the directory path, or where that does not exist, under
// this name.
func (c *Client) WriteFiles(ctx context.Context, namespace, pod, container, path string, archive io.Reader) error {
	return c.tell(ctx, http.MethodPut, c.streamURL("files", namespace, pod, container).Path, url.Values{"path": {path}}, archive)
}
