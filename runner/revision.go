package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	return hash(map[string]any{
		"qos": cgroup.QOSClass(pod), "oomGroup": pod.Annotations[manifests.OOMGroupAnnotation],
		"uid": pod.UID, "namespace": pod.Namespace, "name": pod.Name,
		"volumes": spec.Volumes, "hostNetwork": spec.HostNetwork, "hostname": spec.Hostname,
		"dnsPolicy": spec.DNSPolicy, "dnsConfig": spec.DNSConfig, "securityContext": spec.SecurityContext,
		"ports": podPorts(pod), "priorityClassName": spec.PriorityClassName, "priority": spec.Priority,
	})
}

// containerRevision identifies a container's own part. The pod's identity defaults are in the shared revision.
func containerRevision(c *v1.Container) string { return hash(c) }

func hash(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "" // types of the Kubernetes API always encode
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// planned is the desired pod in plan's terms.
func planned(pod *v1.Pod) *plan.Desired {
	d := &plan.Desired{
		SharedRevision: sharedRevision(pod),
		RestartPolicy:  pod.Spec.RestartPolicy,
		Grace:          graceOf(pod),
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		d.Containers = append(d.Containers, plan.Container{Name: c.Name, Revision: containerRevision(c)})
	}
	return d
}

// minimumGrace is the kubelet's: even a grace period of zero leaves a moment to end in order.
const minimumGrace = 2 * time.Second

func graceOf(pod *v1.Pod) time.Duration {
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		return v1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return max(time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second, minimumGrace)
}

func containerOf(pod *v1.Pod, name string) *v1.Container {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return &pod.Spec.Containers[i]
		}
	}
	return nil
}
