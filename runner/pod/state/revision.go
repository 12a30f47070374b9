package state

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/reference"
)

// Revisions identify the parts of a pod's manifest.
type Revisions struct {
	// Shared is everything that all containers share.
	Shared string
	// Containers and Resources are the containers' own parts: what cannot and what can change while they run.
	Containers, Resources map[string]string
	// Resized is what of the pod as a whole can change in place.
	Resized string
	// Manifest is all that the manifest says.
	Manifest string
}

// Revise returns the revisions of the pod as it is wanted.
func (s *State) Revise() Revisions {
	r := Revisions{
		Shared: sharedRevision(s.Pod), Containers: map[string]string{}, Resources: map[string]string{}, Resized: ResizedRevision(s.Pod),
		Manifest: ManifestRevision(s.Pod),
	}
	for _, c := range manifests.AllContainers(s.Pod) {
		r.Containers[c.Name], r.Resources[c.Name] = s.revisionOf(c), ResourceRevision(c)
	}
	return r
}

// sharedRevision identifies what all containers of a pod share: a change of it makes the pod anew. What can change
// without that is left out: containers, labels, the grace period, the restart policy and fields without effect.
func sharedRevision(pod *v1.Pod) string {
	spec := &pod.Spec
	shared := map[string]any{
		"qos": manifests.QOSClass(pod), "oomGroup": pod.Annotations[manifests.OOMGroupAnnotation],
		"uid": pod.UID, "namespace": pod.Namespace, "name": pod.Name,
		"volumes": spec.Volumes, "initContainers": initRevisions(pod), "hostNetwork": spec.HostNetwork, "hostname": spec.Hostname, "subdomain": spec.Subdomain,
		"hostnameAsFQDN": spec.SetHostnameAsFQDN, "hostnameOverride": spec.HostnameOverride, "hostAliases": spec.HostAliases,
		"dnsPolicy": spec.DNSPolicy, "dnsConfig": spec.DNSConfig, "securityContext": spec.SecurityContext,
		"runtimeClass": spec.RuntimeClassName, "shareProcesses": spec.ShareProcessNamespace, "hostPID": spec.HostPID, "hostIPC": spec.HostIPC,
		"ports": ForwardedPorts(pod), "devices": deviceAnnotations(pod), "priorityClassName": spec.PriorityClassName, "priority": spec.Priority,
	}
	if manifests.OwnUsers(pod) {
		shared["hostUsers"] = false
	}
	return Hash(shared)
}

// Replaces says whether an edit of a pod from one version to another makes a container of it, or all of them, begin anew.
func Replaces(from, to *v1.Pod) bool {
	if sharedRevision(from) != sharedRevision(to) || RestartsFor(from, to) || from.Annotations[manifests.RestartOnChangeAnnotation] != to.Annotations[manifests.RestartOnChangeAnnotation] {
		return true
	}
	was := map[string]string{}
	for _, c := range manifests.AllContainers(from) {
		was[c.Name] = ContainerRevision(c)
	}
	all := manifests.AllContainers(to)
	for _, c := range all {
		if was[c.Name] != ContainerRevision(c) {
			return true
		}
	}
	return len(all) != len(was)
}

// Replaced says what of a pod an edit from one version to another makes begin anew: the pod as a whole, or containers of it by name, without
// init containers, which only run again with the pod. What is read only when it begins, as a ConfigMap of its environment, is not looked at.
func Replaced(from, to *v1.Pod) (whole bool, containers []string) {
	if sharedRevision(from) != sharedRevision(to) {
		return true, nil
	}
	all, was := RestartsFor(from, to), map[string]string{}
	for _, c := range manifests.AllContainers(from) {
		was[c.Name] = ContainerRevision(c)
	}
	once := map[string]bool{}
	for i := range to.Spec.InitContainers {
		if c := &to.Spec.InitContainers[i]; !manifests.IsSidecar(c) {
			once[c.Name] = true
		}
	}
	for _, c := range manifests.AllContainers(to) {
		if !once[c.Name] && (all || was[c.Name] != ContainerRevision(c)) {
			containers = append(containers, c.Name)
		}
		delete(was, c.Name)
	}
	return false, append(containers, slices.Sorted(maps.Keys(was))...) // those that end
}

