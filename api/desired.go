package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/api/desired"
	"github.com/solopod/solopod/workload"
)

// minSalt is how many bytes a salt has at least: digests of Secrets' values with one that is known could be looked up.
const minSalt = 16

// Desired returns the objects of the daemon's manifests as they were read, with the salt's digests instead of Secrets' values.
func Desired(ctx context.Context, c *Client, salt string) (desired.Objects, error) {
	var out desired.Objects
	err := c.send(ctx, http.MethodGet, "/desired", url.Values{"salt": {salt}}, nil, &out)
	return out, err
}

// desired answers with what shall run.
func (s controllers) desired(w http.ResponseWriter, r *http.Request) {
	salt := r.URL.Query().Get("salt")
	if len(salt) < minSalt {
		answer.Fail(w, http.StatusBadRequest, errors.New("salt is missing or short: it is at least 16 bytes that nobody has used before"))
		return
	}
	state := s.controller.Desired()
	answer.JSON(w, desired.Of(&state, salt, workload.Waiting(s.controller)))
}
