package runner

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/spec"
)

// buildSpec resolves what the container refers to, and composes its runtime spec.
func (w *worker) buildSpec(ctx context.Context, c *v1.Container, img engine.Image, rec *containerRecord) (*specs.Spec, error) {
	pod := w.rec.Pod
	sc := v1.SecurityContext{}
	if c.SecurityContext != nil {
		sc = *c.SecurityContext
	}
	if reference.NeedsAddress(c) {
		if err := w.attached(); err != nil {
			return nil, w.networkFailed(ctx, err)
		}
	}
	env, err := w.inputs().Env(c)
	if err != nil {
		return nil, err
	}
	subPaths, err := w.bindSubPaths(c, env)
	if err != nil {
		return nil, err
	}
	user, err := w.runner.resolveUser(ctx, img, spec.WantedUser(pod.Spec.SecurityContext, &sc, img.Config.User))
	if err != nil {
		return nil, err
	}
	if user.UID == 0 && spec.MustNotBeRoot(pod, c) {
		return nil, fmt.Errorf("container has runAsNonRoot and would run as root (the image's user is %q); set runAsUser to another number", img.Config.User)
	}
	seccomp, err := w.seccompProfile(c)
	if err != nil {
		return nil, err
	}
	appArmor, err := w.appArmorProfile(c)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for inside, name := range podFiles {
		files[inside] = filepath.Join(w.runner.stateDir(w.uid), name)
	}
	message := w.terminationFile(c.Name, rec.Attempt)
	if err := os.WriteFile(message, nil, 0o666); err != nil { //nolint:forbidigo // on a tmpfs
		return nil, err
	}
	if err := os.Chmod(message, 0o666); err != nil { // whatever the umask; any user of the container writes it
		return nil, err
	}
	files[path.Clean("/"+c.TerminationMessagePath)] = message
	annotations := map[string]string{engine.GroupAnnotation: w.runner.config.Instance + "-" + w.uid}
	maps.Copy(annotations, w.runner.cgroups.ScopeAnnotations())
	out, err := spec.Build(spec.Input{
		Pod: pod, Container: c, Image: img.Config, User: user,
		NetworkNamespace: w.namespaces.Network, IPCNamespace: w.namespaces.IPC, UTSNamespace: w.namespaces.UTS,
		PIDNamespace: w.namespaces.PID,
		Hostname:     w.hostname(), Env: env, Volumes: w.runner.volumes.Find(pod), SubPaths: subPaths, Files: files, Shm: w.shm(),
		CgroupsPath: w.runner.cgroups.OCI(w.cgroupPath, rec.ID), Resources: cgroup.ContainerResources(c.Resources, w.unified()),
		OOMScoreAdj: w.runner.allowedOOMScore(cgroup.OOMScoreAdj(pod, c, w.runner.memory)),
		Annotations: annotations, Seccomp: seccomp, AppArmor: appArmor,
		Unified: cgroup.Unified(),
	})
	if err != nil {
		return nil, err
	}
	return out, w.runner.devices.Inject(out, w.rec.Devices[c.Name])
}

// bindSubPaths makes mounts of the parts of volumes that the container mounts, by the index of the mount.
func (w *worker) bindSubPaths(c *v1.Container, env []string) (map[int]string, error) {
	out := map[int]string{}
	volumes := w.runner.volumes.Find(w.rec.Pod)
	for i, m := range c.VolumeMounts {
		sub := m.SubPath
		if m.SubPathExpr != "" {
			var err error
			if sub, err = reference.ExpandAll(m.SubPathExpr, spec.EnvMap(env)); err != nil {
				return nil, fmt.Errorf("subPathExpr of volume %q: %w", m.Name, err)
			}
			if err := manifests.CheckSubPath(sub); err != nil {
				return nil, fmt.Errorf("subPathExpr of volume %q: %w", m.Name, err)
			}
		}
		if sub == "" {
			continue
		}
		path, err := w.runner.volumes.BindSubPath(w.uid, c.Name, i, volumes[m.Name], sub)
		if err != nil {
			return nil, fmt.Errorf("volume %q: %w", m.Name, err)
		}
		out[i] = path
	}
	return out, nil
}

func (w *worker) releaseSubPaths(name string) {
	if err := w.runner.volumes.ReleaseSubPaths(w.uid, name); err != nil {
		slog.Warn("cannot let go of a part of a volume; the pod's end does", "pod", manifests.Key(w.rec.Pod), "container", name, "err", err)
	}
}
