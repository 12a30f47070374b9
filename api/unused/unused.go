// Package unused serves the removal of images: of one, unless somebody uses it, and of all that nobody uses.
package unused

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/runner/collect"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image"
)

// Collector removes what nobody uses; collect.Collector is one.
type Collector interface {
	Prune(ctx context.Context, p collect.Pruning) (collect.Pruned, error)
	UsersOf(ctx context.Context, goes func(name, digest string) bool) ([]string, error)
}

// Images has the images; image.Store is one.
type Images interface {
	Remove(ctx context.Context, ref string) error
}

// Served removes images.
type Served struct {
	Collector Collector
	Images    Images
}

// Changers adds the paths.
func (s Served) Changers(mux *http.ServeMux) {
	mux.HandleFunc("DELETE /images", s.remove)
	mux.HandleFunc("POST /images/prune", s.prune)
}

// Query says what is to be pruned, in a request.
func Query(p collect.Pruning) url.Values {
	q := url.Values{}
	for name, set := range map[string]bool{"all": p.All, "dryRun": p.DryRun} {
		if set {
			q.Set(name, "true")
		}
	}
	if p.Unused > 0 {
		q.Set("olderThan", p.Unused.String())
	}
	return q
}

func parse(q url.Values) (p collect.Pruning, err error) {
	for name, into := range map[string]*bool{"all": &p.All, "dryRun": &p.DryRun} {
		if text := q.Get(name); text != "" {
			if *into, err = strconv.ParseBool(text); err != nil {
				return p, fmt.Errorf("%s is true or false, not %q", name, text)
			}
		}
	}
	if text := q.Get("olderThan"); text != "" {
		if p.Unused, err = time.ParseDuration(text); err != nil || p.Unused < 0 {
			return p, fmt.Errorf("olderThan %q is not a duration like 24h", text)
		}
	}
	return p, nil
}

// prune removes what nobody uses, or says what that is.
func (s Served) prune(w http.ResponseWriter, r *http.Request) {
	p, err := parse(r.URL.Query())
	if err != nil {
		answer.Fail(w, http.StatusBadRequest, err)
		return
	}
	done, err := s.Collector.Prune(r.Context(), p)
	if err != nil {
		answer.Fail(w, http.StatusServiceUnavailable, err)
		return
	}
	answer.JSON(w, done)
}

// remove removes one image. One that somebody uses it removes by force alone.
func (s Served) remove(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("ref")
	if ref == "" {
		answer.Fail(w, http.StatusBadRequest, errors.New("ref is missing: name the image"))
		return
	}
	if r.URL.Query().Get("force") != "true" {
		users, err := s.Collector.UsersOf(r.Context(), image.Goes(ref))
		if err != nil {
			answer.Fail(w, http.StatusServiceUnavailable, err)
			return
		}
		if len(users) > 0 {
			slices.Sort(users)
			answer.Fail(w, http.StatusConflict, fmt.Errorf("image %s is used by %s; with --force it goes nevertheless, and they do not start again without it",
				ref, strings.Join(slices.Compact(users), ", ")))
			return
		}
	}
	if err := s.Images.Remove(r.Context(), ref); err != nil {
		answer.Fail(w, statusOf(err), err)
		return
	}
	answer.JSON(w, struct {
		Images []string `json:"images"`
	}{[]string{}})
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, engine.ErrInvalidName):
		return http.StatusBadRequest
	case errors.Is(err, engine.ErrNotFound):
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}
