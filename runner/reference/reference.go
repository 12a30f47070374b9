// Package reference resolves what a pod's manifest refers to: fields of the pod, resources of its containers, and values of
// ConfigMaps and Secrets, for environments and for volumes. It does no I/O.
package reference

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// Objects are the ConfigMaps and Secrets that a pod may refer to, by name: those of its namespace.
type Objects struct {
	ConfigMaps map[string]*v1.ConfigMap
	Secrets    map[string]*v1.Secret
}

// ErrMissing says that something is referred to which does not exist yet.
var ErrMissing = errors.New("not found")

func missing(kind, name, namespace string) error {
	return fmt.Errorf("%s %q of namespace %q %w; put it into the manifests directory, or mark the reference as optional", kind, name, namespace, ErrMissing)
}

func (in *Inputs) configMap(name string) (map[string][]byte, error) {
	c := in.Objects.ConfigMaps[name]
	if c == nil {
		return nil, missing("ConfigMap", name, in.Pod.Namespace)
	}
	out := maps.Clone(c.BinaryData)
	if out == nil {
		out = map[string][]byte{}
	}
	for key, value := range c.Data {
		out[key] = []byte(value)
	}
	return out, nil
}

func (in *Inputs) secret(name string) (map[string][]byte, error) {
	s := in.Objects.Secrets[name]
	if s == nil {
		return nil, missing("Secret", name, in.Pod.Namespace)
	}
	return maps.Clone(s.Data), nil
}

// Inputs are what references are resolved against.
type Inputs struct {
	// Pod with its status, as far as it is known.
	Pod     *v1.Pod
	Objects Objects
	// Node is what the machine has to give: the limit of a container that has none.
	Node v1.ResourceList
	// ReadFile reads a file of a volume, for fileKeyRef; nil where there is none.
	ReadFile func(volume, path string) ([]byte, error)
	// Services are variables of the pod's services, as name=value, which any other of the same name replaces.
	Services []string
}

// Use is one reference to a ConfigMap or Secret.
type Use struct {
	Secret   bool
	Name     string
	Optional bool
	// Environment: its value goes into a container's environment; Container is its name.
	Environment bool
	Container   string
}

// Uses lists all references of the pod to ConfigMaps and Secrets.
func Uses(pod *v1.Pod) []Use {
	var out []Use
	add := func(secret bool, name string, optional *bool, container string) {
		out = append(out, Use{secret, name, optional != nil && *optional, container != "", container})
	}
	for _, c := range manifests.AllContainers(pod) {
		for _, f := range c.EnvFrom {
			if r := f.ConfigMapRef; r != nil {
				add(false, r.Name, r.Optional, c.Name)
			}
			if r := f.SecretRef; r != nil {
				add(true, r.Name, r.Optional, c.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom == nil {
				continue
			}
			if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
				add(false, r.Name, r.Optional, c.Name)
			}
			if r := e.ValueFrom.SecretKeyRef; r != nil {
				add(true, r.Name, r.Optional, c.Name)
			}
		}
	}
	for _, v := range pod.Spec.Volumes {
		if r := v.ConfigMap; r != nil {
			add(false, r.Name, r.Optional, "")
		}
		if r := v.Secret; r != nil {
			add(true, r.SecretName, r.Optional, "")
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if r := s.ConfigMap; r != nil {
				add(false, r.Name, r.Optional, "")
			}
			if r := s.Secret; r != nil {
				add(true, r.Name, r.Optional, "")
			}
		}
	}
	for _, r := range pod.Spec.ImagePullSecrets {
		out = append(out, Use{Secret: true, Name: r.Name, Optional: true})
	}
	return out
}

// Select returns those of all that the pod refers to.
func Select(pod *v1.Pod, all Objects) Objects {
	out := Objects{ConfigMaps: map[string]*v1.ConfigMap{}, Secrets: map[string]*v1.Secret{}}
	for _, u := range Uses(pod) {
		if u.Secret {
			if s := all.Secrets[u.Name]; s != nil {
				out.Secrets[u.Name] = s
			}
		} else if c := all.ConfigMaps[u.Name]; c != nil {
			out.ConfigMaps[u.Name] = c
		}
	}
	return out
}

// Absent returns an error that names the objects which the pod's volumes need and which do not exist; nil when all do.
func Absent(pod *v1.Pod, objects Objects) error {
	var errs []error
	for _, a := range absent(pod, objects, false) {
		errs = append(errs, a.Err)
	}
	return errors.Join(errs...)
}

// Lack is an object that is needed and does not exist.
type Lack struct {
	Secret bool
	Name   string
	// Err says so, with advice.
	Err error
}

// Missing are the objects that the pod needs, for its volumes and for the environment of its containers, and which do not exist.
func Missing(pod *v1.Pod, objects Objects) []Lack { return absent(pod, objects, true) }

func absent(pod *v1.Pod, objects Objects, environment bool) (out []Lack) {
	in := &Inputs{Pod: pod, Objects: objects}
	for _, u := range Uses(pod) {
		if u.Optional || u.Environment && !environment || slices.ContainsFunc(out, func(l Lack) bool { return l.Secret == u.Secret && l.Name == u.Name }) {
			continue
		}
		var err error
		if u.Secret {
			_, err = in.secret(u.Name)
		} else {
			_, err = in.configMap(u.Name)
		}
		if err != nil {
			out = append(out, Lack{u.Secret, u.Name, err})
		}
	}
	return out
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
