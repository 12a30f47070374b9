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
	out := &collector{}
	checkObjectMeta(out, c)
	size := 0
	for key, value := range c.Data {
		checkKey(out, "data", key)
		size += len(value)
		if _, twice := c.BinaryData[key]; twice {
			out.errorf("binaryData."+key, "the key stands in data as well")
		}
	}
	for key, value := range c.BinaryData {
		checkKey(out, "binaryData", key)
		size += len(value)
	}
	checkSize(out, size)
	return out.problems
}

// Secret checks a defaulted Secret. No value is ever part of a message.
func Secret(s *v1.Secret) manifests.Problems {
	out := &collector{}
	checkObjectMeta(out, s)
	size := 0
	for key, value := range s.Data {
		size += len(value)
		if _, plain := s.StringData[key]; plain {
			checkKey(out, "stringData", key)
		} else {
			checkKey(out, "data", key)
		}
	}
	checkSize(out, size)
	checkSecretType(out, s)
	return out.problems
}

// Claim checks a defaulted claim.
func Claim(c *v1.PersistentVolumeClaim) manifests.Problems {
	out := &collector{}
	checkObjectMeta(out, c)
	if m := c.Spec.VolumeMode; m != nil && *m != v1.PersistentVolumeFilesystem {
		out.errorf("spec.volumeMode", "%s is not for Solopod: claims are directories; give a container a block device with hostPath", *m)
	}
	for name, q := range c.Spec.Resources.Requests {
		if name != v1.ResourceStorage || q.Sign() <= 0 {
			out.errorf("spec.resources.requests."+string(name), "a claim asks for storage, more than zero")
		}
	}
	return out.problems
}

func checkObjectMeta(out *collector, object metav1.Object) {
	if object.GetName() == "" {
		out.errorf("metadata.name", "a name is required")
	} else {
		out.all("metadata.name", object.GetName(), validation.IsDNS1123Subdomain(object.GetName()))
	}
	out.all("metadata.namespace", object.GetNamespace(), validation.IsDNS1123Label(object.GetNamespace()))
}

func checkKey(out *collector, field, key string) {
	out.all(field+"."+key, key, validation.IsConfigMapKey(key))
}

func checkSize(out *collector, n int) {
	if n > v1.MaxSecretSize {
		out.errorf("", "it holds %d bytes; at most %d are allowed", n, v1.MaxSecretSize)
	}
}

// checkSecretType checks what each type of Secret must hold, as the API server does.
func checkSecretType(out *collector, s *v1.Secret) {
	need := func(keys ...string) {
		for _, key := range keys {
			if _, ok := s.Data[key]; !ok {
				out.errorf("data", "a Secret of type %s needs the key %q", s.Type, key)
			}
		}
	}
	switch s.Type {
	case v1.SecretTypeServiceAccountToken:
		out.errorf("type", "there is no API server to talk to")
	case v1.SecretTypeDockercfg:
		need(v1.DockerConfigKey)
	case v1.SecretTypeDockerConfigJson:
		need(v1.DockerConfigJsonKey)
		if data, ok := s.Data[v1.DockerConfigJsonKey]; ok && !json.Valid(data) {
			out.errorf("data."+v1.DockerConfigJsonKey, "its value is not JSON")
		}
	case v1.SecretTypeBasicAuth:
		_, user := s.Data[v1.BasicAuthUsernameKey]
		_, password := s.Data[v1.BasicAuthPasswordKey]
		if !user && !password {
			out.errorf("data", "a Secret of type %s needs %q or %q", s.Type, v1.BasicAuthUsernameKey, v1.BasicAuthPasswordKey)
		}
	case v1.SecretTypeSSHAuth:
		need(v1.SSHAuthPrivateKey)
	case v1.SecretTypeTLS:
		need(v1.TLSCertKey, v1.TLSPrivateKeyKey)
	}
}
