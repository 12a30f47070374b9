package container

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/selinux/go-selinux"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/apparmor"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/image/policy"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/sandbox"
	"github.com/solopod/solopod/runner/seal"
	"github.com/solopod/solopod/runner/spec"
)

// problem is a failure under the kubelet's reason for it.
func problem(reason string, err error) state.Problem {
	return state.Problem{Reason: reason, Message: err.Error()}
}

// Create has the runtime set a container up; its process waits for Start. On a failure the directory of the attempt, or the
// container, may be left behind: Delete removes them.
func (c *Containers) Create(ctx context.Context, w plan.Create) state.Made {
	found, err := c.Images.Get(ctx, w.Spec.Image)
	if err == nil && w.Spec.ImagePullPolicy == v1.PullAlways && c.Current != nil {
		err = c.Current(ctx, w.Pod, w.Spec.Image, found, policy.Known(w.Known))
	}
	if errors.Is(err, engine.ErrNotFound) {
		return state.Made{Problem: state.Problem{Reason: "ErrImagePull", Message: err.Error(), Lacks: w.Spec.Image, Instead: image.Instead(err)}}
	}
	if errors.Is(err, engine.ErrInvalidName) {
		return state.Made{Problem: problem("InvalidImageName", err)}
	}
	if err != nil {
		return state.Made{Problem: problem("ImageInspectError", err)}
	}
	pump, err := c.outputs.open(ctx, w.Target, w.Spec.TTY, w.Spec.Stdin)
	if err != nil {
		return state.Made{LeftBehind: true, Problem: problem("CreateContainerError", err)}
	}
	made := c.create(ctx, w, found, pump.Paths())
	made.LeftBehind = made.Problem != (state.Problem{})
	return made
}

func (c *Containers) create(ctx context.Context, w plan.Create, image engine.Image, paths logs.Paths) state.Made {
	defer c.releaseBinds(w) // the container has what was bound for it by then
	uid := string(w.Pod.UID)
	ns := c.Sandboxes.Namespaces(w.Pod, w.Grant)
	if !c.Sandboxes.HasFiles(w.Pod) {
		p := problem("CreateContainerError", errors.New("files of the pod are missing in the state directory; the pod is made anew"))
		p.Sandbox = true
		return state.Made{Problem: p}
	}
	if ns.PID != "" && namespace.FirstProcess(c.Dirs.Namespaces(uid)) == 0 {
		p := problem("CreateContainerError", errors.New("the first process of the pod's shared process namespace was killed"))
		p.Sandbox = true
		return state.Made{Problem: p}
	}
	ociSpec, err := c.buildSpec(ctx, w, image, ns)
	if err != nil {
		return state.Made{Problem: problem("CreateContainerConfigError", err)}
	}
	shown, err := shown(w, image, c.Sandboxes.Hostname(w.Pod))
	if err != nil {
		return state.Made{Problem: problem("CreateContainerConfigError", err)}
	}
	release, err := c.Slots.Take(ctx)
	if err != nil {
		return state.Made{Problem: problem("CreateContainerError", err)}
	}
	defer release()
	warnings := warnings(w, c.AppArmor)
	limits, err := c.Sandboxes.Limit(ctx, w.Pod)
	if err != nil { // the other containers may use more than an edit leaves them
		warnings = append(warnings, state.Report{Warning: true, Reason: "FailedResize",
			Message: "the pod keeps its old limits as a whole: " + err.Error()})
	}
	pid, err := c.Engine.Create(ctx, engine.CreateRequest{
		ID: w.ID, Image: image, Labels: labels(w, c.Dirs.Root), Spec: ociSpec, Shown: shown,
		IO:         engine.IO{Stdin: paths.Stdin, Stdout: paths.Stdout, Stderr: paths.Stderr, Terminal: w.Spec.TTY},
		ShimCgroup: c.Cgroups.Shim(uid), Runtime: c.RuntimeClasses[sandbox.RuntimeClass(w.Pod)], IDs: sandbox.IDMapping(w.Grant),
	})
	made := state.Made{
		Pid: pid, Image: image.Name, ImageID: image.DigestName(), Limits: limits,
		StopSignal: state.StopSignal(w.Spec, image.Config.StopSignal), Warnings: warnings, User: identity(ociSpec.Process.User),
	}
	if err != nil {
		made.Problem = notRun("CreateContainerError", err)
	}
	return made
}

