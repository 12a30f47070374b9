package foreign

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Served over HTTP: files and directories, and nobody waits for anything else.
func TestFS(t *testing.T) {
	dir, err := OpenDir(zoo(t), Beneath)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/regular": {http.StatusOK, "content"}, "/link": {http.StatusOK, "content"}, "/": {http.StatusOK, "regular"},
		"/fifo": {http.StatusInternalServerError, ""}, "/char": {http.StatusInternalServerError, ""}, "/none": {http.StatusNotFound, ""},
	} {
		soon(t, path, func() {
			w := httptest.NewRecorder()
			http.FileServerFS(dir.FS()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != want.status || !strings.Contains(w.Body.String(), want.text) {
				t.Errorf("%s: %d, %q", path, w.Code, w.Body)
			}
		})
	}
	if _, err := dir.FS().Open("../x"); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
}
