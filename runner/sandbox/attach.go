package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"os"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// Attach connects the pod to the network, and fills in the files that name things.
func (s *Sandboxes) Attach(ctx context.Context, w plan.Attach) state.Attached {
	a := network.Attachment{IPs: []string{s.HostIP}}
	if !w.Pod.Spec.HostNetwork {
		var err error
		if a, err = s.Network.Attach(ctx, s.networkPod(w.Pod)); err != nil {
			return state.Attached{Problem: state.Problem{Message: "cannot connect the pod to the network: " + err.Error()}}
		}
	}
	if err := s.writeFiles(w.Pod, a.IPs); err != nil {
		return state.Attached{Problem: state.Problem{Message: err.Error()}}
	}
	out := state.Attached{Attachment: state.Attachment{IPs: a.IPs, ByCNI: a.ByCNI}}
	for _, p := range a.Ports {
		out.Attachment.Ports = append(out.Attachment.Ports, state.Port(p))
	}
	return out
}

func (s *Sandboxes) networkPod(pod *v1.Pod) network.Pod {
	p := network.Pod{UID: string(pod.UID), Namespace: pod.Namespace, Name: pod.Name}
	if !pod.Spec.HostNetwork {
		p.Netns = s.Dirs.NetworkNamespace(string(pod.UID))
	}
	for _, port := range state.ForwardedPorts(pod) {
		p.Ports = append(p.Ports, network.Port(port))
	}
	return p
}

// Files are what every container of a pod sees: path inside -> path on the host.
func (s *Sandboxes) Files(pod *v1.Pod) map[string]string {
	out := map[string]string{}
	for inside, name := range fileNames {
		out[inside] = s.file(pod, name)
	}
	return out
}

var fileNames = map[string]string{"/etc/hosts": "hosts", "/etc/hostname": "hostname", "/etc/resolv.conf": "resolv.conf"}

// writeFiles writes what containers see as /etc/hosts, /etc/hostname and /etc/resolv.conf. The files exist since the
// set-up, so that they could be bound before the address was known: they are filled in place.
func (s *Sandboxes) writeFiles(pod *v1.Pod, ips []string) error {
	hosts := network.HostHosts()
	if !pod.Spec.HostNetwork {
		hosts = network.HostsFile(s.Hostname(pod), s.domainName(pod), ips)
	}
	hosts += network.HostAliases(pod.Spec.HostAliases)
	resolv, err := network.HostResolvConf("/etc/resolv.conf")
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"hosts": hosts, "hostname": s.Hostname(pod) + "\n",
		"resolv.conf": network.ResolvConf(resolv, pod.Spec.DNSPolicy, pod.Spec.DNSConfig),
	} {
		if err := fill(s.file(pod, name), content); err != nil {
			return err
		}
	}
	return nil
}

// fill writes a file in place: it is bound by its inode, and containers may write it.
func fill(path, content string) error {
	f, err := foreign.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

// HasFiles says whether the files are there. What lies in the state directory can be lost while the mounts below it, as those of
// the namespaces, stay.
func (s *Sandboxes) HasFiles(pod *v1.Pod) bool {
	for _, name := range fileNames {
		f, err := foreign.Open(s.file(pod, name))
		if err != nil {
			return false
		}
		f.Close() //nolint:errcheck // only looked at
	}
	return true
}

// mendFiles makes files anew that were lost. What runs keeps what it has; its next attempt finds them.
func (s *Sandboxes) mendFiles(pod *v1.Pod, ips []string) error {
	if s.HasFiles(pod) {
		return nil
	}
	slog.Warn("files of a pod were lost from the state directory; they are made anew", "pod", manifests.Key(pod))
	return errors.Join(s.touchFiles(pod), s.writeFiles(pod, ips))
}

// touchFiles makes the files, empty.
func (s *Sandboxes) touchFiles(pod *v1.Pod) error {
	for _, name := range fileNames {
		f, err := foreign.OpenFile(s.file(pod, name), os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
