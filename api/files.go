package api

import (
	"log/slog"
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

// logs serves the log directory as a kubelet does; no link leads out of it.
func (f Files) logs() http.Handler {
	dir, err := foreign.OpenDir(f.LogDir, foreign.Beneath) // open as long as the server is
	if err != nil {
		slog.Warn("/logs/ cannot be served", "err", err)
		return http.NotFoundHandler()
	}
	return http.FileServerFS(dir.FS())
}
