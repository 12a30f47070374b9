package runner

import (
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/reference"
)

// objectsByNamespace sorts the ConfigMaps and Secrets of a snapshot.
func objectsByNamespace(s manifests.Snapshot) map[string]reference.Objects {
	out := map[string]reference.Objects{}
	of := func(namespace string) reference.Objects {
		o, ok := out[namespace]
		if !ok {
			o = reference.Objects{ConfigMaps: map[string]*v1.ConfigMap{}, Secrets: map[string]*v1.Secret{}}
			out[namespace] = o
		}
		return o
	}
	for _, c := range s.ConfigMaps {
		of(c.Namespace).ConfigMaps[c.Name] = c
	}
	for _, c := range s.Secrets {
		of(c.Namespace).Secrets[c.Name] = c
	}
	return out
}

// Files returns the manifest files, why the directory as a whole cannot be used, and why its changes are noticed late; the texts are
// empty when all is well.
func (r *Runner) Files() (files []manifests.File, problem, unwatched string) {
	return r.manifests.Last()
}
