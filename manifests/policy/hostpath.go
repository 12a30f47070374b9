package policy

import (
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// place is what the rules say of a path of the host, by its name alone.
type place struct {
	// device: it is meant as one, by its type or because it lies in /dev.
	device, allowedDevice bool
	// rule is the longest prefix that matches; nil when none does.
	rule *HostPath
	// readOnly is the rule by which it may only be read: that one, or one of a path below it, which whoever writes to this one, or mounts a
	// part of it (subPath), could write to as well; nil when there is none.
	readOnly *HostPath
}

func (r *Rules) place(h *v1.HostPathVolumeSource) place {
	name := path.Clean("/" + h.Path)
	typed := h.Type != nil && (*h.Type == v1.HostPathCharDev || *h.Type == v1.HostPathBlockDev)
	p := place{device: typed || within(name, "/dev"), allowedDevice: slices.ContainsFunc(r.Devices, func(d string) bool { return within(name, d) })}
	for i := range r.HostPaths {
		if h := &r.HostPaths[i]; within(name, h.PathPrefix) && (p.rule == nil || len(h.PathPrefix) > len(p.rule.PathPrefix)) {
			p.rule = h
		}
	}
	if p.rule != nil && p.rule.ReadOnly {
		p.readOnly = p.rule
		return p
	}
	if i := slices.IndexFunc(r.HostPaths, func(h HostPath) bool { return h.ReadOnly && within(h.PathPrefix, name) }); p.rule != nil && i >= 0 {
		p.readOnly = &r.HostPaths[i]
	}
	return p
}

// within says whether a clean path is, or lies below, another one.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// Bounds say how a path of the host that a pod of the namespace may mount is found.
type Bounds struct {
	// Roots are the prefixes that allow it, each below the one before. The first is the operator's, and found whatever links it is
	// made of; from there on no link leads out of what was found. None means that links lead anywhere.
	Roots []string
	// NoDevice: it must be no device, which nothing in its name says.
	NoDevice bool
	// ReadOnly: nothing is made there, and what is mounted below is read-only with it.
	ReadOnly bool
}

// Any says whether it must be found in another way than by its name.
func (b Bounds) Any() bool { return len(b.Roots) > 0 || b.NoDevice }

// HostPath is how a pod's path of the host is found. It says nothing of paths that the rules do not allow: only pods that were let in
// before have these.
func (p *Policy) HostPath(namespace string, h *v1.HostPathVolumeSource) Bounds {
	r := p.rules.of(namespace)
	found := r.place(h)
	name := path.Clean("/" + h.Path)
	b := Bounds{NoDevice: r.Devices != nil && !found.allowedDevice && name != "/"}
	if found.rule == nil || found.allowedDevice {
		return b
	}
	if b.ReadOnly = found.readOnly != nil; found.rule.PathPrefix == "/" {
		return b
	}
	for _, h := range r.HostPaths {
		if within(name, h.PathPrefix) && h.PathPrefix != "/" && !slices.Contains(b.Roots, h.PathPrefix) {
			b.Roots = append(b.Roots, h.PathPrefix)
		}
	}
	slices.SortFunc(b.Roots, func(a, b string) int { return len(a) - len(b) })
	return b
}
