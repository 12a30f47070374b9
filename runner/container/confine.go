package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/allocate"
	"github.com/solopod/solopod/runner/apparmor"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/spec"
	"github.com/solopod/solopod/runner/volume"
)

// confinement is what the kernel's security modules are told of a container.
type confinement struct {
	seccomp                 *specs.LinuxSeccomp
	appArmor                string
	processLabel, fileLabel string
}

func (c *Containers) confine(ctx context.Context, w plan.Create) (confinement, error) {
	var out confinement
	var err error
	if out.seccomp, err = c.seccompProfile(w.Pod, w.Spec); err != nil {
		return out, err
	}
	if out.appArmor, err = appArmorProfile(ctx, c.AppArmor, w.Pod, w.Spec); err != nil {
		return out, err
	}
	out.processLabel, out.fileLabel, err = seLinuxLabels(w)
	return out, err
}

// mostOfProfile bounds what is read of a seccomp profile.
const mostOfProfile = 4 << 20

// seccompProfile reads the profile of this machine that the container names: <root>/seccomp/<localhostProfile>.
func (c *Containers) seccompProfile(pod *v1.Pod, container *v1.Container) (*specs.LinuxSeccomp, error) {
	p := spec.SeccompProfile(pod, container)
	if p == nil || p.Type != v1.SeccompProfileTypeLocalhost {
		return nil, nil
	}
	path := filepath.Join(c.Dirs.Root, "seccomp", *p.LocalhostProfile)
	data, err := foreign.ReadFollowing(path, mostOfProfile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the seccomp profile: %w", err)
	}
	out := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(data, out); err != nil || out.DefaultAction == "" {
		return nil, errors.Join(fmt.Errorf("%s is not a seccomp profile in the form of the OCI runtime spec", path), err)
	}
	return out, nil
}

// appArmorProfile is the name of the profile that confines the container; it is loaded. As with the kubelet and containerd's CRI a
// container that names none gets the default one where the machine has it to give, a privileged one only what its manifest names,
// and a container is not started without a profile that it names.
func appArmorProfile(ctx context.Context, machine *apparmor.AppArmor, pod *v1.Pod, container *v1.Container) (string, error) {
	p := spec.AppArmorProfile(pod, container)
	switch {
	case p != nil && p.Type == v1.AppArmorProfileTypeUnconfined:
		return "", nil
	case p != nil && p.Type == v1.AppArmorProfileTypeLocalhost:
		loaded, err := machine.Loaded(*p.LocalhostProfile)
		if err == nil && !loaded {
			err = fmt.Errorf("the AppArmor profile %q is not loaded; load it with apparmor_parser", *p.LocalhostProfile)
		}
		if err != nil {
			return "", fmt.Errorf("cannot confine the container: %w", err)
		}
		return *p.LocalhostProfile, nil
	case spec.Privileged(container):
		return "", nil
	}
	if err := machine.Lacks(); err != nil {
		if p != nil {
			return "", fmt.Errorf("cannot confine the container: %w", err)
		}
		machine.DoWithout(err)
		return "", nil
	}
	return apparmor.Default, machine.LoadDefault(ctx)
}

// seLinuxLabels are the labels of the container's process and of its files; both are empty where its manifest asks for none, it
// is privileged, or the machine does not use SELinux. What the manifest leaves open is the machine's default for containers, and
// the level that the pod alone has.
func seLinuxLabels(w plan.Create) (process, files string, err error) {
	o := spec.SELinuxOptions(w.Pod, w.Spec)
	if o == nil || !selinux.GetEnabled() {
		return "", "", nil
	}
	var options []string
	for key, value := range map[string]string{"user": o.User, "role": o.Role, "type": o.Type} {
		if value != "" {
			options = append(options, key+":"+value)
		}
	}
	level := o.Level
	if level == "" {
		level = w.Grant.SELinuxLevel
	}
	process, files, err = label.InitLabels(append(options, "level:"+level))
	if err == nil && process == "" {
		err = allocate.ErrNoContainerLabels
	}
	if err == nil {
		err = selinux.SecurityCheckContext(process)
	}
	if err != nil {
		return "", "", fmt.Errorf("cannot use seLinuxOptions, %q is no label of this machine: %w", process, err)
	}
	return process, files, nil
}

// labelFiles gives the pod's volumes that the container mounts, and files, the label that lets the container use them. As with
// the kubelet, what belongs to the host keeps its own label.
func (c *Containers) labelFiles(w plan.Create, files map[string]string, wanted string) error {
	if wanted == "" {
		return nil
	}
	paths := c.Volumes.Find(w.Pod)
	for _, v := range w.Pod.Spec.Volumes {
		if v.HostPath != nil || v.Image != nil || !mounts(w.Spec, v.Name) {
			continue
		}
		if now, err := selinux.FileLabel(paths[v.Name]); err == nil && now == wanted {
			continue
		}
		if err := volume.Label(paths[v.Name], wanted); err != nil {
			return fmt.Errorf("volume %q: cannot label it for SELinux: %w", v.Name, err)
		}
	}
	all := slices.Collect(maps.Values(files))
	if !w.Pod.Spec.HostIPC {
		all = append(all, c.Sandboxes.Shm(w.Pod))
	}
	for _, path := range all {
		if err := selinux.SetFileLabel(path, wanted); err != nil {
			return err
		}
	}
	return nil
}

func mounts(c *v1.Container, volume string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m v1.VolumeMount) bool { return m.Name == volume })
}