// RestartsFor says whether an edit of a pod from one version to another asks for a restart by its annotations. Those of a Deployment's
// template, or the like, do: in a cluster pods of a changed template are other pods, and charts (checksum/config) and kubectl rollout
// restart rely on it. Solopod's own annotations have meanings of their own.
func RestartsFor(from, to *v1.Pod) bool {
	owner := to.Annotations[manifests.OwnerAnnotation]
	if owner == "" || owner != from.Annotations[manifests.OwnerAnnotation] || strings.HasPrefix(owner, "job/") {
		return false
	}
	foreign := func(pod *v1.Pod) map[string]string {
		out := map[string]string{}
		for key, value := range pod.Annotations {
			if !strings.HasPrefix(key, "solopod.io/") {
				out[key] = value
			}
		}
		return out
	}
	return !maps.Equal(foreign(from), foreign(to))
}

// ManifestRevision identifies all that a pod's manifest says.
func ManifestRevision(pod *v1.Pod) string { return Hash([]any{pod.ObjectMeta, pod.Spec}) }

// deviceAnnotations name the pod's CDI devices.
func deviceAnnotations(pod *v1.Pod) map[string]string {
	out := map[string]string{}
	for key, value := range pod.Annotations {
		if strings.HasPrefix(key, "cdi.k8s.io/") {
			out[key] = value
		}
	}
	return out
}

// initRevisions: init containers belong to what containers share, but for sidecars, which are replaced alone.
func initRevisions(pod *v1.Pod) []string {
	var out []string
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; manifests.IsSidecar(c) {
			out = append(out, c.Name)
		} else {
			out = append(out, ContainerRevision(c))
		}
	}
	return out
}

// ContainerRevision identifies a container's own part, but for what can change while it runs. The pod's identity defaults are
// in the shared revision.
func ContainerRevision(c *v1.Container) string {
	fixed := c.DeepCopy()
	limited := map[v1.ResourceName]bool{}
	for _, name := range resizable(c) {
		_, limited[name] = c.Resources.Limits[name] // a limit that goes cannot be taken back from a process
		delete(fixed.Resources.Limits, name)
		delete(fixed.Resources.Requests, name)
	}
	if len(fixed.Resources.Limits)+len(fixed.Resources.Requests) == 0 {
		fixed.Resources = v1.ResourceRequirements{}
	}
	return Hash([]any{fixed, limited})
}

// ResourceRevision identifies what of a container can change while it runs.
func ResourceRevision(c *v1.Container) string {
	var out []any
	for _, name := range resizable(c) {
		out = append(out, c.Resources.Requests[name], c.Resources.Limits[name])
	}
	return Hash(out)
}

// resizable are the resources whose change needs no restart; resizePolicy can demand one.
func resizable(c *v1.Container) []v1.ResourceName {
	var out []v1.ResourceName
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
		if !slices.ContainsFunc(c.ResizePolicy, func(p v1.ContainerResizePolicy) bool {
			return p.ResourceName == name && p.RestartPolicy == v1.RestartContainer
		}) {
			out = append(out, name)
		}
	}
	return out
}

// ResizedRevision identifies what of the pod as a whole can change in place; nil has none.
func ResizedRevision(pod *v1.Pod) string {
	if pod == nil {
		return ""
	}
	return Hash([]any{pod.Spec.Resources, pod.Spec.Overhead})
}

