package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/network/isolate"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/resolver"
)

// Attach connects the pod to the network, and fills in the files that name things. The addresses of a pod with the host's network are the
// machine's, and not known here.
func (s *Sandboxes) Attach(ctx context.Context, w plan.Attach) state.Attached {
	var a network.Attachment
	if !w.Pod.Spec.HostNetwork {
		if problem := listens(ctx, &s.listeners, w.Pod); problem.Failed() {
			return state.Attached{Problem: problem} // since the claim; volumes may have taken minutes
		}
		var err error
		if a, err = s.Network.Attach(ctx, s.networkPod(w.Pod)); err != nil {
			return state.Attached{Problem: state.Problem{Message: "cannot connect the pod to the network: " + err.Error()}}
		}
	}
	found, err := s.writeFiles(ctx, w.Pod, a.IPs)
	if err != nil {
		return state.Attached{Problem: state.Problem{Message: err.Error()}}
	}
	if lacks := found.Lacks(w.Pod); lacks != "" {
		s.Warn(w.Pod, "NoNameserver", lacks)
	}
	if omitted := found.Omitted(w.Pod); omitted != "" {
		s.Warn(w.Pod, "DNSConfigForming", omitted) // as the kubelet
	}
	out := state.Attached{Attachment: state.Attachment{IPs: a.IPs, ByCNI: a.ByCNI}, Resolver: w.Resolver}
	for _, p := range a.Ports {
		out.Attachment.Ports = append(out.Attachment.Ports, state.Port(p))
	}
	return out
}

func (s *Sandboxes) networkPod(pod *v1.Pod) network.Pod {
	p := network.Pod{UID: string(pod.UID), Namespace: pod.Namespace, Name: pod.Name, Labels: pod.Labels, Named: isolate.PodOf(pod).Ports}
	if !pod.Spec.HostNetwork {
		p.Netns = s.Dirs.NetworkNamespace(string(pod.UID))
	}
	for _, port := range state.ForwardedPorts(pod) {
		p.Ports = append(p.Ports, network.Port(port))
	}
	return p
}

// writeFiles writes what containers see as /etc/hosts, /etc/hostname and /etc/resolv.conf. The files exist since the
// set-up, so that they could be bound before the address was known: they are filled in place.
func (s *Sandboxes) writeFiles(ctx context.Context, pod *v1.Pod, ips []string) (resolver.Found, error) {
	dir := s.files(pod).dir()
	contents, found := s.contents(ctx, pod, ips)
	for name, content := range contents {
		if err := fill(filepath.Join(dir, name), content, 0); err != nil {
			return found, err
		}
	}
	return found, fill(s.files(pod).inState(writtenResolvConf), contents[resolvConf], os.O_CREATE)
}

// contents are what is in the files, by their names, and the machine's resolver configuration of which they were made.
func (s *Sandboxes) contents(ctx context.Context, pod *v1.Pod, ips []string) (map[string]string, resolver.Found) {
	hosts := network.HostHosts()
	if !pod.Spec.HostNetwork {
		hosts = network.HostsFile(s.Hostname(pod), manifests.DomainName(pod, s.ClusterDomain), ips)
	}
	hosts += network.HostAliases(pod.Spec.HostAliases)
	found := s.Resolver.Read(ctx)
	return map[string]string{"hosts": hosts, "hostname": s.Hostname(pod) + "\n", resolvConf: found.For(pod)}, found
}

// The pod's resolver configuration, and copies of it: as Solopod wrote it last, and as it was about to write it. What is neither a
// container has changed, and it is the container's own.
const (
	resolvConf        = "resolv.conf"
	writtenResolvConf = "resolv.conf.written"
	nextResolvConf    = "resolv.conf.next"
)

// mostResolvConf bounds what is read of the pod's resolver configuration, which containers can write, in bytes.
const mostResolvConf = 1 << 20

// ShowResolver gives the pod's resolver configuration the content that follows from the machine's, unless a container has changed it. What
// is not known of the machine's changes nothing.
func (s *Sandboxes) ShowResolver(ctx context.Context, w plan.ShowResolver) state.ResolverShown {
	shown := state.ResolverShown{Resolver: w.Resolver}
	found := s.Resolver.Read(ctx)
	if !found.Known() {
		return shown
	}
	if err := s.showResolver(ctx, w.Pod, found.For(w.Pod)); err != nil {
		shown.Problem = state.Problem{Message: err.Error()}
	}
	return shown
}

func (s *Sandboxes) showResolver(ctx context.Context, pod *v1.Pod, content string) error {
	paths := []string{filepath.Join(s.files(pod).dir(), resolvConf)}
	if old := s.files(pod).inState(resolvConf); old != paths[0] && exists(old) { // what has begun under an earlier version sees that
		paths = append(paths, old)
	}
	replaced := map[string]int{} // path -> bytes that it has
	written, err := foreign.ReadFile(filepath.Join(s.Dirs.StateDir(string(pod.UID)), writtenResolvConf), mostResolvConf)
	stale := err != nil || string(written) != content
	for _, path := range paths {
		has, err := foreign.ReadFile(path, mostResolvConf)
		switch {
		case errors.Is(err, foreign.ErrTooLarge), err == nil && string(has) != content && !wroteResolver(s.Dirs.StateDir(string(pod.UID)), has):
			slog.Info("a container has changed the pod's resolv.conf; it keeps that", "pod", manifests.Key(pod))
		case err != nil:
			return err
		case string(has) == content:
			replaced[path] = -1
		default:
			replaced[path], stale = len(has), true
		}
	}
	if len(replaced) == 0 || !stale { // each start asks for what is there already: that needs no room on a disk
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// It is noted first: one that is killed in between would take its own for a container's.
	if err := fill(s.files(pod).inState(nextResolvConf), content, os.O_CREATE); err != nil {
		return err
	}
	var errs []error
	for path, old := range replaced {
		if old >= 0 {
			errs = append(errs, replace(path, content, old))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return fill(s.files(pod).inState(writtenResolvConf), content, os.O_CREATE)
}

// wroteResolver says whether Solopod wrote what the pod's resolver configuration has. replace may have been cut off before the end, behind
// blank lines; a pod of earlier versions has no copies.
func wroteResolver(dir string, has []byte) bool {
	none := true
	for _, name := range []string{writtenResolvConf, nextResolvConf} {
		copied, err := foreign.ReadFile(filepath.Join(dir, name), mostResolvConf)
		if err == nil && strings.TrimRight(string(copied), "\n") == strings.TrimRight(string(has), "\n") {
			return true
		}
		none = none && errors.Is(err, os.ErrNotExist)
	}
	return none
}

// replace writes a file in place that may be read meanwhile, in one write: blank lines cover what the old content has more.
func replace(path, content string, old int) error {
	f, err := foreign.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content + strings.Repeat("\n", max(old-len(content), 0)))
	return errors.Join(err, f.Truncate(int64(len(content))), f.Close())
}

// fill writes a file in place: it is bound by its inode, and containers may write it.
func fill(path, content string, flags int) error {
	f, err := foreign.OpenFile(path, flags|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}
