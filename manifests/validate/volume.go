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
)

// volumes checks all volumes and returns them by name.
func (v *validator) volumes(volumes []v1.Volume) map[string]*v1.Volume {
	names := map[string]*v1.Volume{}
	for i := range volumes {
		vol := &volumes[i]
		at := fmt.Sprintf("spec.volumes[%d]", i)
		if vol.Name == "" {
			v.errorf(at+".name", "a volume needs a name")
		} else {
			v.all(at+".name", vol.Name, validation.IsDNS1123Label(vol.Name))
		}
		if names[vol.Name] != nil {
			v.errorf(at+".name", "duplicate volume name %q", vol.Name)
		}
		names[vol.Name] = vol
		v.source(at, vol)
	}
	return names
}

func (v *validator) source(at string, vol *v1.Volume) {
	var sources []string
	check := func(name string, set bool, check func(at string)) {
		if set {
			sources = append(sources, name)
			check(at + "." + name)
		}
	}
	check("hostPath", vol.HostPath != nil, func(at string) { v.hostPath(at, vol.HostPath) })
	check("emptyDir", vol.EmptyDir != nil, func(at string) { v.emptyDir(at, vol.EmptyDir) })
	check("configMap", vol.ConfigMap != nil, func(at string) {
		v.object(at+".name", vol.ConfigMap.Name)
		v.mode(at+".defaultMode", vol.ConfigMap.DefaultMode)
		v.items(at, vol.ConfigMap.Items)
		v.identity(at, map[string]*int64{"defaultUser": vol.ConfigMap.DefaultUser})
	})
	check("secret", vol.Secret != nil, func(at string) {
		v.object(at+".secretName", vol.Secret.SecretName)
		v.mode(at+".defaultMode", vol.Secret.DefaultMode)
		v.items(at, vol.Secret.Items)
		v.identity(at, map[string]*int64{"defaultUser": vol.Secret.DefaultUser})
	})
	check("downwardAPI", vol.DownwardAPI != nil, func(at string) {
		v.mode(at+".defaultMode", vol.DownwardAPI.DefaultMode)
		v.downward(at, vol.DownwardAPI.Items)
		v.identity(at, map[string]*int64{"defaultUser": vol.DownwardAPI.DefaultUser})
	})
	check("projected", vol.Projected != nil, func(at string) { v.projected(at, vol.Projected) })
	check("persistentVolumeClaim", vol.PersistentVolumeClaim != nil, func(at string) {
		v.object(at+".claimName", vol.PersistentVolumeClaim.ClaimName)
	})
	check("image", vol.Image != nil, func(at string) {
		if vol.Image.Reference == "" {
			v.errorf(at+".reference", "an image is required")
		}
		oneOf(v, at+".pullPolicy", vol.Image.PullPolicy, v1.PullAlways, v1.PullIfNotPresent, v1.PullNever)
	})
	if len(sources) > 1 {
		v.errorf(at, "a volume has one source; this one has %s", strings.Join(sources, " and "))
	}
}

// object checks the name of a ConfigMap, Secret or claim.
func (v *validator) object(at, name string) {
	if name == "" {
		v.errorf(at, "a name is required")
		return
	}
	v.all(at, name, validation.IsDNS1123Subdomain(name))
}

func (v *validator) mode(at string, mode *int32) {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		v.errorf(at, "%d is not a file mode; write an octal number like 0644", *mode)
	}
}

// items checks the files that keys become.
func (v *validator) items(at string, items []v1.KeyToPath) {
	for i, item := range items {
		at := fmt.Sprintf("%s.items[%d]", at, i)
		if item.Key == "" {
			v.errorf(at+".key", "a key is required")
		}
		v.filePath(at+".path", item.Path)
		v.mode(at+".mode", item.Mode)
		v.identity(at, map[string]*int64{"user": item.User})
	}
}

// filePath is the path of a file in a volume that Solopod fills.
func (v *validator) filePath(at, p string) {
	switch {
	case p == "":
		v.errorf(at, "a path is required")
	case strings.HasPrefix(p, ".."):
		v.errorf(at, "%q must not begin with '..'", p)
	default:
		if err := manifests.CheckSubPath(p); err != nil {
			v.errorf(at, "%q: %v", p, err)
		}
	}
}

func (v *validator) downward(at string, items []v1.DownwardAPIVolumeFile) {
	for i, item := range items {
		at := fmt.Sprintf("%s.items[%d]", at, i)
		v.filePath(at+".path", item.Path)
		v.mode(at+".mode", item.Mode)
		v.identity(at, map[string]*int64{"user": item.User})
		switch {
		case (item.FieldRef == nil) == (item.ResourceFieldRef == nil):
			v.errorf(at, "exactly one of fieldRef and resourceFieldRef is needed")
		case item.FieldRef != nil:
			v.fieldPath(at+".fieldRef.fieldPath", item.FieldRef.FieldPath, volumeFields)
		default:
			if item.ResourceFieldRef.ContainerName == "" {
				v.errorf(at+".resourceFieldRef.containerName", "a volume must say whose resource it shows")
			}
			v.resourceField(at+".resourceFieldRef", item.ResourceFieldRef)
		}
	}
}

