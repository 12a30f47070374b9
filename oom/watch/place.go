package watch

import (
	"path"
	"strings"

	"github.com/solopod/solopod/oom/record"
)

// place says whose a cgroup is.
type place struct {
	// level is record.Container, record.Pod or record.Pods; record.Ancestor is for all others.
	level record.Owner
	// uid is the pod's, id the container's, where the level has them.
	uid, id string
	// inner: it is one that a container has made for itself.
	inner bool
}

// placesOf are what a cgroup's path can mean below our root, the likeliest first. There are several where the kernel's paths are longer
// than ours, as Solopod runs in a container itself, or another Solopod does in one of ours.
func placesOf(root, cgroup string) (out []place) {
	cgroup, root = path.Clean("/"+cgroup), strings.TrimSuffix(root, "/")
	if root == "" {
		return []place{placeBelow(strings.Trim(cgroup, "/"))}
	}
	for from := 0; ; {
		i := strings.Index(cgroup[from:]+"/", root+"/")
		if i < 0 {
			return out
		}
		from += i + len(root)
		out = append(out, placeBelow(strings.Trim(cgroup[from:], "/")))
	}
}

// placeBelow reads a path below our root, as runner/cgroup lays them out: CLASS/POD/CONTAINER, and what containers make for themselves.
func placeBelow(below string) place {
	parts := strings.SplitN(below, "/", 4)
	if parts[0] == "shims" || strings.HasSuffix(parts[0], "-shims.scope") {
		return place{level: record.Ancestor} // they are Solopod's own
	}
	if len(parts) == 1 {
		return place{level: record.Pods}
	}
	uid, ok := podOf(parts[1])
	switch {
	case !ok:
		return place{level: record.Ancestor}
	case len(parts) == 2:
		return place{level: record.Pod, uid: uid}
	}
	id := parts[2]
	if scope, ok := strings.CutSuffix(id, ".scope"); ok {
		_, id, _ = strings.Cut(scope, "-")
	}
	return place{level: record.Container, uid: uid, id: id, inner: len(parts) > 3}
}

// podOf is the UID of the pod whose cgroup has that name: podUID, or the name of a slice that ends so, with _ for each dash.
func podOf(name string) (uid string, ok bool) {
	if slice, ok := strings.CutSuffix(name, ".slice"); ok {
		i := strings.LastIndex(slice, "-pod")
		if i < 0 {
			return "", false
		}
		return strings.ReplaceAll(slice[i+len("-pod"):], "_", "-"), true
	}
	return strings.CutPrefix(name, "pod")
}
