package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// The log directory is looked for when somebody asks, and no link leads out of it.
func TestLogFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	served := http.StripPrefix("/logs/", http.HandlerFunc(Files{LogDir: dir}.logs))
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		served.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, text := ask("/logs/a.log"); code != http.StatusNotFound {
		t.Errorf("without a directory: %d %s", code, text)
	}
	err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "a.log"), []byte("text"), 0o644),
		os.WriteFile(filepath.Join(dir, "../secret"), nil, 0o644), os.Symlink("../secret", filepath.Join(dir, "out")))
	if err != nil {
		t.Fatal(err)
	}
	if code, text := ask("/logs/a.log"); code != http.StatusOK || text != "text" {
		t.Errorf("a log: %d %s", code, text)
	}
	if code, text := ask("/logs/out"); code == http.StatusOK {
		t.Errorf("a link out of it: %s", text)
	}
}
