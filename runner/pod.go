package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/plan"
)

// attachment is a pod's connection to the network, made beside the creation of its first container.
type attachment struct {
	done   chan struct{}
	result network.Attachment
	err    error
}

// setUpPod makes what the containers share. The network is attached in the background; startContainer waits for it.
func (w *worker) setUpPod(ctx context.Context) {
	if err := w.prepared(ctx); err != nil {
		w.notPrepared(err)
		return
	}
	w.waitsFor = nil
	release := w.slot(ctx)
	defer release()
	if w.anything {
		// An interrupted set-up: nothing may be mounted or attached twice.
		if err := w.removeShared(ctx); err != nil {
			w.setUpFailed(ctx, err)
			return
		}
	}
	w.anything = true
	w.rec.BootID = w.runner.boot
	w.rec.followClock()
	w.rec.SharedRevision = sharedRevision(w.rec.Pod)
	w.rec.Initialized = false
	w.endBy = time.Time{}
	for i := range w.rec.Pod.Spec.InitContainers {
		if c := w.rec.Containers[w.rec.Pod.Spec.InitContainers[i].Name]; c != nil {
			c.Replaced = c.Ended != nil // what they did was for an earlier set-up
		}
	}
	if w.rec.StartTime.IsZero() {
		w.rec.StartTime = wallNow()
	}
	if err := w.makeShared(ctx); err != nil {
		w.setUpFailed(ctx, err)
		return
	}
	w.setUp, w.message = true, ""
	w.watchStorage()
	w.saver.note(w.rec)
}

// slot waits until this pod may be brought up: on a small machine many at once are slower than a few.
func (w *worker) slot(ctx context.Context) (release func()) {
	w.progress.idle() // the others may take long
	defer w.progress.step()
	select {
	case w.runner.slots <- struct{}{}:
		return func() { <-w.runner.slots }
	case <-ctx.Done():
		return func() {}
	}
}

func (w *worker) setUpFailed(ctx context.Context, err error) {
	w.setUpFailures++
	w.setUpRetry = time.Now().Add(plan.Retry(w.setUpFailures))
	w.message = err.Error()
	w.warn("", "FailedCreatePodSandBox", "cannot set the pod up: %v; next try in %s", err, plan.Retry(w.setUpFailures))
	if err := w.removeShared(ctx); err != nil {
		slog.Warn("cannot clean up after a failed set-up", "pod", manifests.Key(w.rec.Pod), "err", err)
	}
	w.setUp = false
}

func (w *worker) makeShared(ctx context.Context) error {
	pod := w.rec.Pod
	dir := w.runner.stateDir(w.uid)
	if manifests.OwnUsers(pod) {
		first, err := w.runner.users.claim(w.uid, w.rec.FirstID)
		if err != nil {
			return err
		}
		w.rec.FirstID = first
	}
	ns, err := namespace.Pin(filepath.Join(dir, "ns"), w.hostname(), w.share())
	if err != nil {
		return err
	}
	w.namespaces = ns
	if err := w.touchFiles(); err != nil {
		return err
	}
	w.attach = &attachment{done: make(chan struct{})}
	if pod.Spec.HostNetwork {
		w.attach.result.IPs = []string{w.runner.hostIP}
		close(w.attach.done)
	} else {
		go func(a *attachment, p network.Pod) {
			defer close(a.done)
			a.result, a.err = w.runner.network.Attach(ctx, p)
		}(w.attach, w.networkPod())
	}
	if err := w.runner.volumes.SetUp(pod, w.inputs().Files, w.mountImage(ctx)); err != nil {
		return fmt.Errorf("cannot set the volumes up: %w", err)
	}
	w.content = w.wantedContent()
	w.rec.Content = w.content
	resources := w.podResources()
	if w.cgroupPath, err = w.runner.cgroups.Create(w.uid, cgroup.QOSClass(pod), resources); err != nil {
		return err
	}
	w.resources = hash(resources)
	if first := namespace.FirstProcess(filepath.Join(dir, "ns")); first != 0 {
		if err := w.runner.cgroups.JoinShims(w.uid, first); err != nil {
			return err
		}
	}
	return w.makeShm()
}

// share says which namespaces the pod shares with the host, and its containers with each other.
func (w *worker) share() namespace.Share {
	spec := &w.rec.Pod.Spec
	return namespace.Share{
		HostNetwork: spec.HostNetwork, HostIPC: spec.HostIPC, Processes: spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace,
		Users: w.idMapping(),
	}
}

// shmSize is the kubelet's and Docker's size of /dev/shm.
const shmSize = 64 << 20

func (w *worker) shm() string {
	if w.rec.Pod.Spec.HostIPC {
		return "/dev/shm"
	}
	return filepath.Join(w.runner.stateDir(w.uid), "shm")
}

func (w *worker) makeShm() error {
	if w.rec.Pod.Spec.HostIPC {
		return nil
	}
	if err := os.MkdirAll(w.shm(), 0o711); err != nil {
		return err
	}
	options := fmt.Sprintf("mode=1777,size=%d", shmSize)
	if err := unix.Mount("shm", w.shm(), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return fmt.Errorf("cannot mount the pod's /dev/shm: %w", err)
	}
	return nil
}

// attached waits for the network and keeps what it gave.
func (w *worker) attached() error {
	if w.attach == nil {
		return nil
	}
	<-w.attach.done
	if w.attach.err != nil {
		return fmt.Errorf("cannot connect the pod to the network: %w", w.attach.err)
	}
	w.rec.Network = &w.attach.result
	w.attach = nil
	w.saver.note(w.rec) // before a container starts: the next Solopod must know its pod as complete
	return w.writeFiles()
}

