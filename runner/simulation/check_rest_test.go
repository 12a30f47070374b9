package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/state"
)

// unlike says how a pod is not as its manifest says.
func (s *script) unlike(uid string) (out []string) {
	b := s.box
	w := b.daemon.owner.Worker(uid)
	b.mu.Lock()
	defer b.mu.Unlock()
	differ := func(format string, args ...any) { out = append(out, uid+": "+fmt.Sprintf(format, args...)) }
	p := s.wanted[uid]
	running := b.running(uid)
	if p == nil {
		if w != nil {
			differ("it still has a worker")
		}
		if (b.disk.written[uid] != nil || b.disk.synced[uid] != nil) && !b.disk.unremoved[uid] {
			differ("its record is left")
		}
		if b.sandboxes[uid] != nil {
			differ("its sandbox is left")
		}
		return out
	}
	if w == nil {
		return []string{uid + ": nobody cares for it"}
	}
	snapshot := w.Snapshot()
	if coming := snapshot.State.Coming; coming != nil {
		failed := snapshot.State.Failed
		if (failed == nil || failed.Reason != state.ReasonEvicted) && !slices.ContainsFunc(manifests.AllContainers(coming.Pod), b.blocked) {
			differ("an edit waits, and everything that it needs is there")
		}
		p = snapshot.State.Pod
	}
	expected := s.expected(p, snapshot, differ)
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		c := running[name]
		switch {
		case c == nil && !expected[name]:
		case c == nil:
			differ("%s does not run", name)
		case c.revision != snapshot.State.Revisions.Containers[name]:
			differ("%s runs in an old version", name)
		case !ready(snapshot.Pod, name):
			differ("%s is not ready", name)
		}
		delete(running, name)
	}
	for name := range running {
		differ("%s should not run", name)
	}
	return append(out, b.recordDiffers(uid, snapshot)...)
}

// standing is the pod as it should be now: that of the manifest, or the one before an edit that waits.
func (s *script) standing(uid string) *v1.Pod {
	p := s.wanted[uid]
	if w := s.box.daemon.owner.Worker(uid); p != nil && w != nil {
		if state := w.Snapshot().State; state.Coming != nil {
			return state.Pod
		}
	}
	return p
}

func (b *box) running(uid string) map[string]*container {
	out := map[string]*container{}
	for _, c := range b.containers {
		if c.uid == uid && c.status == state.FoundRunning {
			out[c.name] = c
		}
	}
	return out
}

func ready(p *v1.Pod, name string) bool {
	for _, list := range [][]v1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range list {
			if c.Name == name {
				return c.Ready && c.State.Running != nil
			}
		}
	}
	return false
}

func statusOf(p *v1.Pod, name string) v1.ContainerStatus {
	for _, c := range append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...) {
		if c.Name == name {
			return c
		}
	}
	return v1.ContainerStatus{}
}

// expected are the containers of a pod that should run, or may (false). b.mu is held.
func (s *script) expected(p *v1.Pod, snapshot *pod.Snapshot, differ func(string, ...any)) map[string]bool {
	b, out := s.box, map[string]bool{}
	uid := string(p.UID)
	sandbox := b.sandboxes[uid]
	if phase := snapshot.Pod.Status.Phase; phase == v1.PodSucceeded || phase == v1.PodFailed {
		failed := snapshot.State.Failed
		if failed.Discards() && sandbox != nil {
			differ("it was evicted, and something of it is left")
		}
		if failed != nil && failed.Held && !s.held.none {
			return out
		}
		if failed != nil && failed.Reason == state.ReasonOOM && failed.Revive.IsZero() && b.stops(p) {
			if running := b.running(uid); len(running) > 0 {
				differ("it was stopped for a kill, and %d containers run", len(running))
			}
			return out
		}
		if p.Spec.RestartPolicy == v1.RestartPolicyAlways {
			differ("it is %s (%s), and should always run", phase, snapshot.Pod.Status.Reason)
		}
		if p.Spec.RestartPolicy == v1.RestartPolicyOnFailure && phase == v1.PodFailed {
			differ("it is %s (%s), and should begin anew", phase, snapshot.Pod.Status.Reason)
		}
		for i := range p.Spec.Containers {
			if name := p.Spec.Containers[i].Name; p.Spec.RestartPolicy == v1.RestartPolicyOnFailure && b.condemned(uid, statusOf(snapshot.Pod, name)) {
				differ("%s was ended for a probe or its hook, and is left", name)
			}
		}
		if sandbox != nil && sandbox.mounted {
			differ("it has ended, and its sandbox is left")
		}
		return out
	}
	for port := range portsOf(p) {
		if !b.daemon.ports[uid][port] && s.anotherHas(uid, port) {
			return out
		}
	}
	if sandbox == nil || !sandbox.mounted || !sandbox.attached {
		differ("it has no sandbox (%s)", snapshot.Pod.Status.Message)
		return out
	}
	if status := snapshot.Pod.Status; status.HostIP != b.ips[0] || len(status.HostIPs) != len(b.ips) {
		differ("the machine's addresses are %v, and it shows %v", b.ips, status.HostIPs)
	} else if p.Spec.HostNetwork && (status.PodIP != b.ips[0] || len(status.PodIPs) != len(b.ips)) {
		differ("it has the machine's addresses, and shows %v", status.PodIPs)
	}
	if sandbox.resolver != b.resolver {
		differ("its resolver configuration is of %s", sandbox.resolver)
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		switch {
		case manifests.IsSidecar(c) && b.blocked(c) && (!sandbox.done[c.Name] || !snapshot.State.Initialized):
			for _, later := range slices.Concat(p.Spec.InitContainers[i+1:], p.Spec.Containers) {
				out[later.Name] = false // what began before an edit blocked this one goes on
			}
			return out
		case manifests.IsSidecar(c):
			if !b.blocked(c) {
				out[c.Name] = true
			}
		case sandbox.done[c.Name]:
		case !b.stale[uid].IsZero() && believed(&snapshot.State, c.Name): // the record was of an earlier set-up
		case b.blocked(c):
			return out
		default:
			differ("init container %s has not done its work", c.Name)
		}
	}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		t := statusOf(snapshot.Pod, c.Name).State.Terminated
		switch {
		case b.blocked(c):
		case t != nil && p.Spec.RestartPolicy == v1.RestartPolicyNever:
		case t != nil && t.ExitCode == 0 && p.Spec.RestartPolicy == v1.RestartPolicyOnFailure && !b.condemned(uid, statusOf(snapshot.Pod, c.Name)):
		case c.Name == "task" && p.Spec.RestartPolicy != v1.RestartPolicyAlways:
			differ("the task has not ended")
		default:
			out[c.Name] = true
		}
	}
	return out
}