// revisionOf identifies a container's own part of the manifest and, where the pod asks to be restarted when they change, the
// objects that it uses. While one of these is missing the revision stays what it was.
func (s *State) revisionOf(c *v1.Container) string {
	revision := ContainerRevision(c)
	choice := s.Pod.Annotations[manifests.RestartOnChangeAnnotation]
	if choice == "" {
		return revision
	}
	var used []any
	for _, u := range reference.Uses(s.Pod) {
		if u.Environment && u.Container != c.Name || !u.Environment && choice != manifests.RestartOnAnyChange {
			continue
		}
		var data any
		if secret := s.Objects.Secrets[u.Name]; u.Secret && secret != nil {
			data = secret.Data
		} else if m := s.Objects.ConfigMaps[u.Name]; !u.Secret && m != nil {
			data = []any{m.Data, m.BinaryData}
		} else if known := s.Containers[c.Name]; !u.Optional && known != nil && strings.HasPrefix(known.Revision, revision+".") {
			return known.Revision
		}
		used = append(used, u, data)
	}
	if known := s.Containers[c.Name]; known != nil {
		if of, ok := strings.CutPrefix(known.Revision, revision+"."); ok && withoutKey(of, used) {
			return known.Revision
		}
	}
	return revision + "." + keyedHash(s.Host.RevisionKey, used)
}

// Inputs are what the pod's references are resolved against, but for files of its volumes.
func (s *State) Inputs(pod *v1.Pod) *reference.Inputs {
	resolved := *pod
	resolved.Spec.NodeName = s.Host.Node
	resolved.Status = v1.PodStatus{}
	Addresses(s, &resolved.Status)
	return &reference.Inputs{Pod: &resolved, Objects: s.Objects, Node: s.Host.Capacity}
}

// Addresses fills in the machine's addresses and the pod's.
func Addresses(s *State, status *v1.PodStatus) {
	status.HostIP = s.Host.IP()
	for _, ip := range s.Host.IPs {
		status.HostIPs = append(status.HostIPs, v1.HostIP{IP: ip})
	}
	if s.Network == nil {
		return
	}
	for _, ip := range s.Network.IPs {
		status.PodIPs = append(status.PodIPs, v1.PodIP{IP: ip})
	}
	if len(status.PodIPs) > 0 {
		status.PodIP = status.PodIPs[0].IP
	}
}

// WantedContent identifies what the pod's filled volumes should show. While something that they need is missing they keep
// what they have.
func (s *State) WantedContent() string {
	var all []any
	in := s.Inputs(s.Pod)
	for i := range s.Pod.Spec.Volumes {
		v := &s.Pod.Spec.Volumes[i]
		if !reference.Fills(v) {
			continue
		}
		files, err := in.Files(v)
		if err != nil {
			return s.Content
		}
		all = append(all, v.Name, files)
	}
	if len(all) == 0 {
		return ""
	}
	if withoutKey(s.Content, all) {
		return s.Content
	}
	return keyedHash(s.Host.RevisionKey, all)
}

// withoutKey says whether a value is the same as when a hash of it was made without a key: by an earlier version of Solopod, or while the
// disk took no key.
func withoutKey(hash string, v any) bool { return hash == Hash(v) || hash == keyedHash("", v) }

// keyedHash identifies a value that may have values of Secrets. It stands in records and labels: without the key nobody can try there
// which value a short one has.
func keyedHash(key string, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "" // types of the Kubernetes API always encode
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(data)
	return "k" + hex.EncodeToString(mac.Sum(nil)[:8])
}

// Hash identifies a value by its form in JSON.
func Hash(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "" // types of the Kubernetes API always encode
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// GraceOf is a pod's termination grace period.
func GraceOf(pod *v1.Pod) time.Duration {
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		return v1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return max(time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second, MinimumGrace)
}

// HostPorts are all ports of the host that the pod's containers name. One that an init container names too leads to the container that
// comes after it.
func HostPorts(pod *v1.Pod) []Port {
	var out []Port
	for _, c := range manifests.AllContainers(pod) {
		for _, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			port := Port{HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: string(p.Protocol), HostIP: p.HostIP}
			same := slices.IndexFunc(out, func(o Port) bool {
				return o.HostPort == port.HostPort && o.Protocol == port.Protocol && o.HostIP == port.HostIP
			})
			if same < 0 {
				out = append(out, port)
			} else {
				out[same] = port
			}
		}
	}
	return out
}

// ForwardedPorts are the host ports that must be forwarded; with the host's network there is nothing to forward.
func ForwardedPorts(pod *v1.Pod) []Port {
	if pod.Spec.HostNetwork {
		return nil
	}
	return HostPorts(pod)
}