func (v *validator) projected(at string, p *v1.ProjectedVolumeSource) {
	v.mode(at+".defaultMode", p.DefaultMode)
	v.identity(at, map[string]*int64{"defaultUser": p.DefaultUser})
	for i, s := range p.Sources {
		at := fmt.Sprintf("%s.sources[%d]", at, i)
		count := 0
		if s.ConfigMap != nil {
			count++
			v.object(at+".configMap.name", s.ConfigMap.Name)
			v.items(at+".configMap", s.ConfigMap.Items)
		}
		if s.Secret != nil {
			count++
			v.object(at+".secret.name", s.Secret.Name)
			v.items(at+".secret", s.Secret.Items)
		}
		if s.DownwardAPI != nil {
			count++
			v.downward(at+".downwardAPI", s.DownwardAPI.Items)
		}
		if count != 1 {
			v.errorf(at, "exactly one of configMap, secret and downwardAPI is needed")
		}
	}
}

func (v *validator) hostPath(at string, h *v1.HostPathVolumeSource) {
	switch {
	case h.Path == "":
		v.errorf(at+".path", "a path is required")
	case !path.IsAbs(h.Path):
		v.errorf(at+".path", "%q must be an absolute path", h.Path)
	case slices.Contains(strings.Split(h.Path, "/"), ".."):
		v.errorf(at+".path", "%q must not contain '..'", h.Path)
	}
	oneOf(v, at+".type", *h.Type, v1.HostPathUnset, v1.HostPathDirectoryOrCreate, v1.HostPathDirectory,
		v1.HostPathFileOrCreate, v1.HostPathFile, v1.HostPathSocket, v1.HostPathCharDev, v1.HostPathBlockDev)
}

func (v *validator) emptyDir(at string, e *v1.EmptyDirVolumeSource) {
	huge := string(e.Medium)
	switch {
	case e.Medium == v1.StorageMediumDefault, e.Medium == v1.StorageMediumMemory, e.Medium == v1.StorageMediumHugePages:
	case strings.HasPrefix(huge, string(v1.StorageMediumHugePagesPrefix)):
		if q, err := resource.ParseQuantity(strings.TrimPrefix(huge, string(v1.StorageMediumHugePagesPrefix))); err != nil || q.Sign() <= 0 {
			v.errorf(at+".medium", "huge pages are named by their size: HugePages-2Mi")
		}
	default:
		oneOf(v, at+".medium", e.Medium, v1.StorageMediumDefault, v1.StorageMediumMemory, v1.StorageMediumHugePages)
	}
	if e.Mode != nil && (*e.Mode < 0 || *e.Mode > 0o1777) {
		v.errorf(at+".mode", "%d is not a directory's mode; write an octal number like 0755 or 01777", *e.Mode)
	}
	if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
		v.errorf(at+".sizeLimit", "must not be negative")
	}
}

func (v *validator) mounts(at string, c *v1.Container, volumes map[string]*v1.Volume) {
	paths := map[string]bool{}
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		at := fmt.Sprintf("%s.volumeMounts[%d]", at, i)
		v.mountedVolume(at, m.Name, volumes)
		switch {
		case m.MountPath == "":
			v.errorf(at+".mountPath", "a path is required")
		case strings.Contains(m.MountPath, ":"):
			v.errorf(at+".mountPath", "%q must not contain ':'", m.MountPath)
		case paths[path.Clean("/"+m.MountPath)]:
			v.errorf(at+".mountPath", "%q is already used by another mount", m.MountPath)
		}
		paths[path.Clean("/"+m.MountPath)] = true
		v.part(at, m)
		v.mountOptions(at, m, c)
	}
}

func (v *validator) mountedVolume(at, name string, volumes map[string]*v1.Volume) {
	if name == "" {
		v.errorf(at+".name", "a mount needs the name of a volume")
		return
	}
	if v.full() || volumes[name] != nil {
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
	v.errorf(at+".name", "there is no volume %q%s", name, hint)
}

// part checks which part of its volume a mount shows.
func (v *validator) part(at string, m *v1.VolumeMount) {
	if m.SubPath != "" && m.SubPathExpr != "" {
		v.errorf(at+".subPathExpr", "subPath and subPathExpr exclude each other")
	}
	for field, sub := range map[string]string{"subPath": m.SubPath, "subPathExpr": m.SubPathExpr} {
		if err := manifests.CheckSubPath(sub); sub != "" && err != nil {
			v.errorf(at+"."+field, "%q: %v", sub, err)
		}
	}
}

func (v *validator) mountOptions(at string, m *v1.VolumeMount, c *v1.Container) {
	if p := m.MountPropagation; p != nil {
		oneOf(v, at+".mountPropagation", *p, v1.MountPropagationNone, v1.MountPropagationHostToContainer, v1.MountPropagationBidirectional)
		if *p == v1.MountPropagationBidirectional && (c.SecurityContext == nil || c.SecurityContext.Privileged == nil || !*c.SecurityContext.Privileged) {
			v.errorf(at+".mountPropagation", "Bidirectional lets the container mount on the host; it is for privileged containers")
		}
	}
	if r := m.RecursiveReadOnly; r != nil {
		oneOf(v, at+".recursiveReadOnly", *r, v1.RecursiveReadOnlyDisabled, v1.RecursiveReadOnlyIfPossible, v1.RecursiveReadOnlyEnabled)
		if *r != v1.RecursiveReadOnlyDisabled {
			if !m.ReadOnly {
				v.errorf(at+".recursiveReadOnly", "it goes with readOnly: true")
			}
			if p := m.MountPropagation; p != nil && *p != v1.MountPropagationNone {
				v.errorf(at+".recursiveReadOnly", "it excludes mountPropagation")
			}
		}
	}
	for i, o := range m.BindMountOptions {
		oneOf(v, fmt.Sprintf("%s.bindMountOptions[%d]", at, i), o, "noexec", "nodev", "nosuid")
	}
}
