// Package page is the live page of a sink: what it does, and a hand on its storm, in a browser. It is static files that ask the control
// API; they load nothing from anywhere else, and show what clients said as text only.
//
// It leaves out who may see what: package control asks for the token, and the page signs in by POST /v1/session.
package page

import (
	"embed"
	"net/http"
	"path"
)

//go:embed assets
var assets embed.FS

// Paths are the paths that Handler answers.
func Paths() []string {
	return []string{"/{$}", "/assets/{file}"}
}

// Handler returns what serves the page at / and its files below /assets/.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "index.html"
		if r.URL.Path != "/" {
			name = path.Base(r.URL.Path)
		}
		http.ServeFileFS(w, r, assets, "assets/"+name)
	})
}
