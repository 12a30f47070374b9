package container

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/allocate/device"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/sandbox"
	"github.com/solopod/solopod/runner/spec"
)

// buildSpec resolves what the container refers to, and composes its runtime spec.
func (c *Containers) buildSpec(ctx context.Context, w plan.Create, image engine.Image, ns namespace.Namespaces) (*specs.Spec, error) {
	pod := w.Pod
	env, err := c.inputs(ctx, w).Env(w.Spec)
	if err != nil {
		return nil, err
	}
	user, err := c.user(ctx, w, image)
	if err != nil {
		return nil, err
	}
	confined, err := c.confine(ctx, w)
	if err != nil {
		return nil, err
	}
	files, err := c.files(w)
	if err != nil {
		return nil, err
	}
	binds, err := c.bindVolumes(w, ns, env)
	if err == nil {
		err = c.labelFiles(w, files, confined.fileLabel)
	}
	if err != nil {
		return nil, err
	}
	bound, err := c.bindFiles(w, ns, files)
	if err != nil {
		return nil, err
	}
	imageVolumes, err := c.imageVolumes(ctx, w, image, ns, files, confined.fileLabel)
	if err != nil {
		return nil, err
	}
	annotations := map[string]string{engine.GroupAnnotation: c.Instance + "-" + string(pod.UID)}
	maps.Copy(annotations, c.Cgroups.ScopeAnnotations())
	out, err := spec.Build(spec.Input{
		Pod: pod, Container: w.Spec, Image: image.Config, User: user,
		NetworkNamespace: ns.Network, IPCNamespace: ns.IPC, UTSNamespace: ns.UTS,
		PIDNamespace: ns.PID, UserNamespace: ns.User, IDs: sandbox.IDMapping(w.Grant),
		Hostname: c.Sandboxes.Hostname(pod), Env: env, Binds: binds, ImageVolumes: imageVolumes, Files: bound, Shm: c.Sandboxes.Shm(pod),
		CgroupsPath: c.Cgroups.OCI(c.Sandboxes.Cgroup(pod), w.ID), Resources: cgroup.ContainerResources(w.Spec.Resources, c.unified(pod, w.Spec)),
		OOMScoreAdj: allowedOOMScore(cgroup.OOMScoreAdj(pod, w.Spec, c.Memory)),
		Annotations: annotations, Seccomp: confined.seccomp, SeccompDefault: c.SeccompDefault, AppArmor: confined.appArmor,
		SELinuxProcess: confined.processLabel, SELinuxFiles: confined.fileLabel, Unified: cgroup.Unified(), CgroupOptions: cgroup.SharedOptions(),
	})
	if err != nil {
		return nil, err
	}
	return out, c.Devices.Inject(out, device.Assignment(w.Grant.Devices)[w.Name])
}

// inputs are those of the plan, with the files of the pod's volumes, and the services that there are now: a new one is no reason to make
// anything anew.
func (c *Containers) inputs(ctx context.Context, w plan.Create) *reference.Inputs {
	in := *w.Inputs
	in.ReadFile = func(volume, name string) ([]byte, error) {
		return foreign.ReadBeneath(c.Volumes.Find(w.Pod)[volume], name, maxEnvFile)
	}
	if c.Services != nil {
		in.Services = c.Services(ctx, w.Pod)
	}
	return &in
}

// maxEnvFile bounds what is read of a file that fills an environment, as by the kubelet.
const maxEnvFile = 64 << 10

// user is the identity of the container's process.
func (c *Containers) user(ctx context.Context, w plan.Create, image engine.Image) (specs.User, error) {
	sc := v1.SecurityContext{}
	if w.Spec.SecurityContext != nil {
		sc = *w.Spec.SecurityContext
	}
	user, err := c.resolveUser(ctx, image, spec.WantedUser(w.Pod.Spec.SecurityContext, &sc, image.Config.User))
	if err != nil {
		return specs.User{}, err
	}
	if ids := sandbox.IDMapping(w.Grant); ids != nil && (user.UID >= ids.Size || user.GID >= ids.Size) {
		return specs.User{}, fmt.Errorf("container would run as %d:%d, and with hostUsers: false there are the ids 0 to %d; set runAsUser and runAsGroup", user.UID, user.GID, ids.Size-1)
	}
	if user.UID == 0 && spec.MustNotBeRoot(w.Pod, w.Spec) {
		return specs.User{}, fmt.Errorf("container has runAsNonRoot and would run as root (the image's user is %q); set runAsUser to another number", image.Config.User)
	}
	return user, nil
}

// files are bound into the container: path inside -> path on the host. The one for its termination message is made.
func (c *Containers) files(w plan.Create) (map[string]string, error) {
	files := c.Sandboxes.Files(w.Pod)
	message := sandbox.TerminationFile(c.Dirs, string(w.Pod.UID), w.Name, w.Attempt)
	f, err := foreign.OpenFile(message, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	defer f.Close()                        //nolint:errcheck // nothing is written
	if err := f.Chmod(0o666); err != nil { // whatever the umask; any user of the container writes it
		return nil, err
	}
	files[path.Clean("/"+w.Spec.TerminationMessagePath)] = message
	return files, nil
}

// unified is what a container's cgroup gets beside its requests and limits on a machine with cgroup v2.
func (c *Containers) unified(pod *v1.Pod, container *v1.Container) map[string]string {
	if !cgroup.Unified() {
		return nil
	}
	files := map[string]string{}
	maps.Copy(files, c.Cgroups.Memory.Container(container.Resources))
	if killedAsGroup(pod, c.SingleProcessOOMKill) {
		files["memory.oom.group"] = "1"
	}
	// Containers do not swap, as with a kubelet that is not told otherwise. A kernel without swap has no such file.
	const swap = "memory.swap.max"
	if _, err := os.Stat(filepath.Join(cgroup.Mountpoint, c.Sandboxes.Cgroup(pod), swap)); err == nil {
		files[swap] = "0"
	}
	return files
}

// groupOf says whether a pod's containers are killed as a whole on this machine.
func groupOf(pod *v1.Pod, single bool) bool { return cgroup.Unified() && killedAsGroup(pod, single) }

// killedAsGroup: when a process of a container is killed for memory, so are its others. That is the kubelet's default with
// cgroup v2: what is left of a container that lost a process often hangs, and nobody restarts it. A pod whose main
// process looks after its children chooses otherwise.
func killedAsGroup(pod *v1.Pod, single bool) bool {
	if choice, ok := pod.Annotations[manifests.OOMGroupAnnotation]; ok {
		return choice == "true"
	}
	return !single
}
