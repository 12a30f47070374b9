package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/plan"
)

// podResources are the limits of the pod as a whole.
func (w *worker) podResources() *specs.LinuxResources {
	return cgroup.PodResources(w.rec.Pod, w.runner.config.PodPids)
}

// adjustResources gives the pod's cgroup what an edit of its containers changed.
func (w *worker) adjustResources() {
	r := w.podResources()
	if w.resources == hash(r) {
		return
	}
	if _, err := w.runner.cgroups.Create(w.uid, cgroup.QOSClass(w.rec.Pod), r); err != nil {
		w.warn("", "FailedResize", "the pod keeps its old limits as a whole: %v", err)
		return
	}
	w.resources = hash(r)
}

// unified is what a container's cgroup gets beside its requests and limits on a machine with cgroup v2.
func (w *worker) unified() map[string]string {
	if !cgroup.Unified() {
		return nil
	}
	files := map[string]string{}
	if w.killedAsGroup() {
		files["memory.oom.group"] = "1"
	}
	// Containers do not swap, as with a kubelet that is not told otherwise. A kernel without swap has no such file.
	const swap = "memory.swap.max"
	if _, err := os.Stat(filepath.Join(cgroup.Mountpoint, w.cgroupPath, swap)); err == nil {
		files[swap] = "0"
	}
	return files
}

// killedAsGroup: when a process of a container is killed for memory, so are its others. That is the kubelet's default with
// cgroup v2: what is left of a container that lost a process often hangs, and nobody restarts it. A pod whose main
// process looks after its children chooses otherwise.
func (w *worker) killedAsGroup() bool {
	if choice, ok := w.rec.Pod.Annotations[manifests.OOMGroupAnnotation]; ok {
		return choice == "true"
	}
	return !w.runner.config.SingleProcessOOMKill
}

// resizeContainer gives a running container what an edit changed, without a restart. What is not possible now (less memory
// than it uses) is tried again later, as by the kubelet.
func (w *worker) resizeContainer(ctx context.Context, name string) {
	rec, live, c := w.rec.Containers[name], w.live[name], containerOf(w.rec.Pod, name)
	if err := w.resize(ctx, rec.ID, c); err != nil {
		live.failures++
		live.retry = time.Now().Add(plan.Retry(live.failures))
		w.warn(name, "ResizeDeferred", "Container %s keeps its resources for now: %v; next try in %s", name, err, plan.Retry(live.failures))
		return
	}
	rec.Resources = resourceRevision(c)
	live.failures, live.retry = 0, time.Time{}
	w.normal(name, "ResizeCompleted", "Container %s has its new resources, without a restart", name)
}

func (w *worker) resize(ctx context.Context, id string, c *v1.Container) error {
	if limit := c.Resources.Limits.Memory(); !limit.IsZero() {
		// The kernel would kill it (v2), or refuse (v1).
		if used, err := cgroup.MemoryUsage(w.containerCgroup(id)); err == nil && used > limit.Value() {
			return fmt.Errorf("it uses %d bytes of memory, more than the new limit of %d", used, limit.Value())
		}
	}
	// A part must not have more than the whole: with more for both the pod comes first, with less the container.
	w.adjustResources()
	if err := w.runner.engine.Update(context.WithoutCancel(ctx), id, cgroup.ContainerResources(c.Resources, nil)); err != nil {
		return err
	}
	w.adjustResources()
	return nil
}

func runtimeClass(pod *v1.Pod) string {
	if pod.Spec.RuntimeClassName == nil {
		return ""
	}
	return *pod.Spec.RuntimeClassName
}
