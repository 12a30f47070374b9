package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/plan"
)

// sharedRevision identifies what all containers of a pod share: a change of it makes the pod anew. What can change
// without that is left out: containers, labels, the grace period, the restart policy and fields without effect.
func sharedRevision(pod *v1.Pod) string {
	spec := &pod.Spec
	shared := map[string]any{
		"qos": cgroup.QOSClass(pod), "oomGroup": pod.Annotations[manifests.OOMGroupAnnotation],
		"uid": pod.UID, "namespace": pod.Namespace, "name": pod.Name,
		"volumes": spec.Volumes, "initContainers": initRevisions(pod), "hostNetwork": spec.HostNetwork, "hostname": spec.Hostname, "subdomain": spec.Subdomain,
		"hostnameAsFQDN": spec.SetHostnameAsFQDN, "hostnameOverride": spec.HostnameOverride, "hostAliases": spec.HostAliases,
		"dnsPolicy": spec.DNSPolicy, "dnsConfig": spec.DNSConfig, "securityContext": spec.SecurityContext,
		"runtimeClass": spec.RuntimeClassName, "shareProcesses": spec.ShareProcessNamespace, "hostPID": spec.HostPID, "hostIPC": spec.HostIPC,
		"ports": podPorts(pod), "devices": deviceAnnotations(pod), "priorityClassName": spec.PriorityClassName, "priority": spec.Priority,
	}
	if manifests.OwnUsers(pod) {
		shared["hostUsers"] = false
	}
	return hash(shared)
}

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
			out = append(out, containerRevision(c))
		}
	}
	return out
}

// containerRevision identifies a container's own part, but for what can change while it runs. The pod's identity defaults are
// in the shared revision.
func containerRevision(c *v1.Container) string {
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
	return hash([]any{fixed, limited})
}

// resourceRevision identifies what of a container can change while it runs.
func resourceRevision(c *v1.Container) string {
	var out []any
	for _, name := range resizable(c) {
		out = append(out, c.Resources.Requests[name], c.Resources.Limits[name])
	}
	return hash(out)
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

func hash(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "" // types of the Kubernetes API always encode
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// planned is the pod of the record, which is the desired one once the manifests have spoken, in plan's terms.
func (w *worker) planned() *plan.Desired {
	pod := w.rec.Pod
	d := &plan.Desired{
		SharedRevision: sharedRevision(pod),
		RestartPolicy:  pod.Spec.RestartPolicy,
		Grace:          graceOf(pod),

		ContentRevision: w.content,
	}
	if s := pod.Spec.ActiveDeadlineSeconds; s != nil {
		d.ActiveDeadline = time.Duration(*s) * time.Second
	}
	for i := range pod.Spec.InitContainers {
		c := w.plannedContainer(&pod.Spec.InitContainers[i])
		c.Sidecar = manifests.IsSidecar(&pod.Spec.InitContainers[i])
		d.InitContainers = append(d.InitContainers, c)
	}
	for i := range pod.Spec.Containers {
		d.Containers = append(d.Containers, w.plannedContainer(&pod.Spec.Containers[i]))
	}
	return d
}

func (w *worker) plannedContainer(c *v1.Container) plan.Container {
	out := plan.Container{Name: c.Name, Revision: w.revisionOf(c), Resources: resourceRevision(c)}
	if c.RestartPolicy != nil {
		out.RestartPolicy = *c.RestartPolicy
	}
	for _, r := range c.RestartPolicyRules {
		rule := plan.RestartRule{All: r.Action == v1.ContainerRestartRuleActionRestartAllContainers}
		if r.ExitCodes != nil {
			rule.NotIn, rule.Codes = r.ExitCodes.Operator == v1.ContainerRestartRuleOnExitCodesOpNotIn, r.ExitCodes.Values
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

func graceOf(pod *v1.Pod) time.Duration {
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		return v1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return max(time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second, plan.MinimumGrace)
}

func containerOf(pod *v1.Pod, name string) *v1.Container {
	for _, c := range manifests.AllContainers(pod) {
		if c.Name == name {
			return c
		}
	}
	return nil
}
