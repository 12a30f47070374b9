package runner

import (
	"errors"
	"fmt"
	"slices"

	"github.com/solopod/solopod/manifests"
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

// Claims lists the claims of this machine.
func (r *Runner) Claims() ([]Claim, error) {
	list, err := r.volumes.ListClaims()
	if err != nil {
		return nil, err
	}
	users := map[string][]string{}
	for _, pod := range r.Pods() {
		for _, v := range pod.Spec.Volumes {
			if c := v.PersistentVolumeClaim; c != nil {
				key := pod.Namespace + "/" + c.ClaimName
				users[key] = append(users[key], manifests.Key(pod))
			}
		}
	}
	out := []Claim{}
	for _, c := range list {
		out = append(out, Claim{c, slices.Compact(users[c.Namespace+"/"+c.Name])})
	}
	return out, nil
}

// RemoveClaim removes a claim's data, unless a pod uses it.
func (r *Runner) RemoveClaim(namespace, name string) error {
	list, err := r.Claims()
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Namespace == namespace && c.Name == name && len(c.Pods) > 0 {
			return fmt.Errorf("claim %s/%s is %w by pod %s; remove that first", namespace, name, ErrInUse, c.Pods[0])
		}
	}
	return r.volumes.RemoveClaim(namespace, name)
}
