package runner

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

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
	user, err := w.runner.resolveUser(ctx, img, spec.WantedUser(pod.Spec.SecurityContext, &sc, img.Config.User))
	if err != nil {
		return nil, err
	}
	if ids := w.idMapping(); ids != nil && (user.UID >= ids.Size || user.GID >= ids.Size) {
		return nil, fmt.Errorf("container would run as %d:%d, and with hostUsers: false there are the ids 0 to %d; set runAsUser and runAsGroup", user.UID, user.GID, ids.Size-1)
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
	processLabel, fileLabel, err := w.seLinuxLabels(c)
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
	binds, err := w.bindVolumes(c, env)
	if err == nil {
		err = w.labelFiles(c, files, fileLabel)
	}
	if err == nil {
		err = w.bindFiles(c, files)
	}
	if err != nil {
		return nil, err
	}
	annotations := map[string]string{engine.GroupAnnotation: w.runner.config.Instance + "-" + w.uid}
	maps.Copy(annotations, w.runner.cgroups.ScopeAnnotations())
	out, err := spec.Build(spec.Input{
		Pod: pod, Container: c, Image: img.Config, User: user,
		NetworkNamespace: w.namespaces.Network, IPCNamespace: w.namespaces.IPC, UTSNamespace: w.namespaces.UTS,
		PIDNamespace: w.namespaces.PID, UserNamespace: w.namespaces.User, IDs: w.idMapping(),
		Hostname: w.hostname(), Env: env, Binds: binds, Files: files, Shm: w.shm(),
		CgroupsPath: w.runner.cgroups.OCI(w.cgroupPath, rec.ID), Resources: cgroup.ContainerResources(c.Resources, w.unified()),
		OOMScoreAdj: w.runner.allowedOOMScore(cgroup.OOMScoreAdj(pod, c, w.runner.memory)),
		Annotations: annotations, Seccomp: seccomp, AppArmor: appArmor, SELinuxProcess: processLabel, SELinuxFiles: fileLabel,
		Unified: cgroup.Unified(),
	})
	if err != nil {
		return nil, err
	}
	return out, w.runner.devices.Inject(out, w.rec.Devices[c.Name])
}
