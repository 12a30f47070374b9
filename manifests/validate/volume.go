package validate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/spelling"
	"github.com/solopod/solopod/manifests/validate/findings"
)

// checkVolumes checks all volumes and returns them by name.
func checkVolumes(out *findings.Collector, volumes []v1.Volume) map[string]*v1.Volume {
	names := map[string]*v1.Volume{}
	for i := range volumes {
		vol := &volumes[i]
		at := fmt.Sprintf("spec.volumes[%d]", i)
		if vol.Name == "" {
			out.Errorf(at+".name", "a volume needs a name")
		} else {
			out.All(at+".name", vol.Name, validation.IsDNS1123Label(vol.Name))
		}
		if names[vol.Name] != nil {
			out.Errorf(at+".name", "duplicate volume name %q", vol.Name)
		}
		names[vol.Name] = vol
		checkSource(out, at, vol)
	}
	return names
}

func checkSource(out *findings.Collector, at string, vol *v1.Volume) {
	var sources []string
	check := func(name string, set bool, check func(at string)) {
		if set {
			sources = append(sources, name)
			check(at + "." + name)
		}
	}
	check("hostPath", vol.HostPath != nil, func(at string) { checkHostPath(out, at, vol.HostPath) })
	check("emptyDir", vol.EmptyDir != nil, func(at string) { checkEmptyDir(out, at, vol.EmptyDir) })
	check("configMap", vol.ConfigMap != nil, func(at string) {
		checkObjectName(out, at+".name", vol.ConfigMap.Name)
		checkMode(out, at+".defaultMode", vol.ConfigMap.DefaultMode)
		checkItems(out, at, vol.ConfigMap.Items)
		checkIDs(out, at, map[string]*int64{"defaultUser": vol.ConfigMap.DefaultUser})
	})
	check("secret", vol.Secret != nil, func(at string) {
		checkObjectName(out, at+".secretName", vol.Secret.SecretName)
		checkMode(out, at+".defaultMode", vol.Secret.DefaultMode)
		checkItems(out, at, vol.Secret.Items)
		checkIDs(out, at, map[string]*int64{"defaultUser": vol.Secret.DefaultUser})
	})
	check("downwardAPI", vol.DownwardAPI != nil, func(at string) {
		checkMode(out, at+".defaultMode", vol.DownwardAPI.DefaultMode)
		checkDownward(out, at, vol.DownwardAPI.Items)
		checkIDs(out, at, map[string]*int64{"defaultUser": vol.DownwardAPI.DefaultUser})
	})
	check("projected", vol.Projected != nil, func(at string) { checkProjected(out, at, vol.Projected) })
	check("persistentVolumeClaim", vol.PersistentVolumeClaim != nil, func(at string) {
		checkObjectName(out, at+".claimName", vol.PersistentVolumeClaim.ClaimName)
	})
	check("image", vol.Image != nil, func(at string) {
		checkImage(out, at+".reference", vol.Image.Reference)
		findings.OneOf(out, at+".pullPolicy", vol.Image.PullPolicy, v1.PullAlways, v1.PullIfNotPresent, v1.PullNever)
	})
	if len(sources) > 1 {
		out.Errorf(at, "a volume has one source; this one has %s", strings.Join(sources, " and "))
	}
}

// checkObjectName checks the name of a ConfigMap, Secret or claim.
func checkObjectName(out *findings.Collector, at, name string) {
	if name == "" {
		out.Errorf(at, "a name is required")
		return
	}
	out.All(at, name, validation.IsDNS1123Subdomain(name))
}

func checkMode(out *findings.Collector, at string, mode *int32) {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		out.Errorf(at, "%d is not a file mode; write an octal number like 0644", *mode)
	}
}

// checkItems checks the files that keys become.
func checkItems(out *findings.Collector, at string, items []v1.KeyToPath) {
	for i, item := range items {
		at := fmt.Sprintf("%s.items[%d]", at, i)
		if item.Key == "" {
			out.Errorf(at+".key", "a key is required")
		}
		checkFilePath(out, at+".path", item.Path)
		checkMode(out, at+".mode", item.Mode)
		checkIDs(out, at, map[string]*int64{"user": item.User})
	}
}

