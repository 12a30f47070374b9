package objects

import (
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/monitor/exposition"
)

func podName(p *v1.Pod) []string {
	return []string{"namespace", p.Namespace, "pod", p.Name, "uid", string(p.UID)}
}

// podFamilies are kube-state-metrics' (docs/metrics/workload/pod-metrics.md), as those of containers.
var podFamilies = []exposition.Row[v1.Pod]{
	several("kube_pod_info", "Where the pod is, and what made it", []string{"host_ip", "pod_ip", "node", "created_by_kind", "created_by_name", "priority_class", "host_network"},
		func(p *v1.Pod, to *exposition.Samples) {
			by := metav1.OwnerReference{}
			for _, o := range podOwners(p) {
				if o.Controller != nil && *o.Controller {
					by = o
				}
			}
			network := "false"
			if p.Spec.HostNetwork {
				network = "true"
			}
			to.Add(1, p.Status.HostIP, p.Status.PodIP, p.Spec.NodeName, by.Kind, by.Name, p.Spec.PriorityClassName, network)
		}),
	several("kube_pod_ips", "The pod's addresses", []string{"ip", "ip_family"}, func(p *v1.Pod, to *exposition.Samples) {
		for _, ip := range p.Status.PodIPs {
			family := "4"
			if strings.Contains(ip.IP, ":") {
				family = "6"
			}
			to.Add(1, ip.IP, family)
		}
	}),
	created[v1.Pod]("kube_pod"),
	deleted[v1.Pod]("kube_pod"),
	owners("kube_pod", podOwners),
	moment("kube_pod_start_time", "When the pod was set up, in seconds since 1970", func(p *v1.Pod) *metav1.Time { return p.Status.StartTime }),
	moment("kube_pod_completion_time", "When the last container of a pod that is over ended, in seconds since 1970", completion),
	several("kube_pod_status_phase", "The pod's current phase", []string{"phase"}, func(p *v1.Pod, to *exposition.Samples) {
		for _, phase := range []v1.PodPhase{v1.PodPending, v1.PodRunning, v1.PodSucceeded, v1.PodFailed, v1.PodUnknown} {
			to.Add(oneIf(p.Status.Phase == phase), string(phase))
		}
	}),
	several("kube_pod_status_qos_class", "The pod's class of quality of service", []string{"qos_class"}, func(p *v1.Pod, to *exposition.Samples) {
		for _, class := range []v1.PodQOSClass{v1.PodQOSBestEffort, v1.PodQOSBurstable, v1.PodQOSGuaranteed} {
			if p.Status.QOSClass != "" {
				to.Add(oneIf(p.Status.QOSClass == class), string(class))
			}
		}
	}),
	podCondition("kube_pod_status_ready", "Whether the pod is ready to serve requests", v1.PodReady),
	podCondition("kube_pod_status_scheduled", "Whether the pod has its place, which it has from the beginning", v1.PodScheduled),
	conditionTime("kube_pod_status_ready_time", "Since when the pod has been ready, in seconds since 1970", v1.PodReady),
	conditionTime("kube_pod_status_initialized_time", "Since when the pod's init containers have been done, in seconds since 1970", v1.PodInitialized),
	conditionTime("kube_pod_status_container_ready_time", "Since when all of the pod's containers have been ready, in seconds since 1970", v1.ContainersReady),
	conditionTime("kube_pod_status_scheduled_time", "Since when the pod has had its place, in seconds since 1970", v1.PodScheduled),
	several("kube_pod_status_reason", "Why the pod as a whole is as it is", []string{"reason"}, func(p *v1.Pod, to *exposition.Samples) {
		if p.Status.Reason != "" {
			to.Add(1, p.Status.Reason)
		}
	}),
	several("kube_pod_restart_policy", "The pod's restart policy", []string{"type"}, func(p *v1.Pod, to *exposition.Samples) { to.Add(1, string(p.Spec.RestartPolicy)) }),
	several("kube_pod_runtimeclass_name_info", "The pod's runtime class, where it has one", []string{"runtimeclass_name"}, func(p *v1.Pod, to *exposition.Samples) {
		if p.Spec.RuntimeClassName != nil {
			to.Add(1, *p.Spec.RuntimeClassName)
		}
	}),
	several("kube_pod_spec_volumes_persistentvolumeclaims_info", "The claims that the pod uses", claimLabels, func(p *v1.Pod, to *exposition.Samples) {
		eachClaim(p, func(v *v1.Volume) { to.Add(1, v.Name, v.PersistentVolumeClaim.ClaimName, "") })
	}),
	several("kube_pod_spec_volumes_persistentvolumeclaims_readonly", "Whether the pod only reads the claims that it uses", claimLabels, func(p *v1.Pod, to *exposition.Samples) {
		eachClaim(p, func(v *v1.Volume) {
			to.Add(oneIf(v.PersistentVolumeClaim.ReadOnly), v.Name, v.PersistentVolumeClaim.ClaimName, "")
		})
	}),
}

var claimLabels = []string{"volume", "persistentvolumeclaim", "ephemeral"}

func eachClaim(p *v1.Pod, f func(*v1.Volume)) {
	for i := range p.Spec.Volumes {
		if v := &p.Spec.Volumes[i]; v.PersistentVolumeClaim != nil {
			f(v)
		}
	}
}

func conditionOf(p *v1.Pod, kind v1.PodConditionType) *v1.PodCondition {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

func podCondition(name, help string, kind v1.PodConditionType) exposition.Row[v1.Pod] {
	return several(name, help, []string{"condition"}, func(p *v1.Pod, to *exposition.Samples) {
		if c := conditionOf(p, kind); c != nil {
			addStatus(to, c.Status)
		}
	})
}

func conditionTime(name, help string, kind v1.PodConditionType) exposition.Row[v1.Pod] {
	return moment(name, help, func(p *v1.Pod) *metav1.Time {
		if c := conditionOf(p, kind); c != nil && c.Status == v1.ConditionTrue {
			return &c.LastTransitionTime
		}
		return nil
	})
}

// completion is when the last container of a pod ended that is over.
func completion(p *v1.Pod) (last *metav1.Time) {
	if p.Status.Phase != v1.PodSucceeded && p.Status.Phase != v1.PodFailed {
		return nil
	}
	for i := range p.Status.ContainerStatuses {
		if t := p.Status.ContainerStatuses[i].State.Terminated; t != nil && (last == nil || last.Before(&t.FinishedAt)) {
			last = &t.FinishedAt
		}
	}
	return last
}

// kinds are those of objects that pods are made from, by their names in the owner's annotation.
var kinds = map[string]string{
	"deployment": "Deployment", "replicaset": "ReplicaSet", "statefulset": "StatefulSet", "daemonset": "DaemonSet", "job": "Job", "cronjob": "CronJob",
}

// podOwners are what a pod was made from. That of a Deployment is told as one of a ReplicaSet, as in a cluster: the rules of others look
// for the ReplicaSet's owner (see replicaSets).
func podOwners(p *v1.Pod) []metav1.OwnerReference {
	out := p.OwnerReferences
	if kind, name, ok := strings.Cut(p.Annotations[manifests.OwnerAnnotation], "/"); ok && len(out) == 0 && kinds[kind] != "" { // of an earlier version
		out = []metav1.OwnerReference{{Kind: kinds[kind], Name: name, Controller: ptr.To(true)}}
	}
	if len(out) == 1 && out[0].Kind == "Deployment" {
		out = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: out[0].Name, Controller: out[0].Controller}}
	}
	return out
}
