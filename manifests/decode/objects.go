package decode

import (
	"go.yaml.in/yaml/v3"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate"
)

func (d *decoder) decodeConfigMap(node *yaml.Node, path string) {
	c := &v1.ConfigMap{}
	w := d.decodeInto(node, path, c)
	if w == nil {
		return
	}
	manifests.SetNamespace(c)
	d.report(w, path, validate.ConfigMap(c))
	if d.unique("ConfigMap", c, node) {
		d.contents.ConfigMaps = append(d.contents.ConfigMaps, c)
	}
}

func (d *decoder) decodeSecret(node *yaml.Node, path string) {
	s := &v1.Secret{}
	w := d.decodeInto(node, path, s)
	if w == nil {
		return
	}
	manifests.SetSecretDefaults(s)
	d.report(w, path, validate.Secret(s))
	s.StringData = nil
	if d.unique("Secret", s, node) {
		d.contents.Secrets = append(d.contents.Secrets, s)
	}
}

// decodeClaim: a claim is a directory of this machine; what it asks for is recorded, not enforced.
func (d *decoder) decodeClaim(node *yaml.Node, path string) {
	c := &v1.PersistentVolumeClaim{}
	w := d.decodeInto(node, path, c)
	if w == nil {
		return
	}
	manifests.SetNamespace(c)
	d.report(w, path, validate.Claim(c))
	if d.unique("PersistentVolumeClaim", c, node) {
		d.contents.Claims = append(d.contents.Claims, c)
	}
}
