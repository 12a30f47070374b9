package cgroup

import (
	"path"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Driver says who makes the cgroups of pods.
type Driver string

const (
	// Cgroupfs makes directories: <root>/<qos>/pod<uid>/<container>.
	Cgroupfs Driver = "cgroupfs"
	// Systemd asks systemd for slices and scopes, which is what it wants on a machine with cgroup v2 that it runs: it
	// has to be the only one who writes there (cgroup delegation, systemd.io/CGROUP_DELEGATION).
	Systemd Driver = "systemd"
)

// Layout says which cgroup is whose. It is pure.
type Layout struct {
	driver Driver
	// root is a path like /solopod, or with systemd the name of a slice without its suffix.
	root string
}

// NewLayout lays cgroups out below root, a path like /solopod. With systemd its parts become parts of a slice's name, where
// a dash separates levels: /solopod-1/a is solopod_1-a.slice, as by the kubelet.
func NewLayout(root string, driver Driver) Layout {
	if driver != Systemd {
		return Layout{driver, path.Join("/", root)}
	}
	parts := strings.Split(strings.Trim(path.Clean("/"+root), "/"), "/")
	for i, part := range parts {
		parts[i] = escape(part)
	}
	return Layout{driver, strings.Join(parts, "-")}
}

func escape(part string) string { return strings.ReplaceAll(part, "-", "_") }

// Root is the cgroup of everything.
func (l Layout) Root() string {
	if l.driver == Systemd {
		return slicePath(l.root)
	}
	return l.root
}

// Class is the cgroup of a QoS class.
func (l Layout) Class(qos v1.PodQOSClass) string {
	class := strings.ToLower(string(qos))
	if l.driver == Systemd {
		return slicePath(l.root + "-" + class)
	}
	return path.Join(l.root, class)
}

// Pod is a pod's cgroup.
func (l Layout) Pod(qos v1.PodQOSClass, uid string) string {
	if l.driver == Systemd {
		return slicePath(l.root + "-" + strings.ToLower(string(qos)) + "-pod" + escape(uid))
	}
	return path.Join(l.Class(qos), "pod"+uid)
}

// scopePrefix begins the names of containers' scopes.
const scopePrefix = "solopod"

// Container is the cgroup that the runtime makes for a container of the pod whose cgroup is given.
func (l Layout) Container(pod, id string) string {
	if l.driver == Systemd {
		return path.Join(pod, scopePrefix+"-"+id+".scope")
	}
	return path.Join(pod, id)
}

// OCI is how a runtime spec names that cgroup: with systemd slice:prefix:name (runc, docs/systemd.md).
func (l Layout) OCI(pod, id string) string {
	if l.driver == Systemd {
		return path.Base(pod) + ":" + scopePrefix + ":" + id
	}
	return l.Container(pod, id)
}

// shims is the cgroup of the shims, one below it for each pod. It makes them visible apart from the daemon, and lets the
// pod's removal find a shim that lost its way: containerd forgets a shim whose start is interrupted by a kill. With
// systemd it is a scope that is delegated, so that what is below it is ours.
func (l Layout) shims() string {
	if l.driver == Systemd {
		return path.Join(l.Root(), l.root+"-shims.scope")
	}
	return path.Join(l.root, "shims")
}

// Shim is the cgroup of a pod's shim. It exists while the pod's does.
func (l Layout) Shim(uid string) string { return path.Join(l.shims(), "pod"+uid) }

// podPattern matches the cgroups of all pods; uidOf finds the pod in such a path.
func (l Layout) podPattern() string {
	if l.driver == Systemd {
		return path.Join(l.Root(), l.root+"-*.slice", l.root+"-*-pod*.slice")
	}
	return path.Join(l.root, "*", "pod*")
}

func (l Layout) uidOf(dir string) string {
	name := path.Base(dir)
	if l.driver == Systemd {
		parts := strings.Split(strings.TrimSuffix(name, ".slice"), "-pod") // the root may have it in its name, too
		return strings.ReplaceAll(parts[len(parts)-1], "_", "-")           // a UID has no underscores
	}
	return strings.TrimPrefix(name, "pod")
}

// slicePath is where systemd puts a slice: a-b.slice lies in a.slice (systemd.slice(5)).
func slicePath(name string) string {
	parts := strings.Split(name, "-")
	out := "/"
	for i := range parts {
		out = path.Join(out, strings.Join(parts[:i+1], "-")+".slice")
	}
	return out
}
