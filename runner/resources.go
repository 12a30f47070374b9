package runner

import (
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
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
