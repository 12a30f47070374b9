package spec

import (
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	v1 "k8s.io/api/core/v1"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

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

// Shown is what of a container's environment and arguments has no value of the manifest's variables: what the image and Solopod set, and
// the command with its $(VAR).
func Shown(image ocispec.ImageConfig, c *v1.Container, hostname string) (env, args []string, err error) {
	args, err = command(image, c, nil)
	return Environment(image.Env, nil, hostname, c.TTY), args, err
}

// EnvMap turns name=value into a map.
func EnvMap(env []string) map[string]string {
	out := make(map[string]string, len(env))
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		out[name] = value
	}
	return out
}
