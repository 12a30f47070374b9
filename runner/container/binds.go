package container

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/spec"
	"github.com/solopod/solopod/runner/volume"
)

// bindVolumes says what a container's volume mounts show, in order. Some need a mount of their own, which it makes: of
// parts of volumes, of paths of the host that must lie within bounds, and, with users of its own, of everything. releaseBinds takes them away.
func (c *Containers) bindVolumes(w plan.Create, ns namespace.Namespaces, env []string) ([]spec.Bind, error) {
	out := make([]spec.Bind, len(w.Spec.VolumeMounts))
	paths := c.Volumes.Find(w.Pod)
	for i, m := range w.Spec.VolumeMounts {
		sub, err := subPath(&m, env)
		if err != nil {
			return nil, err
		}
		b := volume.Bind{
			Name: strconv.Itoa(i), Source: paths[m.Name], SubPath: sub, Users: ns.User, Bounds: c.Volumes.BoundsOf(w.Pod, m.Name),
			Shared: m.MountPropagation != nil && *m.MountPropagation == v1.MountPropagationBidirectional,
		}
		if showsImage(w.Pod, m.Name) {
			b.Users = "" // an image was mounted with the pod's users
		}
		bound := spec.Bind{Source: b.Source, ReadOnlyBelow: b.Bounds.ReadOnly}
		if b.SubPath != "" || b.Users != "" || b.Bounds.Any() {
			bound.Source, err = c.Volumes.Bind(string(w.Pod.UID), w.Name, b)
		}
		if err == nil && ns.User != "" {
			bound.Options, err = volume.LockedOptions(bound.Source)
		}
		if err != nil {
			return nil, fmt.Errorf("volume %q: %w", m.Name, err)
		}
		out[i] = bound
	}
	return out, nil
}

func showsImage(pod *v1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v v1.Volume) bool { return v.Name == name && v.Image != nil })
}

// subPath is the part of the volume that m shows; empty means all.
func subPath(m *v1.VolumeMount, env []string) (string, error) {
	if m.SubPathExpr == "" {
		return m.SubPath, nil
	}
	sub, err := reference.ExpandAll(m.SubPathExpr, spec.EnvMap(env))
	if err == nil {
		err = manifests.CheckSubPath(sub)
	}
	if err != nil {
		return "", fmt.Errorf("subPathExpr of volume %q: %w", m.Name, err)
	}
	return sub, nil
}

// bindFiles says how files, a map of paths inside to paths of the host, are bound: where the pod has users of its own they belong to these.
func (c *Containers) bindFiles(w plan.Create, ns namespace.Namespaces, files map[string]string) (map[string]spec.Bind, error) {
	out := map[string]spec.Bind{}
	for i, inside := range slices.Sorted(maps.Keys(files)) {
		bound := spec.Bind{Source: files[inside]}
		if ns.User != "" {
			var err error
			b := volume.Bind{Name: fmt.Sprintf("file-%d", i), Source: bound.Source, Users: ns.User}
			if bound.Source, err = c.Volumes.Bind(string(w.Pod.UID), w.Name, b); err == nil {
				bound.Options, err = volume.LockedOptions(bound.Source)
			}
			if err != nil {
				return nil, err
			}
		}
		out[inside] = bound
	}
	return out, nil
}
