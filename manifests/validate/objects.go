package validate

import (
	"encoding/json"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
)

// ConfigMap checks a defaulted ConfigMap.
func ConfigMap(c *v1.ConfigMap) manifests.Problems {
	out := &findings.Collector{}
	metadata.Check(out, c, validation.IsDNS1123Subdomain)
	size := 0
	for key, value := range c.Data {
		checkKey(out, "data", key)
		size += len(value)
		if _, twice := c.BinaryData[key]; twice {
			out.Errorf("binaryData."+key, "the key stands in data as well")
		}
	}
	for key, value := range c.BinaryData {
		checkKey(out, "binaryData", key)
		size += len(value)
	}
	checkSize(out, size)
	return out.Problems
}

// Secret checks a defaulted Secret. No value is ever part of a message.
func Secret(s *v1.Secret) manifests.Problems {
	out := &findings.Collector{}
	metadata.Check(out, s, validation.IsDNS1123Subdomain)
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
	return out.Problems
}

// Claim checks a defaulted claim.
func Claim(c *v1.PersistentVolumeClaim) manifests.Problems {
	out := &findings.Collector{}
	metadata.Check(out, c, validation.IsDNS1123Subdomain)
	checkClaim(out, "spec", &c.Spec)
	return out.Problems
}

// checkClaim checks a claim or the template of one (Kubernetes, ValidatePersistentVolumeClaimSpec).
func checkClaim(out *findings.Collector, at string, s *v1.PersistentVolumeClaimSpec) {
	if m := s.VolumeMode; m != nil {
		findings.OneOf(out, at+".volumeMode", *m, v1.PersistentVolumeFilesystem, v1.PersistentVolumeBlock)
		if *m == v1.PersistentVolumeBlock {
			out.Errorf(at+".volumeMode", "Block is not for Solopod: claims are directories; give a container a block device with hostPath")
		}
	}
	if len(s.AccessModes) == 0 {
		out.Errorf(at+".accessModes", "at least one is required; on one machine write [ReadWriteOnce]")
	}
	for i, m := range s.AccessModes {
		findings.OneOf(out, fmt.Sprintf("%s.accessModes[%d]", at, i), m, v1.ReadWriteOnce, v1.ReadOnlyMany, v1.ReadWriteMany, v1.ReadWriteOncePod)
		if m == v1.ReadWriteOncePod && slices.ContainsFunc(s.AccessModes, func(o v1.PersistentVolumeAccessMode) bool { return o != m }) {
			out.Errorf(at+".accessModes", "ReadWriteOncePod excludes the others")
		}
	}
	if q, ok := s.Resources.Requests[v1.ResourceStorage]; !ok || q.Sign() <= 0 {
		out.Errorf(at+".resources.requests.storage", "a claim asks for storage, more than zero; it is recorded, not enforced")
	}
	for name := range s.Resources.Requests {
		if name != v1.ResourceStorage {
			out.Errorf(at+".resources.requests."+string(name), "a claim asks for storage, and nothing else")
		}
	}
	for name, class := range map[string]*string{"storageClassName": s.StorageClassName, "volumeAttributesClassName": s.VolumeAttributesClassName} {
		if class != nil && *class != "" {
			out.All(at+"."+name, *class, validation.IsDNS1123Subdomain(*class))
		}
	}
}

func checkKey(out *findings.Collector, field, key string) {
	out.All(field+"."+key, key, validation.IsConfigMapKey(key))
}

func checkSize(out *findings.Collector, n int) {
	if n > v1.MaxSecretSize {
		out.Errorf("", "it holds %d bytes; at most %d are allowed", n, v1.MaxSecretSize)
	}
}

// checkSecretType checks what each type of Secret must hold, as the API server does.
func checkSecretType(out *findings.Collector, s *v1.Secret) {
	need := func(keys ...string) {
		for _, key := range keys {
			if _, ok := s.Data[key]; !ok {
				out.Errorf("data", "a Secret of type %s needs the key %q", s.Type, key)
			}
		}
	}
	switch s.Type {
	case v1.SecretTypeServiceAccountToken:
		out.Errorf("type", "there is no API server to talk to")
	case v1.SecretTypeDockercfg:
		need(v1.DockerConfigKey)
		checkConfigOfDocker(out, s, v1.DockerConfigKey)
	case v1.SecretTypeDockerConfigJson:
		need(v1.DockerConfigJsonKey)
		checkConfigOfDocker(out, s, v1.DockerConfigJsonKey)
	case v1.SecretTypeBasicAuth:
		_, user := s.Data[v1.BasicAuthUsernameKey]
		_, password := s.Data[v1.BasicAuthPasswordKey]
		if !user && !password {
			out.Errorf("data", "a Secret of type %s needs %q or %q", s.Type, v1.BasicAuthUsernameKey, v1.BasicAuthPasswordKey)
		}
	case v1.SecretTypeSSHAuth:
		need(v1.SSHAuthPrivateKey)
		if key, ok := s.Data[v1.SSHAuthPrivateKey]; ok && len(key) == 0 {
			out.Errorf("data."+v1.SSHAuthPrivateKey, "it is empty")
		}
	case v1.SecretTypeTLS:
		need(v1.TLSCertKey, v1.TLSPrivateKeyKey)
	}
}

// checkConfigOfDocker: the value is an object of JSON. It is never shown.
func checkConfigOfDocker(out *findings.Collector, s *v1.Secret, key string) {
	if data, ok := s.Data[key]; ok && json.Unmarshal(data, &map[string]any{}) != nil {
		out.Errorf("data."+key, "its value is not an object of JSON, as docker login writes it")
	}
}