// podFiles: path inside the containers -> name in the pod's state directory.
var podFiles = map[string]string{"/etc/hosts": "hosts", "/etc/hostname": "hostname", "/etc/resolv.conf": "resolv.conf"}

// writeFiles writes what containers see as /etc/hosts, /etc/hostname and /etc/resolv.conf. The files exist since the
// set-up, so that they could be bound before the address was known: they are filled in place.
func (w *worker) writeFiles() error {
	pod := w.rec.Pod
	hosts := network.HostHosts()
	if !pod.Spec.HostNetwork {
		hosts = network.HostsFile(w.hostname(), w.domainName(), w.rec.Network.IPs)
	}
	hosts += network.HostAliases(pod.Spec.HostAliases)
	host, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for name, content := range map[string]string{
		"hosts": hosts, "hostname": w.hostname() + "\n",
		"resolv.conf": network.ResolvConf(string(host), pod.Spec.DNSPolicy, pod.Spec.DNSConfig),
	} {
		path := filepath.Join(w.runner.stateDir(w.uid), name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil { //nolint:forbidigo // on a tmpfs, and bound by inode
			return err
		}
	}
	return nil
}

// touchFiles makes the files of podFiles, empty.
func (w *worker) touchFiles() error {
	for _, name := range podFiles {
		f, err := os.OpenFile(filepath.Join(w.runner.stateDir(w.uid), name), os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// tearDownPod removes everything of the pod. All containers have ended.
func (w *worker) tearDownPod(ctx context.Context) {
	w.flushDisposals()
	w.background.Wait() // the ended containers' own clean-up
	if err := w.removeAll(ctx); err != nil {
		w.setUpFailures++
		slog.Error("cannot remove everything of a pod; it is tried again", "pod", manifests.Key(w.rec.Pod), "err", err)
		w.message = err.Error()
		w.waitRetry(ctx)
		return
	}
	w.setUp, w.setUpFailures, w.setUpRetry, w.message = false, 0, time.Time{}, ""
	w.anything = false
	w.rec.SharedRevision, w.rec.Network, w.rec.Conditions = "", nil, nil
	w.rec.Failed, w.rec.StartTime = nil, time.Time{}
	if w.desired != nil {
		// An edit: histories go on, so that log files keep their numbers.
		for _, c := range w.rec.Containers {
			c.Replaced, c.Backoff = c.Ended != nil, plan.Backoff{}
		}
		return
	}
	w.normal("", "Removed", "the pod is gone")
	w.runner.telemetry.Forget(w.rec.Pod.Namespace, w.rec.Pod.Name, w.uid)
	w.rec.Containers = map[string]*containerRecord{}
	w.live = map[string]*liveContainer{}
	w.saver.last = nil
	for _, dir := range []string{filepath.Dir(w.saver.path), w.runner.logDir(w.rec.Pod)} {
		if err := os.RemoveAll(dir); err != nil {
			slog.Warn("cannot remove a pod's directory", "dir", dir, "err", err)
		}
	}
	w.removeLogLinks()
}

// waitRetry waits before a tear-down is tried again.
func (w *worker) waitRetry(ctx context.Context) {
	w.progress.idle()
	defer w.progress.step()
	select {
	case <-ctx.Done():
	case <-time.After(min(time.Duration(w.setUpFailures)*time.Second, plan.MaxBackoff)):
	}
}

// removeAll undoes makeShared and removes what the pod has on the disk; it can be repeated.
func (w *worker) removeAll(ctx context.Context) error {
	return errors.Join(w.removeShared(ctx), w.runner.volumes.TearDown(w.uid))
}

// removeShared undoes makeShared; it can be repeated, also for a set-up that was interrupted. The content of volumes on the
// disk stays: it is the pod's for as long as there is a pod, over reboots too.
func (w *worker) removeShared(ctx context.Context) error {
	if w.attach != nil {
		<-w.attach.done
		w.attach = nil
	}
	w.unwatchStorage()
	dir := w.runner.stateDir(w.uid)
	p := w.networkPod()
	p.Netns = filepath.Join(dir, "ns", "net")
	errs := []error{w.runner.network.Detach(context.WithoutCancel(ctx), p)}
	errs = append(errs, namespace.Unpin(filepath.Join(dir, "ns")), unmountShm(filepath.Join(dir, "shm")), w.runner.volumes.Release(w.uid))
	if w.mayShowImages() {
		errs = append(errs, w.runner.engine.ReleaseImages(context.WithoutCancel(ctx), w.uid))
	}
	if w.noneRuns() {
		errs = append(errs, w.runner.cgroups.Remove(w.uid))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	w.releaseClaims()
	w.runner.users.release(w.uid)
	w.releaseLevel()
	w.rec.FirstID = 0
	return os.RemoveAll(dir)
}

func unmountShm(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // EINVAL: not mounted
		return fmt.Errorf("cannot unmount the pod's /dev/shm: %w", err)
	}
	return nil
}

func (w *worker) noneRuns() bool {
	for _, c := range w.rec.Containers {
		if c.Running {
			return false
		}
	}
	return true
}

func (w *worker) networkPod() network.Pod {
	pod := w.rec.Pod
	return network.Pod{UID: w.uid, Namespace: pod.Namespace, Name: pod.Name, Netns: w.namespaces.Network, Ports: podPorts(pod)}
}

// podPorts are the host ports that must be forwarded; with the host's network there is nothing to forward.
func podPorts(pod *v1.Pod) []network.Port {
	if pod.Spec.HostNetwork {
		return nil
	}
	return wantedPorts(pod)
}