// checkFilePath is the path of a file in a volume that Solopod fills.
func checkFilePath(out *findings.Collector, at, p string) {
	switch {
	case p == "":
		out.Errorf(at, "a path is required")
	case strings.HasPrefix(p, ".."):
		out.Errorf(at, "%q must not begin with '..'", p)
	default:
		if err := manifests.CheckSubPath(p); err != nil {
			out.Errorf(at, "%q: %v", p, err)
		}
	}
}

func checkDownward(out *findings.Collector, at string, items []v1.DownwardAPIVolumeFile) {
	for i, item := range items {
		at := fmt.Sprintf("%s.items[%d]", at, i)
		checkFilePath(out, at+".path", item.Path)
		checkMode(out, at+".mode", item.Mode)
		checkIDs(out, at, map[string]*int64{"user": item.User})
		switch {
		case (item.FieldRef == nil) == (item.ResourceFieldRef == nil):
			out.Errorf(at, "exactly one of fieldRef and resourceFieldRef is needed")
		case item.FieldRef != nil:
			checkFieldRef(out, at+".fieldRef", item.FieldRef, volumeFields)
		default:
			if item.ResourceFieldRef.ContainerName == "" {
				out.Errorf(at+".resourceFieldRef.containerName", "a volume must say whose resource it shows")
			}
			checkResourceField(out, at+".resourceFieldRef", item.ResourceFieldRef)
		}
	}
}

func checkProjected(out *findings.Collector, at string, p *v1.ProjectedVolumeSource) {
	checkMode(out, at+".defaultMode", p.DefaultMode)
	checkIDs(out, at, map[string]*int64{"defaultUser": p.DefaultUser})
	paths := map[string]bool{}
	once := func(at, p string) {
		if p != "" && paths[p] {
			out.Errorf(at, "%q is the path of another file of the volume", p)
		}
		paths[p] = true
	}
	for i, s := range p.Sources {
		at := fmt.Sprintf("%s.sources[%d]", at, i)
		count := 0
		if s.ConfigMap != nil {
			count++
			checkObjectName(out, at+".configMap.name", s.ConfigMap.Name)
			checkItems(out, at+".configMap", s.ConfigMap.Items)
			for j, item := range s.ConfigMap.Items {
				once(fmt.Sprintf("%s.configMap.items[%d].path", at, j), item.Path)
			}
		}
		if s.Secret != nil {
			count++
			checkObjectName(out, at+".secret.name", s.Secret.Name)
			checkItems(out, at+".secret", s.Secret.Items)
			for j, item := range s.Secret.Items {
				once(fmt.Sprintf("%s.secret.items[%d].path", at, j), item.Path)
			}
		}
		if s.DownwardAPI != nil {
			count++
			checkDownward(out, at+".downwardAPI", s.DownwardAPI.Items)
			for j, item := range s.DownwardAPI.Items {
				once(fmt.Sprintf("%s.downwardAPI.items[%d].path", at, j), item.Path)
			}
		}
		if count > 1 {
			out.Errorf(at, "one of configMap, secret and downwardAPI is needed; there are %d", count)
		}
	}
}

func checkHostPath(out *findings.Collector, at string, h *v1.HostPathVolumeSource) {
	switch {
	case h.Path == "":
		out.Errorf(at+".path", "a path is required")
	case !path.IsAbs(h.Path):
		out.Errorf(at+".path", "%q must be an absolute path", h.Path)
	case slices.Contains(strings.Split(h.Path, "/"), ".."):
		out.Errorf(at+".path", "%q must not contain '..'", h.Path)
	}
	findings.OneOf(out, at+".type", *h.Type, v1.HostPathUnset, v1.HostPathDirectoryOrCreate, v1.HostPathDirectory,
		v1.HostPathFileOrCreate, v1.HostPathFile, v1.HostPathSocket, v1.HostPathCharDev, v1.HostPathBlockDev)
}

func checkEmptyDir(out *findings.Collector, at string, e *v1.EmptyDirVolumeSource) {
	huge := string(e.Medium)
	switch {
	case e.Medium == v1.StorageMediumDefault, e.Medium == v1.StorageMediumMemory, e.Medium == v1.StorageMediumHugePages:
	case strings.HasPrefix(huge, string(v1.StorageMediumHugePagesPrefix)):
		if q, err := resource.ParseQuantity(strings.TrimPrefix(huge, string(v1.StorageMediumHugePagesPrefix))); err != nil || q.Sign() <= 0 {
			out.Errorf(at+".medium", "huge pages are named by their size: HugePages-2Mi")
		}
	default:
		findings.OneOf(out, at+".medium", e.Medium, v1.StorageMediumDefault, v1.StorageMediumMemory, v1.StorageMediumHugePages)
	}
	if e.Mode != nil && (*e.Mode < 0 || *e.Mode > 0o1777) {
		out.Errorf(at+".mode", "%d is not a directory's mode; write an octal number like 0755 or 01777", *e.Mode)
	}
	if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
		out.Errorf(at+".sizeLimit", "must not be negative")
	}
}

