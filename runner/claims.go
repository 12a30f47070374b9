package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/volume"
)

// Claim is a PersistentVolumeClaim and who uses it.
type Claim struct {
	volume.Claim
	// Pods that use it, as namespace/name.
	Pods []string `json:"pods"`
}

// ErrInUse says that something cannot be removed because a pod uses it.
var ErrInUse = errors.New("in use")

// claimsLimit is how long the directory of claims may take to be listed.
const claimsLimit = 5 * time.Second

// Claims lists the claims of this machine, or returns aside.ErrHangs when their disk does not answer.
func (r *Runner) Claims(ctx context.Context) ([]Claim, error) {
	list, err := aside.Do(ctx, &r.places, r.volumes.Claims, claimsLimit, r.volumes.ListClaims)
	if err != nil {
		return nil, err
	}
	users := r.claimUsers()
	out := []Claim{}
	for _, c := range list {
		out = append(out, Claim{c, users[c.Namespace+"/"+c.Name]})
	}
	return out, nil
}

// claimUsers are the pods that use claims, by the claim's namespace and name.
func (r *Runner) claimUsers() map[string][]string {
	users := map[string][]string{}
	for _, pod := range r.Pods() {
		for _, v := range pod.Spec.Volumes {
			if c := v.PersistentVolumeClaim; c != nil {
				key := pod.Namespace + "/" + c.ClaimName
				users[key] = append(users[key], manifests.Key(pod))
			}
		}
	}
	for key, list := range users {
		users[key] = slices.Compact(list)
	}
	return users
}

// RemoveClaim removes a claim's data, unless a pod uses it.
func (r *Runner) RemoveClaim(namespace, name string) error {
	if users := r.claimUsers()[namespace+"/"+name]; len(users) > 0 {
		return fmt.Errorf("claim %s/%s is %w by pod %s; remove that first", namespace, name, ErrInUse, users[0])
	}
	return r.volumes.RemoveClaim(namespace, name)
}
