package validate

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests/spelling"
	"github.com/solopod/solopod/manifests/validate/findings"
)

// volumeFields and envFields are what fieldRef may name (kubernetes.io/docs/concepts/workloads/pods/downward-api).
var (
	volumeFields = []string{"metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"}
	envFields    = []string{
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	}
)

func checkEnv(out *findings.Collector, at string, c *v1.Container, volumes map[string]*v1.Volume) {
	for i := range c.EnvFrom {
		checkEnvFrom(out, fmt.Sprintf("%s.envFrom[%d]", at, i), &c.EnvFrom[i])
	}
	for i, e := range c.Env {
		at := fmt.Sprintf("%s.env[%d]", at, i)
		out.All(at+".name", e.Name, validation.IsRelaxedEnvVarName(e.Name))
		if e.ValueFrom == nil {
			continue
		}
		if e.Value != "" {
			out.Errorf(at+".valueFrom", "value and valueFrom exclude each other")
		}
		checkValueFrom(out, at+".valueFrom", e.ValueFrom, volumes)
	}
}

func checkEnvFrom(out *findings.Collector, at string, f *v1.EnvFromSource) {
	if f.Prefix != "" {
		out.All(at+".prefix", f.Prefix, validation.IsRelaxedEnvVarName(f.Prefix))
	}
	switch {
	case (f.ConfigMapRef == nil) == (f.SecretRef == nil):
		out.Errorf(at, "exactly one of configMapRef and secretRef is needed")
	case f.ConfigMapRef != nil:
		checkObjectName(out, at+".configMapRef.name", f.ConfigMapRef.Name)
	default:
		checkObjectName(out, at+".secretRef.name", f.SecretRef.Name)
	}
}

func checkValueFrom(out *findings.Collector, at string, s *v1.EnvVarSource, volumes map[string]*v1.Volume) {
	count := 0
	if r := s.FieldRef; r != nil {
		count++
		checkFieldRef(out, at+".fieldRef", r, envFields)
	}
	if r := s.ResourceFieldRef; r != nil {
		count++
		checkResourceField(out, at+".resourceFieldRef", r)
	}
	if r := s.ConfigMapKeyRef; r != nil {
		count++
		checkObjectName(out, at+".configMapKeyRef.name", r.Name)
		out.All(at+".configMapKeyRef.key", r.Key, validation.IsConfigMapKey(r.Key))
	}
	if r := s.SecretKeyRef; r != nil {
		count++
		checkObjectName(out, at+".secretKeyRef.name", r.Name)
		out.All(at+".secretKeyRef.key", r.Key, validation.IsConfigMapKey(r.Key))
	}
	if r := s.FileKeyRef; r != nil {
		count++
		checkMountedVolume(out, at+".fileKeyRef", r.VolumeName, volumes)
		checkFilePath(out, at+".fileKeyRef.path", r.Path)
		out.All(at+".fileKeyRef.key", r.Key, validation.IsRelaxedEnvVarName(r.Key))
		if vol := volumes[r.VolumeName]; vol != nil && vol.EmptyDir == nil {
			out.Errorf(at+".fileKeyRef.volumeName", "the volume must be an emptyDir")
		}
	}
	if count != 1 {
		out.Errorf(at, "exactly one of fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef and fileKeyRef is needed; there are %d", count)
	}
}

func checkFieldRef(out *findings.Collector, at string, r *v1.ObjectFieldSelector, allowed []string) {
	findings.OneOf(out, at+".apiVersion", r.APIVersion, "", "v1")
	at, p := at+".fieldPath", r.FieldPath
	base, rest, subscript := strings.Cut(p, "['")
	if subscript {
		key, closed := strings.CutSuffix(rest, "']")
		switch {
		case base != "metadata.labels" && base != "metadata.annotations" || !closed || key == "":
			out.Errorf(at, "%q is no field to refer to; write metadata.labels['KEY'] or metadata.annotations['KEY']", p)
		case base == "metadata.annotations":
			out.All(at, key, validation.IsQualifiedName(strings.ToLower(key)))
		default:
			out.All(at, key, validation.IsQualifiedName(key))
		}
		return
	}
	if slices.Contains(allowed, p) {
		return
	}
	message := fmt.Sprintf("%q is no field to refer to; choose one of %s, metadata.labels['KEY'], metadata.annotations['KEY']", p, strings.Join(allowed, ", "))
	if near := spelling.Nearest(p, allowed); near != "" {
		message = fmt.Sprintf("%q is no field to refer to; did you mean %q?", p, near)
	}
	out.Errorf(at, "%s", message)
}

func checkResourceField(out *findings.Collector, at string, r *v1.ResourceFieldSelector) {
	kind, name, _ := strings.Cut(r.Resource, ".")
	known := name == string(v1.ResourceCPU) || name == string(v1.ResourceMemory) || name == string(v1.ResourceEphemeralStorage) ||
		strings.HasPrefix(name, v1.ResourceHugePagesPrefix)
	if kind != "limits" && kind != "requests" || !known {
		out.Errorf(at+".resource", "%q is no resource to refer to; write limits.cpu, requests.memory and the like", r.Resource)
		return
	}
	if r.Divisor.IsZero() {
		return
	}
	units := []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
	if name == string(v1.ResourceCPU) {
		units = []string{"1m", "1"}
	}
	if !slices.ContainsFunc(units, func(u string) bool { q := resource.MustParse(u); return q.Cmp(r.Divisor) == 0 }) {
		out.Errorf(at+".divisor", "unsupported value %q; choose one of %s", r.Divisor.String(), strings.Join(units, ", "))
	}
}
