// Package page holds a page for people without a terminal: what runs, what it uses, what went wrong. It has no build chain and
// asks nobody else for anything.
package page

import (
	"embed"
	"net/http"
)

//go:embed index.html page.css page.js
var files embed.FS

// Routes serves the page at /, with headers beside those that every answer has. It reads from the paths beside it, so that it shows what its user may see.
func Routes(mux *http.ServeMux) {
	for path, name := range map[string]string{"/{$}": "index.html", "/page.css": "page.css", "/page.js": "page.js"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			// Names and logs of containers are shown: nothing in them may become a program.
			h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
			h.Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, files, name)
		})
	}
}
