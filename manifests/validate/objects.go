package validate

import (
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
)

// ConfigMap checks a defaulted ConfigMap.
func ConfigMap(c *v1.ConfigMap) manifests.Problems {
	v := &validator{}
	v.objectMeta(c)
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
	return v.problems
}

// Secret checks a defaulted Secret. No value is ever part of a message.
func Secret(s *v1.Secret) manifests.Problems {
	v := &validator{}
	v.objectMeta(s)
	size := 0
	for key, value := range s.Data {
		size += len(value)
		if _, plain := s.StringData[key]; plain {
			v.key("stringData", key)
		} else {
			v.key("data", key)
		}
	}
	v.size(size)
	v.secretType(s)
	return v.problems
}

// Claim checks a defaulted claim.
func Claim(c *v1.PersistentVolumeClaim) manifests.Problems {
	v := &validator{}
	v.objectMeta(c)
	if m := c.Spec.VolumeMode; m != nil && *m != v1.PersistentVolumeFilesystem {
		v.errorf("spec.volumeMode", "%s is not for Solopod: claims are directories; give a container a block device with hostPath", *m)
	}
	for name, q := range c.Spec.Resources.Requests {
		if name != v1.ResourceStorage || q.Sign() <= 0 {
			v.errorf("spec.resources.requests."+string(name), "a claim asks for storage, more than zero")
		}
	}
	return v.problems
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

// secretType checks what each type of Secret must hold, as the API server does.
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
		v.errorf("type", "there is no API server to talk to")
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
