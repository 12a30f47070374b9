package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/services"
)

// podMakers are the kinds of which a name may stand where a pod is meant, with their names in manifests.
var podMakers = map[string]string{
	"pods": "Pod", "deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet",
	"jobs": "Job", "cronjobs": "CronJob", "services": "Service",
}

// objectName is what an argument names.
type objectName struct {
	kind *kind
	name string
}

// String is the object as messages have it: deployment/web.
func (o objectName) String() string { return o.kind.singular + "/" + o.name }

// manifestKind is the kind as manifests have it, as Deployment; empty where no pods belong to it.
func (o objectName) manifestKind() string { return podMakers[o.kind.plural] }

// parseObject reads NAME, which is a pod's, or TYPE/NAME.
func parseObject(arg string) (objectName, error) {
	word, name, typed := strings.Cut(arg, "/")
	if !typed {
		return objectName{podKind, arg}, nil
	}
	if name == "" || strings.Contains(name, "/") {
		return objectName{}, fmt.Errorf("%q is neither a pod's name nor TYPE/NAME", arg)
	}
	k, err := kindNamed(word)
	return objectName{k, name}, err
}

// parseObjects reads NAME..., TYPE/NAME... and TYPE NAME.... A pod whose name is a type's is named as pod/NAME.
func parseObjects(args []string) (out []objectName, err error) {
	if len(args) > 1 && !strings.Contains(args[0], "/") {
		if k, err := kindNamed(args[0]); err == nil {
			for _, name := range args[1:] {
				if strings.Contains(name, "/") {
					return nil, fmt.Errorf("%q: a type stands either before all names, as in %s web db, or before each, as in %[2]s/web", name, args[0])
				}
				out = append(out, objectName{k, name})
			}
			return out, nil
		}
	}
	for _, arg := range args {
		o, err := parseObject(arg)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// errNoPods: there is the object, and now no pod of it.
var errNoPods = errors.New("has no pods now")

// podsOf are the pods of an object, at least one.
func podsOf(ctx context.Context, c *api.Client, namespace string, o objectName) ([]v1.Pod, error) {
	all, err := c.Pods(ctx)
	if err != nil {
		return nil, err
	}
	switch o.manifestKind() {
	case "":
		return nil, fmt.Errorf("%s has no pods; what has some: %s", o, strings.Join(slices.Sorted(maps.Keys(podMakers)), ", "))
	case "Pod":
		return (&selection{namespace: namespace}).selected(ctx, c, []string{o.name})
	}
	belongs := func(p *v1.Pod) bool { return controlledBy(p, o) }
	if o.kind.plural == "services" {
		selected, err := api.SelectedBy(ctx, c, namespace, o.name)
		if err != nil {
			return nil, err
		}
		belongs = func(p *v1.Pod) bool {
			return slices.ContainsFunc(selected, func(s services.Selected) bool { return s.Pod == p.Name })
		}
	}
	out := slices.DeleteFunc(slices.Clone(all), func(p v1.Pod) bool { return p.Namespace != namespace || !belongs(&p) })
	if len(out) == 0 {
		return nil, missing(ctx, c, namespace, o)
	}
	return out, nil
}

// controlledBy says whether a pod belongs to what makes pods; to a CronJob those of its runs do, which have its name and a number.
func controlledBy(p *v1.Pod, o objectName) bool {
	owner := metav1.GetControllerOfNoCopy(p)
	if owner == nil {
		return false
	}
	if o.kind.plural == "cronjobs" {
		number, ok := strings.CutPrefix(owner.Name, o.name+"-")
		return ok && owner.Kind == "Job" && number != "" && strings.Trim(number, "0123456789") == ""
	}
	return owner.Kind == o.manifestKind() && owner.Name == o.name
}

// means says whether an argument names a pod, or something that it belongs to.
func means(arg string, p *v1.Pod) bool {
	o, err := parseObject(arg)
	return err == nil && (o.kind == podKind && o.name == p.Name || controlledBy(p, o))
}

// missing says why an object has no pods: it is not there, or has none.
func missing(ctx context.Context, c *api.Client, namespace string, o objectName) error {
	list, err := c.Workloads(ctx)
	if err != nil {
		return err
	}
	elsewhere := ""
	for _, w := range list {
		if w.Kind != o.manifestKind() || w.Name != o.name {
			continue
		}
		if w.Namespace == namespace {
			return fmt.Errorf("%s %w", o, errNoPods)
		}
		elsewhere = fmt.Sprintf("; there is one in namespace %s: use -n %[1]s", w.Namespace)
	}
	if o.kind.plural == "services" {
		return fmt.Errorf("%s %w", o, errNoPods) // the daemon has said so when there is no such service
	}
	return fmt.Errorf("%s %q not found in namespace %s%s", o.kind.singular, o.name, namespace, elsewhere)
}

// liveliest is the pod that is to be entered, of those that belong together: kubectl's choice (podutils.ActivePods): what runs is before what
// does not, then what is ready, and for longest, with the fewest restarts, and oldest. What is on its way out comes last.
func liveliest(pods []v1.Pod) *v1.Pod {
	best := slices.MinFunc(pods, func(a, b v1.Pod) int {
		return cmp.Or(
			order(a.DeletionTimestamp == nil, b.DeletionTimestamp == nil),
			order(a.Status.Phase == v1.PodRunning, b.Status.Phase == v1.PodRunning),
			compareReadiness(&a, &b, time.Time.Compare),
			cmp.Compare(restartsOf(&a), restartsOf(&b)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return &best
}

// telling is the pod whose log is to be read: kubectl's choice (podutils.ByLogging), which prefers what has begun lately and what restarts.
func telling(pods []v1.Pod) *v1.Pod {
	later := func(a, b time.Time) int { return b.Compare(a) }
	best := slices.MinFunc(pods, func(a, b v1.Pod) int {
		return cmp.Or(
			order(a.Status.Phase == v1.PodRunning, b.Status.Phase == v1.PodRunning),
			order(a.Status.Phase != v1.PodPending, b.Status.Phase != v1.PodPending),
			compareReadiness(&a, &b, later),
			cmp.Compare(restartsOf(&b), restartsOf(&a)),
			b.CreationTimestamp.Compare(a.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return &best
}

// order puts what is before what is not.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// compareReadiness puts pods that are ready first, and of these by their time.
func compareReadiness(a, b *v1.Pod, times func(a, b time.Time) int) int {
	since, ready := readySince(a)
	sinceB, readyB := readySince(b)
	if o := order(ready, readyB); o != 0 || !ready {
		return o
	}
	return times(since, sinceB)
}

func readySince(p *v1.Pod) (since time.Time, ready bool) {
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodReady && c.Status == v1.ConditionTrue {
			return c.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// restartsOf is the highest number of restarts of a pod's containers.
func restartsOf(p *v1.Pod) (most int32) {
	for _, s := range p.Status.ContainerStatuses {
		most = max(most, s.RestartCount)
	}
	return most
}

// defaultContainerAnnotation is kubectl's.
const defaultContainerAnnotation = "kubectl.kubernetes.io/default-container"

// containerIn is the container that a session is with: the one that is named, else the pod's default one, as kubectl has it: by the
// annotation, or the first. told is told which, where there is a choice.
func containerIn(p *v1.Pod, named string, told io.Writer) (string, error) {
	if named != "" {
		return named, nil
	}
	if by := p.Annotations[defaultContainerAnnotation]; by != "" && hasContainer(p, by) {
		return by, nil
	}
	if len(p.Spec.Containers) == 0 {
		return "", fmt.Errorf("pod %s/%s has no containers", p.Namespace, p.Name)
	}
	first := p.Spec.Containers[0].Name
	if all := manifests.AllContainers(p); len(all) > 1 {
		fmt.Fprintf(told, "Defaulted container %q out of: %s\n", first, containerNames(p))
	}
	return first, nil
}

// containerNames are those of a pod's containers, init containers last.
func containerNames(p *v1.Pod) string {
	var names []string
	for i := range p.Spec.Containers {
		names = append(names, p.Spec.Containers[i].Name)
	}
	for i := range p.Spec.InitContainers {
		names = append(names, p.Spec.InitContainers[i].Name+" (init)")
	}
	return strings.Join(names, ", ")
}

// enter finds the pod and the container that an argument of exec, attach and the like means.
func enter(ctx context.Context, c *api.Client, namespace, arg, container string, told io.Writer) (pod, in string, err error) {
	o, err := parseObject(arg)
	if err != nil {
		return "", "", err
	}
	if o.kind == podKind && container != "" {
		return o.name, container, nil // the daemon knows the rest
	}
	pods, err := podsOf(ctx, c, namespace, o)
	if err != nil {
		return "", "", err
	}
	p := liveliest(pods)
	in, err = containerIn(p, container, told)
	return p.Name, in, err
}
