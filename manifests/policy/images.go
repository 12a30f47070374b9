package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// readImages brings the names of registries and images into the form that they are compared in: in lower case, for so are all names but
// the host's, where it means nothing.
func readImages(r Rules) (Rules, error) {
	r.Registries = slices.Clone(r.Registries)
	for i, name := range r.Registries {
		if host := strings.TrimPrefix(name, "*."); host == "" || strings.ContainsAny(host, "/* ") {
			return r, fmt.Errorf("registries[%d] is a host like registry.example.com, or *.example.com, not %q", i, name)
		}
		r.Registries[i] = strings.ToLower(name)
	}
	r.Images = slices.Clone(r.Images)
	for i, name := range r.Images {
		if _, err := path.Match(name, ""); err != nil || name == "" || strings.ContainsAny(name, "@ ") || strings.Contains(name[strings.LastIndex(name, "/")+1:], ":") {
			return r, fmt.Errorf("images[%d] is the name of an image without tag and digest, like registry.example.com/team/*, not %q", i, name)
		}
		r.Images[i] = strings.ToLower(fullName(name))
	}
	return r, nil
}

// fullName is a pattern with the registry, and for Docker's own the library, that a name without them stands for.
func fullName(pattern string) string {
	first, _, more := strings.Cut(pattern, "/")
	switch {
	case !more && first != "**":
		return "docker.io/library/" + pattern
	case !more || strings.ContainsAny(first, ".:*") || first == "localhost":
		return pattern
	}
	return "docker.io/" + pattern
}

func (r *Rules) judgeImage(f *finding, at, image string) {
	if r.Registries == nil && r.Images == nil {
		return
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		rule := "images"
		if r.Images == nil {
			rule = "registries"
		}
		f.forbid(rule, at, "%q is no image's name: %v", image, err)
		return
	}
	if registry := strings.ToLower(reference.Domain(named)); r.Registries != nil && !slices.ContainsFunc(r.Registries, func(a string) bool { return allowsHost(a, registry) }) {
		f.forbid("registries", at, "images may not come from %s", registry)
	}
	if r.Images != nil && !slices.ContainsFunc(r.Images, func(a string) bool {
		return allowsImage(strings.Split(a, "/"), strings.Split(strings.ToLower(named.Name()), "/"))
	}) {
		f.forbid("images", at, "%s is none of the images that may run", named.Name())
	}
}

func allowsHost(pattern, host string) bool {
	below, wild := strings.CutPrefix(pattern, "*")
	return pattern == host || wild && strings.HasSuffix(host, below)
}

// allowsImage compares a name part by part; ** stands for any number of parts.
func allowsImage(pattern, name []string) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	if pattern[0] == "**" {
		return allowsImage(pattern[1:], name) || len(name) > 0 && allowsImage(pattern, name[1:])
	}
	if len(name) == 0 {
		return false
	}
	ok, err := path.Match(pattern[0], name[0])
	return err == nil && ok && allowsImage(pattern[1:], name[1:])
}
