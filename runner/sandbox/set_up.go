package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/image/policy"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/tmpfs"
	"github.com/solopod/solopod/runner/volume"
)

// SetUp makes what the containers share, but for the network. Nothing of it exists.
func (s *Sandboxes) SetUp(ctx context.Context, w plan.SetUp) state.SandboxMade {
	if s.Admit != nil {
		// The manifest was judged when it was read, but it may have been let in before, under another configuration.
		if err := s.Admit(w.Pod); err != nil {
			return state.SandboxMade{Problem: state.Problem{Reason: "PodForbidden", Message: err.Error()}}
		}
	}
	if problem := s.lacks(ctx, w); problem != (state.Problem{}) {
		return state.SandboxMade{Problem: problem}
	}
	shown := map[string]string{}
	limits, err := s.makeAll(ctx, w, shown)
	if err != nil {
		reason := "FailedCreatePodSandBox"
		if errors.As(err, new(notMounted)) {
			reason = "FailedMount"
		}
		return state.SandboxMade{Problem: state.Problem{Reason: reason, Message: err.Error()}}
	}
	if len(shown) == 0 {
		shown = nil
	}
	return state.SandboxMade{Limits: limits, VolumeImages: shown}
}

// notMounted is a pod's volumes that could not be set up. As with a kubelet its event tells them from the rest of the sandbox.
type notMounted struct{ error }

func (n notMounted) Unwrap() error { return n.error }

// lacks names what the pod needs and this machine does not have.
func (s *Sandboxes) lacks(ctx context.Context, w plan.SetUp) state.Problem {
	pod := w.Pod
	if err := Possible(pod, s); err != nil {
		return state.Problem{Reason: "FailedCreatePodSandBox", Message: err.Error()}
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Image == nil {
			continue
		}
		found, err := s.Images.Get(ctx, v.Image.Reference)
		if err == nil && v.Image.PullPolicy == v1.PullAlways && s.Current != nil {
			err = s.Current(ctx, pod, v.Image.Reference, found, policy.Known(w.Known))
		}
		if errors.Is(err, engine.ErrNotFound) {
			return state.Problem{Reason: "FailedMount", Message: err.Error(), Lacks: v.Image.Reference, Instead: image.Instead(err)}
		}
		if err != nil {
			return state.Problem{Reason: "FailedMount", Message: fmt.Sprintf("volume %q: %v", v.Name, err)}
		}
	}
	return state.Problem{}
}

// Possible says what of a pod's sandbox this machine can never make.
func Possible(pod *v1.Pod, s *Sandboxes) error {
	if class := RuntimeClass(pod); class != "" && s.RuntimeClasses[class] == "" {
		return fmt.Errorf("runtimeClassName %q is not configured; name its OCI runtime in runtimeClasses of the configuration", class)
	}
	_, err := manifests.FullHostname(pod, s.ClusterDomain)
	return err
}

// RuntimeClass is the pod's runtimeClassName; empty when it has none.
func RuntimeClass(pod *v1.Pod) string {
	if pod.Spec.RuntimeClassName == nil {
		return ""
	}
	return *pod.Spec.RuntimeClassName
}

// makeAll does that, and notes the images that volumes show.
func (s *Sandboxes) makeAll(ctx context.Context, w plan.SetUp, shown map[string]string) (limits string, err error) {
	pod, uid := w.Pod, string(w.Pod.UID)
	if _, err := namespace.Pin(s.Dirs.Namespaces(uid), s.Hostname(pod), share(pod, w.Grant)); err != nil {
		return "", err
	}
	if err := makeFiles(s.Dirs.Files(uid)); err != nil {
		return "", err
	}
	if err := durable.Replace(s.Dirs.NameFile(uid), []byte(manifests.Key(pod)), 0o600); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := s.Volumes.SetUp(pod, w.Inputs.Files, s.mountImage(ctx, w, shown)); err != nil {
		return "", notMounted{fmt.Errorf("cannot set the volumes up: %w", err)}
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if limits, err = s.Limit(ctx, pod); err != nil {
		return "", err
	}
	if first := namespace.FirstProcess(s.Dirs.Namespaces(uid)); first != 0 {
		if err := s.Cgroups.JoinShims(uid, first); err != nil {
			return "", err
		}
	}
	return limits, makeShm(pod, s.Shm(pod))
}

// mountImage mounts a volume's image, and notes it.
func (s *Sandboxes) mountImage(ctx context.Context, w plan.SetUp, shown map[string]string) volume.MountImage {
	return func(v *v1.ImageVolumeSource, target string) error {
		image, err := s.Images.Get(ctx, v.Reference)
		if err != nil {
			return err
		}
		for i := range w.Pod.Spec.Volumes {
			if named := &w.Pod.Spec.Volumes[i]; named.Image != nil && named.Image.Reference == v.Reference {
				shown[named.Name] = image.DigestName()
			}
		}
		return s.Engine.MountImage(ctx, image, string(w.Pod.UID), filepath.Base(target), target, IDMapping(w.Grant))
	}
}

// ShowVolumes gives mounted volumes their new content, in place.
func (s *Sandboxes) ShowVolumes(_ context.Context, w plan.ShowVolumes) state.VolumesShown {
	out := state.VolumesShown{Content: w.Content}
	if err := s.Volumes.Refresh(w.Pod, w.Inputs.Files); err != nil {
		out.Problem = state.Problem{Reason: "FailedMount", Message: err.Error()}
	}
	return out
}

// shmSize is the kubelet's and Docker's size of /dev/shm.
const shmSize = 64 << 20

// Shm is what the pod's containers see as /dev/shm.
func (s *Sandboxes) Shm(pod *v1.Pod) string {
	if pod.Spec.HostIPC {
		return "/dev/shm"
	}
	return s.Dirs.SharedMemory(string(pod.UID))
}

func makeShm(pod *v1.Pod, path string) error {
	if pod.Spec.HostIPC {
		return nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	options := fmt.Sprintf("mode=1777,size=%d", shmSize)
	if err := tmpfs.Mount("shm", path, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return fmt.Errorf("the pod's /dev/shm: %w", err)
	}
	return nil
}

// mayShowImages: the pod has image volumes, or nothing is known of it.
func mayShowImages(pod *v1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Image != nil {
			return true
		}
	}
	return Unknown(pod)
}

// Unknown says whether nothing is known of the pod but its UID.
func Unknown(pod *v1.Pod) bool { return len(manifests.AllContainers(pod)) == 0 }