// stops: the pod wants to be stopped for kills for memory, and that was told of it. b.mu is held.
func (b *box) stops(p *v1.Pod) bool {
	_, ok := manifests.OOMStopOf(p)
	return ok && b.stopped[string(p.UID)]
}

// anotherHas says whether a pod that is wanted has the host port. b.mu is held.
func (s *script) anotherHas(uid string, port int32) bool {
	for other, ports := range s.box.daemon.ports {
		if other != uid && ports[port] && s.wanted[other] != nil {
			return true
		}
	}
	return false
}

// blocked: the container's image cannot be had.
func (b *box) blocked(c *v1.Container) bool {
	return !b.images[c.Image] && (c.ImagePullPolicy == v1.PullNever || !b.registry[c.Image])
}

// recordDiffers compares the record on the disk with the state. b.mu is held.
func (b *box) recordDiffers(uid string, snapshot *pod.Snapshot) []string {
	s := snapshot.State
	if !s.Anything() {
		return nil
	}
	want, err := s.Encode()
	if err != nil {
		return []string{uid + ": " + err.Error()}
	}
	if string(b.disk.written[uid]) != string(want) || string(b.disk.synced[uid]) != string(want) {
		return []string{fmt.Sprintf("%s: the record is not the state:\n%s\n%s", uid, b.disk.written[uid], want)}
	}
	return nil
}

// left is what nobody wants, and what is left of nothing.
func (s *script) left() (out []string) {
	b := s.box
	workers, _, _ := b.daemon.owner.Longest()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(b.containers)) {
		if c := b.containers[id]; c.status != state.FoundRunning {
			out = append(out, fmt.Sprintf("container %s/%s %.6s is left (%v)", c.uid, c.name, c.id, c.status))
		} else if s.wanted[c.uid] == nil {
			out = append(out, fmt.Sprintf("container %s/%s %.6s runs for nobody", c.uid, c.name, c.id))
		}
	}
	for uid, ports := range b.daemon.ports {
		for port := range ports {
			if p := s.standing(uid); p == nil || !portsOf(p)[port] {
				out = append(out, fmt.Sprintf("%s still has port %d", uid, port))
			}
		}
	}
	for uid, name := range b.daemon.names {
		if s.wanted[uid] == nil {
			out = append(out, fmt.Sprintf("%s still has the name %s", uid, name))
		}
	}
	for key, on := range b.daemon.active {
		if uid := key[:len(podUID(0))]; on && s.wanted[uid] == nil {
			out = append(out, "an effect still runs: "+key)
		}
	}
	if workers != len(s.wanted) {
		out = append(out, fmt.Sprintf("there are %d workers for %d pods", workers, len(s.wanted)))
	}
	return out
}

// believed: the daemon takes an init container's work for done.
func believed(s *state.State, name string) bool {
	c := s.Containers[name]
	return s.Initialized || c != nil && c.Ended != nil && c.Ended.ExitCode == 0 && !c.Replaced && c.Revision == s.Revisions.Containers[name]
}

// condemned: the container that has ended got its stop signal for a probe or its hook. b.mu is held.
func (b *box) condemned(uid string, c v1.ContainerStatus) bool {
	last := b.history(uid, c.Name).last
	return last != nil && last.condemned && c.State.Terminated != nil && strings.HasSuffix(c.State.Terminated.ContainerID, last.id)
}
