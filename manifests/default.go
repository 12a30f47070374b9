package manifests

import (
	"crypto/sha1"
	"fmt"
	"maps"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// SetDefaults fills in what the API server would (Kubernetes, pkg/apis/core/v1/defaults.go), and the pod's UID.
func SetDefaults(pod *v1.Pod) {
	SetNamespace(pod)
	if pod.UID == "" {
		pod.UID = DeriveUID(pod.Namespace, pod.Name)
	}
	spec := &pod.Spec
	setDefault(&spec.RestartPolicy, v1.RestartPolicyAlways)
	setDefault(&spec.DNSPolicy, v1.DNSClusterFirst)
	setDefault(&spec.SchedulerName, v1.DefaultSchedulerName)
	setDefaultPtr(&spec.TerminationGracePeriodSeconds, int64(v1.DefaultTerminationGracePeriodSeconds))
	setDefaultPtr(&spec.EnableServiceLinks, v1.DefaultEnableServiceLinks)
	if spec.SecurityContext == nil {
		spec.SecurityContext = &v1.PodSecurityContext{}
	}
	defaultAppArmor(pod)
	for i := range spec.Volumes {
		defaultVolume(&spec.Volumes[i])
	}
	for _, c := range AllContainers(pod) {
		defaultContainer(c, spec.HostNetwork)
	}
	defaultPodRequests(pod)
}

// defaultPodRequests gives a pod that has limits of its own the requests that it leaves out: those of its containers, and
// where they have none its limit (KEP-2837). Of huge pages a request is always the limit.
func defaultPodRequests(pod *v1.Pod) {
	r := pod.Spec.Resources
	if r == nil || len(r.Limits) == 0 {
		return
	}
	requests := v1.ResourceList{}
	for name, limit := range r.Limits {
		requests[name] = limit.DeepCopy()
	}
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
		if q, _ := demandOfContainers(pod, name, requestsOf); !q.IsZero() {
			requests[name] = q
		}
	}
	maps.Copy(requests, r.Requests)
	r.Requests = requests
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func setDefaultPtr[T any](field **T, value T) {
	if *field == nil {
		*field = ptr.To(value)
	}
}

func defaultVolume(v *v1.Volume) {
	if v.VolumeSource == (v1.VolumeSource{}) {
		v.EmptyDir = &v1.EmptyDirVolumeSource{} // as the API server does for a volume without a source
	}
	switch {
	case v.HostPath != nil:
		setDefaultPtr(&v.HostPath.Type, v1.HostPathUnset)
	case v.ConfigMap != nil:
		setDefaultPtr(&v.ConfigMap.DefaultMode, v1.ConfigMapVolumeSourceDefaultMode)
	case v.Secret != nil:
		setDefaultPtr(&v.Secret.DefaultMode, v1.SecretVolumeSourceDefaultMode)
	case v.DownwardAPI != nil:
		setDefaultPtr(&v.DownwardAPI.DefaultMode, v1.DownwardAPIVolumeSourceDefaultMode)
	case v.Projected != nil:
		setDefaultPtr(&v.Projected.DefaultMode, v1.ProjectedVolumeSourceDefaultMode)
	case v.Image != nil:
		defaultPullPolicy(&v.Image.PullPolicy, v.Image.Reference)
	}
}

func defaultContainer(c *v1.Container, hostNetwork bool) {
	defaultPullPolicy(&c.ImagePullPolicy, c.Image)
	setDefault(&c.TerminationMessagePath, v1.TerminationMessagePathDefault)
	setDefault(&c.TerminationMessagePolicy, v1.TerminationMessageReadFile)
	for i := range c.Ports {
		setDefault(&c.Ports[i].Protocol, v1.ProtocolTCP)
		if hostNetwork {
			setDefault(&c.Ports[i].HostPort, c.Ports[i].ContainerPort)
		}
	}
	for name, limit := range c.Resources.Limits {
		if _, ok := c.Resources.Requests[name]; !ok {
			if c.Resources.Requests == nil {
				c.Resources.Requests = v1.ResourceList{}
			}
			c.Resources.Requests[name] = limit.DeepCopy()
		}
	}
	for _, p := range []*v1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil {
			defaultProbe(p)
		}
	}
	if l := c.Lifecycle; l != nil {
		for _, h := range []*v1.LifecycleHandler{l.PostStart, l.PreStop} {
			if h != nil && h.HTTPGet != nil {
				defaultHTTP(h.HTTPGet)
			}
		}
	}
}

func defaultPullPolicy(policy *v1.PullPolicy, image string) {
	if *policy != "" {
		return
	}
	*policy = v1.PullIfNotPresent
	if imageTag(image) == "latest" {
		*policy = v1.PullAlways
	}
}

func defaultProbe(p *v1.Probe) {
	setDefault(&p.TimeoutSeconds, 1)
	setDefault(&p.PeriodSeconds, 10)
	setDefault(&p.SuccessThreshold, 1)
	setDefault(&p.FailureThreshold, 3)
	if p.HTTPGet != nil {
		defaultHTTP(p.HTTPGet)
	}
	if p.GRPC != nil {
		setDefaultPtr(&p.GRPC.Service, "")
	}
}

func defaultHTTP(a *v1.HTTPGetAction) {
	setDefault(&a.Path, "/")
	setDefault(&a.Scheme, v1.URISchemeHTTP)
}

// imageTag returns the tag of an image reference: latest when there is neither a tag nor a digest.
func imageTag(image string) string {
	if strings.Contains(image, "@") {
		return ""
	}
	last := image[strings.LastIndex(image, "/")+1:]
	if _, tag, ok := strings.Cut(last, ":"); ok {
		return tag
	}
	return "latest"
}

// DeriveUID makes a pod's UID from its name, in the form of a name-based UUID (RFC 9562, version 5), so that it stays
// the same over edits and reboots.
func DeriveUID(namespace, name string) types.UID {
	sum := sha1.Sum([]byte("solopod pod " + namespace + "/" + name))
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x50
	b[8] = b[8]&0x3f | 0x80
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}
