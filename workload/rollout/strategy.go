package rollout

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/solopod/solopod/manifests"
)

// Strategy is how the pods of an object are replaced.
type Strategy struct {
	// Recreate: all old pods go before a new one begins.
	Recreate bool
	// InPlace: with Recreate, the only slot's pod is replaced where it stands, which ends its only container before the new one begins.
	InPlace bool
	// Surge is how many pods there may be beyond the slots, Unavailable how many slots may lack an available one.
	Surge, Unavailable int
	// Highest: the last slot is the first.
	Highest bool
	// Partition: slots before it keep what they have.
	Partition int
	// MinReady is how long a pod must be ready to be available.
	MinReady time.Duration
	// Deadline is how long a rollout may take without a step ahead; zero means for ever.
	Deadline time.Duration
	// Alone says why there are no surge pods though the object allows them; empty when there is no reason.
	Alone string
}

// OfDeployment is the Strategy of a defaulted Deployment. alone says why a pod cannot run beside another one, see Alone.
func OfDeployment(o *appsv1.Deployment, alone string) Strategy {
	s := Strategy{MinReady: seconds(o.Spec.MinReadySeconds), Deadline: seconds(*o.Spec.ProgressDeadlineSeconds)}
	if o.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		s.Recreate = true
		return s
	}
	r, n := o.Spec.Strategy.RollingUpdate, int(*o.Spec.Replicas)
	s.Surge, s.Unavailable = share(r.MaxSurge, n, true), share(r.MaxUnavailable, n, false)
	return s.possible(alone)
}

// OfStatefulSet is the Strategy of a defaulted StatefulSet. OnDelete is taken for RollingUpdate, which is said when the manifest is read.
func OfStatefulSet(o *appsv1.StatefulSet) Strategy {
	s := Strategy{Highest: true, Unavailable: 1, MinReady: seconds(o.Spec.MinReadySeconds)}
	if r := o.Spec.UpdateStrategy.RollingUpdate; r != nil {
		s.Unavailable = share(r.MaxUnavailable, int(*o.Spec.Replicas), true)
		s.Partition = int(*r.Partition)
		if o.Spec.Ordinals != nil { // it is an ordinal
			s.Partition = max(s.Partition-int(o.Spec.Ordinals.Start), 0)
		}
	}
	return s.possible("")
}

// OfDaemonSet is OfDeployment for a DaemonSet, which has one pod. OnDelete is taken for RollingUpdate.
func OfDaemonSet(o *appsv1.DaemonSet, alone string) Strategy {
	s := Strategy{Unavailable: 1, MinReady: seconds(o.Spec.MinReadySeconds)}
	if r := o.Spec.UpdateStrategy.RollingUpdate; r != nil {
		s.Surge, s.Unavailable = share(r.MaxSurge, 1, true), share(r.MaxUnavailable, 1, true)
	}
	return s.possible(alone)
}

// OfReplicaSet is OfDeployment for a ReplicaSet, whose pods are replaced at once.
func OfReplicaSet(o *appsv1.ReplicaSet) Strategy {
	return Strategy{Unavailable: int(*o.Spec.Replicas), MinReady: seconds(o.Spec.MinReadySeconds)}.possible("")
}

// possible is the strategy with what can be done: without surge pods where two pods cannot be beside each other, and with one pod at
// least that can be replaced, as the Deployment controller has it (ResolveFenceposts).
func (s Strategy) possible(alone string) Strategy {
	if alone != "" && s.Surge > 0 {
		s.Surge, s.Alone = 0, alone
	}
	if s.Surge == 0 {
		s.Unavailable = max(s.Unavailable, 1)
	}
	return s
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// share is a number of n pods; a percentage is rounded up or down.
func share(v *intstr.IntOrString, n int, up bool) int {
	scaled, err := intstr.GetScaledValueFromIntOrPercent(v, n, up)
	if err != nil {
		return 0 // validation has refused it
	}
	return max(scaled, 0)
}

// Alone says why a pod of an object with n pods cannot run beside the pod that it replaces; empty when it can. claim finds a claim of
// the pod's namespace; nil when no manifest has it.
func Alone(pod *v1.Pod, n int, claim func(name string) *v1.PersistentVolumeClaim) string {
	if pod.Spec.HostNetwork {
		return "they have the host's network"
	}
	for _, c := range manifests.AllContainers(pod) {
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				return fmt.Sprintf("they have the host's port %d", p.HostPort)
			}
		}
		for name := range c.Resources.Limits {
			if strings.Contains(string(name), "/") {
				return fmt.Sprintf("they have devices of %s", name)
			}
		}
	}
	for i := range pod.Spec.Volumes {
		if v := pod.Spec.Volumes[i].PersistentVolumeClaim; v != nil && !v.ReadOnly && !shared(claim(v.ClaimName), n) {
			return fmt.Sprintf("they write to the claim %s", v.ClaimName)
		}
	}
	return ""
}

// shared says whether another pod may write to a claim that n pods have: two of a database that was made for one would ruin it. A claim
// that several have anyway is shared, unless it is for one pod by its own words.
func shared(c *v1.PersistentVolumeClaim, n int) bool {
	if c == nil {
		return n > 1
	}
	for _, mode := range c.Spec.AccessModes {
		switch mode {
		case v1.ReadWriteMany, v1.ReadOnlyMany:
			return true
		case v1.ReadWriteOncePod:
			return false
		}
	}
	return n > 1
}

// Begins says how n pods are about to be replaced.
func (s Strategy) Begins(n int) string {
	if s.Recreate && s.InPlace {
		return "its only pod is replaced: its container is stopped, when what the new version needs is there, and begins anew"
	}
	if s.Recreate {
		return fmt.Sprintf("pods to replace: %d; all are stopped, and those of the new version begin when they have gone", n)
	}
	out := fmt.Sprintf("pods to replace: %d; meanwhile there are at most %d more than there should be, and %d less", n, s.Surge, s.Unavailable)
	if s.Alone != "" {
		out += "; none begins beside them: " + s.Alone
	}
	return out
}
