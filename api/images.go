package api

import (
	"errors"
	"net/http"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/api/budget"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/engine"
)

// imageStore serves the images.
type imageStore struct{ runner *runner.Runner }

func (s imageStore) readers(mux *http.ServeMux) { mux.HandleFunc("GET /images", s.list) }

func (s imageStore) changers(mux *http.ServeMux) {
	mux.HandleFunc("POST /images", s.importArchive)
	mux.HandleFunc("POST /images/pull", s.pull)
}

func toImages(list []engine.Image) Images {
	out := Images{Images: []Image{}}
	for _, i := range list {
		out.Images = append(out.Images, Image{Name: i.Name, Digest: i.Digest, RepoDigests: []string{i.DigestName()}, Size: i.Size, CreatedAt: i.CreatedAt})
	}
	return out
}

func (s imageStore) list(w http.ResponseWriter, r *http.Request) {
	list, err := s.runner.Images().List(r.Context())
	if err != nil {
		answer.Fail(w, statusOf(err), err)
		return
	}
	answer.JSON(w, toImages(list))
}

// importArchive reads an archive from the request's body.
func (s imageStore) importArchive(w http.ResponseWriter, r *http.Request) {
	conn := budget.From(r.Context())
	root := conn != nil && conn.Client().Trusted
	list, err := s.runner.Images().Import(r.Context(), answer.Patient(w, r, answerTime), root)
	if err != nil {
		answer.Fail(w, http.StatusUnprocessableEntity, err)
		return
	}
	answer.JSON(w, toImages(list))
}

var errNoRef = errors.New("ref is missing: name the image")

func (s imageStore) pull(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("ref")
	if ref == "" {
		answer.Fail(w, http.StatusBadRequest, errNoRef)
		return
	}
	image, err := s.runner.Images().Update(r.Context(), ref, nil)
	if err != nil {
		answer.Fail(w, statusOf(err), err)
		return
	}
	answer.JSON(w, toImages([]engine.Image{image}))
}
