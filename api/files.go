package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/runner/foreign"
)

// Files are what admins may look into.
type Files struct {
	// Config is the configuration in effect.
	Config any
	// LogDir is what /logs/ shows.
	LogDir string
}

// logs serves the log directory as a kubelet does; no link leads out of it, and nothing but files and directories is opened. It is opened
// for each request: one that does not answer holds up who asks for it, and not the start.
func (f Files) logs(w http.ResponseWriter, r *http.Request) {
	dir, err := foreign.OpenDir(f.LogDir, foreign.Beneath)
	if err != nil {
		answer.Fail(w, http.StatusNotFound, fmt.Errorf("the log directory cannot be served: %w", err))
		return
	}
	defer dir.Close() //nolint:errcheck // only looked at
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if err := isServed(dir, name); err != nil {
		code := http.StatusForbidden
		if errors.Is(err, fs.ErrNotExist) {
			code = http.StatusNotFound
		}
		answer.Fail(w, code, fmt.Errorf("cannot show it: %w", err))
		return
	}
	w.Header().Set("Content-Type", contentType(name)) // of a directory it is what its list is
	http.FileServerFS(dir.FS()).ServeHTTP(w, r)
}

// isServed says why a name is not shown.
func isServed(dir *foreign.Dir, name string) error {
	if name == "" {
		return nil
	}
	found, err := dir.Find(name)
	if err != nil {
		return err
	}
	defer found.Close() //nolint:errcheck // only looked at
	kind, err := foreign.KindOf(found)
	if err == nil && kind != foreign.Regular && kind != foreign.Directory {
		err = fmt.Errorf("%s is a %s, and no file", name, kind)
	}
	return err
}

// contentType is text, whatever a log's name and content may say, or bytes that no browser shows.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".gz", ".xz", ".zst", ".bz2":
		return "application/octet-stream"
	}
	return "text/plain; charset=utf-8"
}
