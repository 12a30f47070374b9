package manifests

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// decodeObject decodes, checks and counts in an object that is not a pod. It is nil where there are errors.
func decodeObject[T any, P interface {
	*T
	metav1.Object
}](d *decoder, node *yaml.Node, path, kind string, check func(v *validator, object P)) P {
	object := P(new(T))
	w := d.decodeInto(node, path, object)
	if w == nil {
		return nil
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(v1.NamespaceDefault)
	}
	v := &validator{}
	v.objectMeta(object)
	check(v, object)
	d.report(w, path, v.problems)
	if !d.unique(kind, object, node) {
		return nil
	}
	return object
}

func (d *decoder) decodeConfigMap(node *yaml.Node, path string) {
	c := decodeObject(d, node, path, "ConfigMap", func(v *validator, c *v1.ConfigMap) {
		size := 0
		for key, value := range c.Data {
			v.key("data", key)
			size += len(value)
			if _, twice := c.BinaryData[key]; twice {
				v.errorf("binaryData."+key, "the key stands in data as well")
			}
		}
		for key, value := range c.BinaryData {
			v.key("binaryData", key)
			size += len(value)
		}
		v.size(size)
	})
	if c != nil {
		d.contents.ConfigMaps = append(d.contents.ConfigMaps, c)
	}
}

func (d *decoder) decodeSecret(node *yaml.Node, path string) {
	s := decodeObject(d, node, path, "Secret", func(v *validator, s *v1.Secret) {
		setDefault(&s.Type, v1.SecretTypeOpaque)
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		for key := range s.Data {
			v.key("data", key)
		}
		for key, value := range s.StringData { // it wins, as in the API server
			v.key("stringData", key)
			s.Data[key] = []byte(value)
		}
		s.StringData = nil
		size := 0
		for _, value := range s.Data {
			size += len(value)
		}
		v.size(size)
		v.secretType(s)
	})
	if s != nil {
		d.contents.Secrets = append(d.contents.Secrets, s)
	}
}

// decodeClaim: a claim is a directory of this machine; what it asks for is recorded, not enforced.
func (d *decoder) decodeClaim(node *yaml.Node, path string) {
	c := decodeObject(d, node, path, "PersistentVolumeClaim", func(v *validator, c *v1.PersistentVolumeClaim) {
		if m := c.Spec.VolumeMode; m != nil && *m != v1.PersistentVolumeFilesystem {
			v.errorf("spec.volumeMode", "%s is not for Solopod: claims are directories; give a container a block device with hostPath", *m)
		}
		for name, q := range c.Spec.Resources.Requests {
			if name != v1.ResourceStorage || q.Sign() <= 0 {
				v.errorf("spec.resources.requests."+string(name), "a claim asks for storage, more than zero")
			}
		}
	})
	if c != nil {
		d.contents.Claims = append(d.contents.Claims, c)
	}
}

func (v *validator) objectMeta(object metav1.Object) {
	if object.GetName() == "" {
		v.errorf("metadata.name", "a name is required")
	} else {
		v.all("metadata.name", object.GetName(), validation.IsDNS1123Subdomain(object.GetName()))
	}
	v.all("metadata.namespace", object.GetNamespace(), validation.IsDNS1123Label(object.GetNamespace()))
}

func (v *validator) key(field, key string) {
	v.all(field+"."+key, key, validation.IsConfigMapKey(key))
}

func (v *validator) size(n int) {
	if n > v1.MaxSecretSize {
		v.errorf("", "it holds %d bytes; at most %d are allowed", n, v1.MaxSecretSize)
	}
}

// secretType checks what each type of Secret must hold, as the API server does. No value is ever part of a message.
func (v *validator) secretType(s *v1.Secret) {
	need := func(keys ...string) {
		for _, key := range keys {
			if _, ok := s.Data[key]; !ok {
				v.errorf("data", "a Secret of type %s needs the key %q", s.Type, key)
			}
		}
	}
	switch s.Type {
	case v1.SecretTypeServiceAccountToken:
		v.errorf("type", "%s", noAPIServer)
	case v1.SecretTypeDockercfg:
		need(v1.DockerConfigKey)
	case v1.SecretTypeDockerConfigJson:
		need(v1.DockerConfigJsonKey)
		if data, ok := s.Data[v1.DockerConfigJsonKey]; ok && !json.Valid(data) {
			v.errorf("data."+v1.DockerConfigJsonKey, "its value is not JSON")
		}
	case v1.SecretTypeBasicAuth:
		_, user := s.Data[v1.BasicAuthUsernameKey]
		_, password := s.Data[v1.BasicAuthPasswordKey]
		if !user && !password {
			v.errorf("data", "a Secret of type %s needs %q or %q", s.Type, v1.BasicAuthUsernameKey, v1.BasicAuthPasswordKey)
		}
	case v1.SecretTypeSSHAuth:
		need(v1.SSHAuthPrivateKey)
	case v1.SecretTypeTLS:
		need(v1.TLSCertKey, v1.TLSPrivateKeyKey)
	}
}

// changedImmutable returns problems of objects that say they do not change, and have changed.
func changedImmutable(file string, old, now Contents) Problems {
	var out Problems
	report := func(kind string, object metav1.Object) {
		out = append(out, Problem{File: file, Path: "immutable", Message: fmt.Sprintf(
			"%s %s/%s is immutable, and its data have changed; remove it from the directory first, or give the new one another name",
			kind, object.GetNamespace(), object.GetName())})
	}
	for _, a := range old.ConfigMaps {
		for _, b := range now.ConfigMaps {
			if a.Name == b.Name && a.Namespace == b.Namespace && a.Immutable != nil && *a.Immutable &&
				!same([]any{a.Data, a.BinaryData, true}, []any{b.Data, b.BinaryData, b.Immutable}) {
				report("ConfigMap", b)
			}
		}
	}
	for _, a := range old.Secrets {
		for _, b := range now.Secrets {
			if a.Name == b.Name && a.Namespace == b.Namespace && a.Immutable != nil && *a.Immutable &&
				!same([]any{a.Data, a.Type, true}, []any{b.Data, b.Type, b.Immutable}) {
				report("Secret", b)
			}
		}
	}
	return out
}

func same(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