// shown is what of the container's process may be written down; nil: all of it. Where a variable comes from a Secret nothing that the
// manifest sets is shown: nobody has to tell which of its values are made of others.
func shown(w plan.Create, image engine.Image, hostname string) (*seal.Process, error) {
	if !reference.SecretEnv(w.Spec) {
		return nil, nil
	}
	env, args, err := spec.Shown(image.Config, w.Spec, hostname)
	return &seal.Process{Env: env, Args: args}, err
}

// identity is whom a process runs as, as the API has it.
func identity(u specs.User) *v1.ContainerUser {
	out := &v1.LinuxContainerUser{UID: int64(u.UID), GID: int64(u.GID)}
	for _, g := range u.AdditionalGids {
		out.SupplementalGroups = append(out.SupplementalGroups, int64(g))
	}
	return &v1.ContainerUser{Linux: out}
}

// notRun is why the runtime does not run a container: for a fault of the machine another try is no new attempt.
func notRun(reason string, err error) state.Problem {
	if !errors.Is(err, engine.ErrRefused) {
		return problem(reason, err)
	}
	p := problem(state.ReasonStartError, err)
	p.Refused = true
	p.Message = p.Message[:min(len(p.Message), maxMessage)]
	return p
}

// warnings say what the machine does not have of that which the manifest asks for.
func warnings(w plan.Create, machine *apparmor.AppArmor) []state.Report {
	var out []state.Report
	if missing := spec.MissingCapabilities(w.Spec); len(missing) > 0 {
		out = append(out, state.Report{Container: w.Name, Warning: true, Reason: "MissingCapabilities",
			Message: "this machine has no " + strings.Join(missing, ", ") + " to give; the container runs without"})
	}
	if spec.SELinuxOptions(w.Pod, w.Spec) != nil && !selinux.GetEnabled() {
		out = append(out, state.Report{Container: w.Name, Warning: true, Reason: "NoSELinux",
			Message: "this machine does not use SELinux; the container runs without the labels of seLinuxOptions"})
	}
	if spec.AppArmorProfile(w.Pod, w.Spec) == nil && !spec.Privileged(w.Spec) {
		if err := machine.Lacks(); errors.Is(err, apparmor.ErrNoParser) {
			out = append(out, state.Report{Container: w.Name, Warning: true, Reason: "NoAppArmor",
				Message: "this machine uses AppArmor, and the container runs without its default profile: " + err.Error()})
		}
	}
	return out
}

func labels(w plan.Create, root string) map[string]string {
	return map[string]string{
		LabelPodName: w.Pod.Name, LabelPodNamespace: w.Pod.Namespace, LabelPodUID: string(w.Pod.UID),
		LabelContainerName: w.Name, LabelRevision: w.Revision, LabelAttempt: strconv.Itoa(w.Attempt), LabelRoot: root,
	}
}

func (c *Containers) releaseBinds(w plan.Create) {
	if err := c.Volumes.ReleaseBinds(string(w.Pod.UID), w.Name); err != nil {
		slog.Warn("cannot let go of a mount made for a container; the pod's end does", "pod", manifests.Key(w.Pod), "container", w.Name, "err", err)
	}
}

// Start lets a container's process run.
func (c *Containers) Start(ctx context.Context, w plan.Start) state.Started {
	if err := c.Engine.Start(ctx, w.ID); err != nil {
		return state.Started{Problem: notRun("RunContainerError", err)}
	}
	return state.Started{When: time.Now()}
}
