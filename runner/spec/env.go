package spec

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// expandEnv computes the manifest's variables as name=value; $(VAR) reaches those that stand before, not the image's.
func expandEnv(env []v1.EnvVar) []string {
	known := map[string]string{}
	out := make([]string, len(env))
	for i, e := range env {
		known[e.Name] = Expand(e.Value, known)
		out[i] = e.Name + "=" + known[e.Name]
	}
	return out
}

// Environment joins what every container gets, the image's variables and the manifest's; the later ones win.
func Environment(image, own []string, hostname string, terminal bool) []string {
	list := []string{defaultPath, "HOSTNAME=" + hostname}
	if terminal {
		list = append(list, "TERM=xterm")
	}
	var out []string
	index := map[string]int{}
	for _, entry := range slices.Concat(list, image, own) {
		name, _, _ := strings.Cut(entry, "=")
		if i, ok := index[name]; ok {
			out[i] = entry
			continue
		}
		index[name] = len(out)
		out = append(out, entry)
	}
	return out
}

func envMap(env []string) map[string]string {
	out := make(map[string]string, len(env))
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		out[name] = value
	}
	return out
}

// Expand replaces $(NAME) by its value; $$ stands for a single $, and an unknown reference stays as it is
// (Kubernetes, "Define Dependent Environment Variables").
func Expand(s string, env map[string]string) string {
	if !strings.Contains(s, "$") {
		return s
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
			}
			i += end
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}
