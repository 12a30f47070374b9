package spec

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/reference"
)

func withVolumes(s *specs.Spec, in *Input) error {
	for i, m := range in.Container.VolumeMounts {
		if i >= len(in.Binds) || in.Binds[i].Source == "" {
			return fmt.Errorf("volume %q was not set up", m.Name)
		}
		destination := m.MountPath
		if !path.IsAbs(destination) {
			destination = "/" + destination
		}
		mount := bind(in.Binds[i].Source, destination, access(in.Pod, m, in.Binds[i].ReadOnlyBelow))
		mount.Options[1] = propagation(s, m)
		mount.Options = slices.Concat(mount.Options, in.Binds[i].Options, m.BindMountOptions)
		s.Mounts = append(s.Mounts, mount)
	}
	return nil
}

// access: what Solopod fills, and images, cannot be written to, as with the kubelet.
func access(pod *v1.Pod, m v1.VolumeMount, below bool) string {
	readOnly := m.ReadOnly || slices.ContainsFunc(pod.Spec.Volumes, func(v v1.Volume) bool {
		return v.Name == m.Name && (reference.Fills(&v) || v.Image != nil || v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ReadOnly)
	})
	switch {
	case !readOnly:
		return "rw"
	case below, m.RecursiveReadOnly != nil && *m.RecursiveReadOnly != v1.RecursiveReadOnlyDisabled:
		return "rro" // what is mounted below as well
	}
	return "ro"
}

// propagation returns the mount's option, and gives the container's root the propagation that this needs.
func propagation(s *specs.Spec, m v1.VolumeMount) string {
	if m.MountPropagation == nil {
		return "rprivate"
	}
	switch *m.MountPropagation {
	case v1.MountPropagationBidirectional:
		s.Linux.RootfsPropagation = "rshared"
		return "rshared"
	case v1.MountPropagationHostToContainer:
		if s.Linux.RootfsPropagation == "" {
			s.Linux.RootfsPropagation = "rslave"
		}
		return "rslave"
	}
	return "rprivate"
}

// withFiles binds the pod's generated files, except where the manifest mounts something of its own, as the kubelet. With a read-only
// root they are so too, but for the termination message.
func withFiles(s *specs.Spec, in *Input) error {
	for destination, b := range in.Files {
		if slices.ContainsFunc(in.Container.VolumeMounts, func(m v1.VolumeMount) bool {
			return path.Clean("/"+m.MountPath) == destination
		}) {
			continue
		}
		mode := "rw"
		if readOnlyRoot(in.Container) && destination != path.Clean("/"+in.Container.TerminationMessagePath) {
			mode = "ro"
		}
		mount := bind(b.Source, destination, mode)
		mount.Options = slices.Concat(mount.Options, b.Options)
		s.Mounts = append(s.Mounts, mount)
	}
	return nil
}

func readOnlyRoot(c *v1.Container) bool {
	return c.SecurityContext != nil && c.SecurityContext.ReadOnlyRootFilesystem != nil && *c.SecurityContext.ReadOnlyRootFilesystem
}

// withImageVolumes binds a directory for each volume that the image declares.
func withImageVolumes(s *specs.Spec, in *Input) error {
	for destination, b := range in.ImageVolumes {
		mount := bind(b.Source, destination, "rw")
		mount.Options = slices.Concat(mount.Options, b.Options)
		s.Mounts = append(s.Mounts, mount)
	}
	return nil
}

func bind(source, destination, access string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "bind", Source: source, Options: []string{"rbind", "rprivate", access}}
}

// withMountOrder mounts parents before what lies in them.
func withMountOrder(s *specs.Spec, _ *Input) error {
	depth := func(p string) int { return strings.Count(path.Clean(p), "/") }
	sort.SliceStable(s.Mounts, func(i, j int) bool {
		a, b := s.Mounts[i].Destination, s.Mounts[j].Destination
		if depth(a) != depth(b) {
			return depth(a) < depth(b)
		}
		return path.Clean(a) < path.Clean(b)
	})
	return nil
}