func checkMounts(out *findings.Collector, at string, c *v1.Container, volumes map[string]*v1.Volume) {
	paths := map[string]bool{}
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		at := fmt.Sprintf("%s.volumeMounts[%d]", at, i)
		checkMountedVolume(out, at, m.Name, volumes)
		switch {
		case m.MountPath == "":
			out.Errorf(at+".mountPath", "a path is required")
		case strings.Contains(m.MountPath, ":"):
			out.Errorf(at+".mountPath", "%q must not contain ':'", m.MountPath)
		case paths[path.Clean("/"+m.MountPath)]:
			out.Errorf(at+".mountPath", "%q is already used by another mount", m.MountPath)
		}
		paths[path.Clean("/"+m.MountPath)] = true
		checkShownPart(out, at, m)
		checkMountOptions(out, at, m, c)
		if vol := volumes[m.Name]; vol != nil && vol.Image != nil && len(m.BindMountOptions) > 0 {
			out.Errorf(at+".bindMountOptions", "an image is mounted read-only as it is; remove them")
		}
	}
}

func checkMountedVolume(out *findings.Collector, at, name string, volumes map[string]*v1.Volume) {
	if name == "" {
		out.Errorf(at+".name", "a mount needs the name of a volume")
		return
	}
	if out.Full() || volumes[name] != nil {
		return
	}
	names := make([]string, 0, len(volumes))
	for n := range volumes {
		names = append(names, n)
	}
	hint := "; add it to spec.volumes"
	if near := spelling.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	out.Errorf(at+".name", "there is no volume %q%s", name, hint)
}

// checkShownPart checks which part of its volume a mount shows.
func checkShownPart(out *findings.Collector, at string, m *v1.VolumeMount) {
	if m.SubPath != "" && m.SubPathExpr != "" {
		out.Errorf(at+".subPathExpr", "subPath and subPathExpr exclude each other")
	}
	for field, sub := range map[string]string{"subPath": m.SubPath, "subPathExpr": m.SubPathExpr} {
		if err := manifests.CheckSubPath(sub); sub != "" && err != nil {
			out.Errorf(at+"."+field, "%q: %v", sub, err)
		}
	}
}

func checkMountOptions(out *findings.Collector, at string, m *v1.VolumeMount, c *v1.Container) {
	if p := m.MountPropagation; p != nil {
		findings.OneOf(out, at+".mountPropagation", *p, v1.MountPropagationNone, v1.MountPropagationHostToContainer, v1.MountPropagationBidirectional)
		if *p == v1.MountPropagationBidirectional && (c.SecurityContext == nil || c.SecurityContext.Privileged == nil || !*c.SecurityContext.Privileged) {
			out.Errorf(at+".mountPropagation", "Bidirectional lets the container mount on the host; it is for privileged containers")
		}
	}
	if r := m.RecursiveReadOnly; r != nil {
		findings.OneOf(out, at+".recursiveReadOnly", *r, v1.RecursiveReadOnlyDisabled, v1.RecursiveReadOnlyIfPossible, v1.RecursiveReadOnlyEnabled)
		if *r != v1.RecursiveReadOnlyDisabled {
			if !m.ReadOnly {
				out.Errorf(at+".recursiveReadOnly", "it goes with readOnly: true")
			}
			if p := m.MountPropagation; p != nil && *p != v1.MountPropagationNone {
				out.Errorf(at+".recursiveReadOnly", "it excludes mountPropagation")
			}
		}
	}
	for i, o := range m.BindMountOptions {
		at := fmt.Sprintf("%s.bindMountOptions[%d]", at, i)
		findings.OneOf(out, at, o, "noexec", "nodev", "nosuid")
		if slices.Contains(m.BindMountOptions[:i], o) {
			out.Errorf(at, "%q stands there twice", o)
		}
	}
}
