package reference

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Env computes a container's variables as name=value, in their order: those of services first, then of envFrom, then env, where a later
// one wins and $(VAR) reaches what stands before it.
func (in *Inputs) Env(c *v1.Container) ([]string, error) {
	known := map[string]string{}
	var order []string
	set := func(name, value string) {
		if _, ok := known[name]; !ok {
			order = append(order, name)
		}
		known[name] = value
	}
	for _, variable := range in.Services {
		name, value, _ := strings.Cut(variable, "=")
		set(name, value)
	}
	for i := range c.EnvFrom {
		values, err := in.source(&c.EnvFrom[i])
		if err != nil {
			return nil, fmt.Errorf("envFrom[%d]: %w", i, err)
		}
		for _, key := range sortedKeys(values) {
			set(c.EnvFrom[i].Prefix+key, string(values[key]))
		}
	}
	for i := range c.Env {
		e := &c.Env[i]
		value, ok := Expand(e.Value, known), true
		if e.ValueFrom != nil {
			var err error
			if value, ok, err = in.value(e.ValueFrom, c.Name); err != nil {
				return nil, fmt.Errorf("variable %s: %w", e.Name, err)
			}
		}
		if ok {
			set(e.Name, value)
		}
	}
	out := make([]string, len(order))
	for i, name := range order {
		out[i] = name + "=" + known[name]
	}
	return out, nil
}

// SecretFiles says whether the container mounts a volume that shows a Secret.
func SecretFiles(pod *v1.Pod, c *v1.Container) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v v1.Volume) bool {
		shows := v.Secret != nil || v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s v1.VolumeProjection) bool { return s.Secret != nil })
		return shows && slices.ContainsFunc(c.VolumeMounts, func(m v1.VolumeMount) bool { return m.Name == v.Name })
	})
}

// SecretEnv says whether values of Secrets may be in the container's environment, and by $(VAR) in its arguments: it refers to a Secret,
// or to a file of a volume, in which an init container has put what it fetched.
func SecretEnv(c *v1.Container) bool {
	return slices.ContainsFunc(c.EnvFrom, func(f v1.EnvFromSource) bool { return f.SecretRef != nil }) ||
		slices.ContainsFunc(c.Env, func(e v1.EnvVar) bool {
			return e.ValueFrom != nil && (e.ValueFrom.SecretKeyRef != nil || e.ValueFrom.FileKeyRef != nil)
		})
}

// source returns the values of an envFrom entry; those whose keys cannot be names of variables are left out, as by the
// kubelet.
func (in *Inputs) source(f *v1.EnvFromSource) (map[string][]byte, error) {
	var values map[string][]byte
	var err error
	var optional *bool
	switch {
	case f.ConfigMapRef != nil:
		values, err = in.configMap(f.ConfigMapRef.Name)
		optional = f.ConfigMapRef.Optional
		if err == nil { // binary data is no text
			values = map[string][]byte{}
			for key, value := range in.Objects.ConfigMaps[f.ConfigMapRef.Name].Data {
				values[key] = []byte(value)
			}
		}
	case f.SecretRef != nil:
		values, err = in.secret(f.SecretRef.Name)
		optional = f.SecretRef.Optional
	}
	if errors.Is(err, ErrMissing) && optional != nil && *optional {
		return nil, nil
	}
	for key := range values {
		if strings.ContainsAny(key, "=\x00") {
			delete(values, key)
		}
	}
	return values, err
}

// value resolves valueFrom; ok is false when an optional reference has no value, and the variable is then not set.
func (in *Inputs) value(s *v1.EnvVarSource, container string) (value string, ok bool, err error) {
	switch {
	case s.FieldRef != nil:
		value, err = in.Field(s.FieldRef.FieldPath)
	case s.ResourceFieldRef != nil:
		value, err = in.Resource(s.ResourceFieldRef, container)
	case s.ConfigMapKeyRef != nil:
		r := s.ConfigMapKeyRef
		values, err := in.configMap(r.Name)
		return key("ConfigMap", r.Name, r.Key, r.Optional, values, err)
	case s.SecretKeyRef != nil:
		r := s.SecretKeyRef
		values, err := in.secret(r.Name)
		return key("Secret", r.Name, r.Key, r.Optional, values, err)
	case s.FileKeyRef != nil:
		return in.fileKey(s.FileKeyRef)
	}
	return value, true, err
}

func key(kind, object, key string, optional *bool, values map[string][]byte, err error) (string, bool, error) {
	value, ok := values[key]
	if err == nil && !ok {
		err = fmt.Errorf("%s %q has no key %q: %w", kind, object, key, ErrMissing)
	}
	if errors.Is(err, ErrMissing) && optional != nil && *optional {
		return "", false, nil
	}
	return string(value), err == nil, err
}

func (in *Inputs) fileKey(r *v1.FileKeySelector) (string, bool, error) {
	values := map[string][]byte{}
	text, err := in.ReadFile(r.VolumeName, r.Path)
	if err != nil {
		err = fmt.Errorf("file %q of volume %q: %w (%w)", r.Path, r.VolumeName, err, ErrMissing)
	} else if values, err = parseEnvFile(string(text)); err != nil {
		return "", false, fmt.Errorf("file %q of volume %q: %w", r.Path, r.VolumeName, err)
	}
	return key("file", r.Path, r.Key, r.Optional, values, err)
}

// parseEnvFile reads NAME=value lines: blank lines and those that begin with # count for nothing, a value in single quotes is
// taken as it is, over several lines too (KEP-3721).
func parseEnvFile(text string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for n := 1; text != ""; n++ {
		line, rest, _ := strings.Cut(text, "\n")
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			text = rest
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t'\"") {
			return nil, fmt.Errorf("line %d is not NAME='value'", n)
		}
		if strings.HasPrefix(value, "'") {
			_, quoted, _ := strings.Cut(text, "='")
			inside, after, closed := strings.Cut(quoted, "'")
			if !closed {
				return nil, fmt.Errorf("the quote that begins in line %d does not end", n)
			}
			n += strings.Count(inside, "\n")
			tail, next, _ := strings.Cut(after, "\n")
			if tail = strings.TrimSpace(tail); tail != "" && tail[0] != '#' {
				return nil, fmt.Errorf("line %d: something follows the closing quote", n)
			}
			value, rest = inside, next
		}
		out[name] = []byte(value)
		text = rest
	}
	return out, nil
}

// Expand replaces $(NAME) by its value; $$ stands for a single $, and an unknown reference stays as it is
// (Kubernetes, "Define Dependent Environment Variables").
func Expand(s string, env map[string]string) string {
	out, _ := expand(s, env)
	return out
}

// ExpandAll is Expand that fails where a reference is unknown, as subPathExpr demands.
func ExpandAll(s string, env map[string]string) (string, error) {
	out, unknown := expand(s, env)
	if unknown != "" {
		return "", fmt.Errorf("%q refers to the variable %q, which the container does not have", s, unknown)
	}
	return out, nil
}

func expand(s string, env map[string]string) (out, unknown string) {
	if !strings.Contains(s, "$") {
		return s, ""
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(s[i:], ')')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			name := s[i+2 : i+end]
			if value, ok := env[name]; ok {
				b.WriteString(value)
			} else {
				b.WriteString(s[i : i+end+1])
				unknown = name
			}
			i += end
		default:
			b.WriteByte('$')
		}
	}
	return b.String(), unknown
}
