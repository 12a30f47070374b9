package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
)

// The images of the box. Late ones can be pulled, or come, in the course of time; the absent one never.
const (
	imagePresent = "present:1"
	imagePulled  = "pulled:1"
	imageLate    = "late:1"
	imageAbsent  = "absent:1"
)

func podUID(i int) string { return fmt.Sprintf("uid-%c", 'a'+i) }

// twinUID is the UID of the other pod of the same name: a manifest's metadata.uid may change.
func twinUID(uid string) string {
	last := len(uid) - 1
	return uid[:last] + string(rune(uid[last]^0x20)) // the letter in its other case
}

func newPod(r *rand.Rand, i int) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%c", 'a'+i), Namespace: "default", UID: types.UID(podUID(i))},
		Spec: v1.PodSpec{
			RestartPolicy: v1.RestartPolicyAlways, TerminationGracePeriodSeconds: ptr.To([]int64{0, 5, 30}[r.IntN(3)]),
			Containers: []v1.Container{newContainer(r, "main")},
		},
	}
	if r.IntN(4) == 0 {
		p.Spec.RestartPolicy = []v1.RestartPolicy{v1.RestartPolicyOnFailure, v1.RestartPolicyNever}[r.IntN(2)]
		if r.IntN(2) == 0 {
			p.Spec.Containers[0].Name = "task"
		}
		if r.IntN(2) == 0 {
			p.Spec.Containers[0].LivenessProbe = &v1.Probe{PeriodSeconds: int32(5 + r.IntN(10)), FailureThreshold: 1, SuccessThreshold: 1}
		}
	}
	if r.IntN(3) == 0 {
		p.Spec.Containers = append(p.Spec.Containers, newContainer(r, "beside"))
	}
	for _, name := range []string{"prepare", "migrate"} {
		if r.IntN(4) == 0 {
			p.Spec.InitContainers = append(p.Spec.InitContainers, newInit(r, name, false))
		}
		if r.IntN(4) == 0 {
			p.Spec.InitContainers = append(p.Spec.InitContainers, newInit(r, name+"-car", true))
		}
	}
	if r.IntN(3) == 0 {
		p.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: 8080, Protocol: v1.ProtocolTCP}}
	}
	p.Spec.HostNetwork = r.IntN(5) == 0 && len(p.Spec.Containers[0].Ports) == 0 // whose ports are its own affair
	if r.IntN(8) == 0 {
		limit := resource.MustParse("1Gi")
		p.Spec.Volumes = []v1.Volume{{Name: "scratch", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: &limit}}}}
	}
	return p
}

// chooseOOM has some pods say what a kill for memory means.
func chooseOOM(r *rand.Rand, p *v1.Pod) {
	switch r.IntN(6) {
	case 0:
		p.Annotations = map[string]string{manifests.OOMActionAnnotation: manifests.OOMRestartsPod}
	case 1:
		p.Annotations = map[string]string{manifests.OOMActionAnnotation: manifests.OOMStopsPod, manifests.OOMStopAfterAnnotation: "1/1m"}
	}
}

func newInit(r *rand.Rand, name string, sidecar bool) v1.Container {
	c := newContainer(r, name)
	if sidecar {
		c.RestartPolicy = ptr.To(v1.ContainerRestartPolicyAlways)
	} else {
		c.LivenessProbe, c.ReadinessProbe, c.StartupProbe, c.Lifecycle = nil, nil, nil, nil
	}
	return c
}

func newContainer(r *rand.Rand, name string) v1.Container {
	c := v1.Container{Name: name, Image: imagePresent, ImagePullPolicy: v1.PullIfNotPresent}
	c.Image = anyImage(r)
	if r.IntN(12) == 0 {
		c.ImagePullPolicy = v1.PullNever
	}
	if r.IntN(4) == 0 {
		c.LivenessProbe = &v1.Probe{PeriodSeconds: int32(20 + r.IntN(40)), FailureThreshold: 2, SuccessThreshold: 1}
	}
	if r.IntN(4) == 0 {
		c.ReadinessProbe = &v1.Probe{PeriodSeconds: int32(20 + r.IntN(40)), FailureThreshold: 1, SuccessThreshold: 1}
	}
	if r.IntN(6) == 0 {
		c.StartupProbe = &v1.Probe{PeriodSeconds: 5, FailureThreshold: 3, SuccessThreshold: 1}
	}
	if r.IntN(5) == 0 {
		c.Lifecycle = &v1.Lifecycle{}
		hook := &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"true"}}}
		if r.IntN(2) == 0 {
			c.Lifecycle.PostStart = hook
		}
		if r.IntN(2) == 0 {
			c.Lifecycle.PreStop = hook
		}
	}
	if r.IntN(6) == 0 {
		field := []string{"status.hostIP", "status.hostIPs", "status.podIP"}[r.IntN(3)]
		c.Env = []v1.EnvVar{{Name: "ADDRESS", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: field}}}}
	}
	if r.IntN(6) == 0 {
		c.TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError
	}
	return c
}

func anyImage(r *rand.Rand) string {
	return []string{imagePresent, imagePresent, imagePresent, imagePresent, imagePulled, imagePulled, imageLate, imageAbsent}[r.IntN(8)]
}

// edit makes another version of a pod. dropped are containers whose history ends with it.
func edit(r *rand.Rand, old *v1.Pod, n int) (p *v1.Pod, what string) {
	p = old.DeepCopy()
	all := allContainers(p)
	c := all[r.IntN(len(all))]
	switch r.IntN(8) {
	case 0:
		p.Spec.Hostname = fmt.Sprintf("host-%d", n)
		return p, "the shared part"
	case 1:
		c.Image = anyImage(r)
		return p, "the image of " + c.Name + ": " + c.Image
	case 2:
		c.Resources.Requests = v1.ResourceList{v1.ResourceCPU: *resource.NewMilliQuantity(int64(10+n), resource.DecimalSI)}
		return p, "the resources of " + c.Name
	case 3:
		if i := slices.IndexFunc(p.Spec.InitContainers, func(c v1.Container) bool { return c.Name == "extra-car" }); i >= 0 {
			p.Spec.InitContainers = slices.Delete(p.Spec.InitContainers, i, i+1)
			return p, "drops a sidecar"
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, newInit(r, "extra-car", true))
		return p, "adds a sidecar"
	case 4:
		if i := slices.IndexFunc(p.Spec.Containers, func(c v1.Container) bool { return c.Name == "beside" }); i >= 0 {
			p.Spec.Containers = slices.Delete(p.Spec.Containers, i, i+1)
			return p, "drops a container"
		}
		p.Spec.Containers = append(p.Spec.Containers, newContainer(r, "beside"))
		return p, "adds a container"
	case 5:
		if len(p.Spec.Containers[0].Ports) > 0 || p.Spec.HostNetwork {
			p.Spec.Containers[0].Ports = nil
		} else {
			p.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: 8080, Protocol: v1.ProtocolTCP}}
		}
		return p, "the host port"
	default:
		c.Env = []v1.EnvVar{{Name: "N", Value: fmt.Sprint(n)}}
		return p, "the variables of " + c.Name
	}
}

func allContainers(p *v1.Pod) []*v1.Container {
	var out []*v1.Container
	for i := range p.Spec.InitContainers {
		out = append(out, &p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		out = append(out, &p.Spec.Containers[i])
	}
	return out
}
