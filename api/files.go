package api

import (
	"fmt"
	"net/http"

	"github.com/solopod/solopod/runner/foreign"
)

// Files are what admins may look into.
type Files struct {
	// Config is the configuration in effect.
	Config any
	// LogDir is what /logs/ shows.
	LogDir string
}

// logs serves the log directory as a kubelet does; no link leads out of it. It is opened for each request: one that does not answer
// holds up who asks for it, and not the start.
func (f Files) logs(w http.ResponseWriter, r *http.Request) {
	dir, err := foreign.OpenDir(f.LogDir, foreign.Beneath)
	if err != nil {
		fail(w, http.StatusNotFound, fmt.Errorf("the log directory cannot be served: %w", err))
		return
	}
	defer dir.Close() //nolint:errcheck // only looked at
	http.FileServerFS(dir.FS()).ServeHTTP(w, r)
}
