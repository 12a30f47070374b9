package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/runner"
)

// Claims answers /claims.
type Claims struct {
	Claims []runner.Claim `json:"claims"`
}

// claimStore serves the volumes that outlive pods.
type claimStore struct{ runner *runner.Runner }

func (s claimStore) readers(mux *http.ServeMux) { mux.HandleFunc("GET /claims", s.list) }

func (s claimStore) changers(mux *http.ServeMux) {
	mux.HandleFunc("DELETE /claims/{namespace}/{name}", s.remove)
}

func (s claimStore) list(w http.ResponseWriter, r *http.Request) {
	list, err := s.runner.Claims(r.Context())
	if err != nil {
		answer.Fail(w, statusOf(err), fmt.Errorf("cannot list the claims: %w", err))
		return
	}
	answer.JSON(w, Claims{list})
}

func (s claimStore) remove(w http.ResponseWriter, r *http.Request) {
	namespace, name := r.PathValue("namespace"), r.PathValue("name")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		answer.Fail(w, http.StatusBadRequest, fmt.Errorf("%s/%s cannot be a claim's name", namespace, name))
		return
	}
	switch err := s.runner.RemoveClaim(namespace, name); {
	case errors.Is(err, fs.ErrNotExist):
		answer.Fail(w, http.StatusNotFound, fmt.Errorf("there is no claim %s/%s", namespace, name))
	case errors.Is(err, runner.ErrInUse):
		answer.Fail(w, http.StatusConflict, err)
	case err != nil:
		answer.Fail(w, http.StatusInternalServerError, err)
	default:
		answer.JSON(w, Claims{[]runner.Claim{}})
	}
}

// Claims lists the claims of the machine.
func (c *Client) Claims(ctx context.Context) ([]runner.Claim, error) {
	var list Claims
	err := c.get(ctx, "/claims", nil, &list)
	return list.Claims, err
}

// RemoveClaim removes a claim and its data.
func (c *Client) RemoveClaim(ctx context.Context, namespace, name string) error {
	return c.send(ctx, http.MethodDelete, "/claims/"+url.PathEscape(namespace)+"/"+url.PathEscape(name), nil, nil, &Claims{})
}
