package decode

import (
	"strconv"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate"
)

// replicated is what Deployment, ReplicaSet, StatefulSet and DaemonSet have in common here: pods that are all alike.
type replicated struct {
	kind     string
	meta     *metav1.ObjectMeta
	selector *metav1.LabelSelector
	template *v1.PodTemplateSpec
	// replicas and first: the pods are called name-first and so on.
	replicas, first int32
	// change makes one of the pods what its kind wants.
	change func(pod *v1.Pod)
	// found is what is wrong with what the kind alone has.
	found manifests.Problems
}

func (d *decoder) decodeDeployment(node *yaml.Node, path string) {
	o := &appsv1.Deployment{}
	w := d.decodeInto(node, path, o)
	if w == nil {
		return
	}
	manifests.SetDeploymentDefaults(o)
	r := replicated{kind: "Deployment", found: validate.Deployment(o), meta: &o.ObjectMeta, selector: o.Spec.Selector, template: &o.Spec.Template, replicas: *o.Spec.Replicas}
	if d.replicate(w, node, path, r) {
		d.contents.Deployments = append(d.contents.Deployments, o)
	}
}

func (d *decoder) decodeReplicaSet(node *yaml.Node, path string) {
	o := &appsv1.ReplicaSet{}
	w := d.decodeInto(node, path, o)
	if w == nil {
		return
	}
	manifests.SetReplicaSetDefaults(o)
	r := replicated{kind: "ReplicaSet", found: validate.ReplicaSet(o), meta: &o.ObjectMeta, selector: o.Spec.Selector, template: &o.Spec.Template, replicas: *o.Spec.Replicas}
	if d.replicate(w, node, path, r) {
		d.contents.ReplicaSets = append(d.contents.ReplicaSets, o)
	}
}

// decodeDaemonSet: one pod, as there is one machine.
func (d *decoder) decodeDaemonSet(node *yaml.Node, path string) {
	o := &appsv1.DaemonSet{}
	w := d.decodeInto(node, path, o)
	if w == nil {
		return
	}
	manifests.SetDaemonSetDefaults(o)
	r := replicated{kind: "DaemonSet", found: validate.DaemonSet(o), meta: &o.ObjectMeta, selector: o.Spec.Selector, template: &o.Spec.Template, replicas: 1}
	if d.replicate(w, node, path, r) {
		d.contents.DaemonSets = append(d.contents.DaemonSets, o)
	}
}

// decodeStatefulSet: each pod has a name that stays, and claims of its own.
func (d *decoder) decodeStatefulSet(node *yaml.Node, path string) {
	o := &appsv1.StatefulSet{}
	w := d.decodeInto(node, path, o)
	if w == nil {
		return
	}
	manifests.SetStatefulSetDefaults(o)
	r := replicated{kind: "StatefulSet", found: validate.StatefulSet(o), meta: &o.ObjectMeta, selector: o.Spec.Selector, template: &o.Spec.Template, replicas: *o.Spec.Replicas}
	if o.Spec.Ordinals != nil {
		r.first = o.Spec.Ordinals.Start
	}
	r.change = func(pod *v1.Pod) {
		manifests.Identify(pod, o)
		for _, claim := range o.Spec.VolumeClaimTemplates {
			c := claim.DeepCopy()
			c.Namespace, c.Name = o.Namespace, claim.Name+"-"+pod.Name
			d.contents.Claims = append(d.contents.Claims, c)
		}
	}
	if d.replicate(w, node, path, r) {
		d.contents.StatefulSets = append(d.contents.StatefulSets, o)
	}
}

// replicate makes the pods of an object, and says whether it is taken.
func (d *decoder) replicate(w *walker, node *yaml.Node, path string, r replicated) bool {
	r.found = append(r.found, validate.Replicas(r.kind, r.meta, r.selector, r.template, r.replicas)...)
	d.report(w, path, r.found)
	d.declare(w, path, r.kind, r.meta)
	if !d.unique(r.kind, r.meta, node) {
		return false
	}
	// Each copy costs what the first did.
	if d.nodes += (w.nodes - w.began) * int(max(min(r.replicas, validate.MaxReplicas), 1)-1); d.over() {
		d.errorAt(at(node), join(path, "spec.replicas"), "so many copies of so large a template are too much; use fewer replicas, or a smaller template")
		return false
	}
	podOf := func(i int32) *v1.Pod {
		pod := manifests.PodOf(r.template, r.meta, r.kind, r.meta.Name+"-"+strconv.Itoa(int(r.first+i)))
		if r.change != nil {
			r.change(pod)
		}
		return pod
	}
	if r.replicas <= 0 { // the template is checked all the same
		claims := len(d.contents.Claims)
		d.checkPod(w, path, podOf(0), r)
		d.contents.Claims = d.contents.Claims[:claims]
	}
	for i := range max(min(r.replicas, validate.MaxReplicas), 0) {
		pod := podOf(i)
		if i == 0 {
			d.checkPod(w, path, pod, r)
		} else {
			manifests.SetDefaults(pod)
			_ = validate.Pod(pod, d.opts.node()) // it brings names into their usual form; what is wrong was said of the first
		}
		if d.unique("Pod", pod, node) {
			d.contents.Pods = append(d.contents.Pods, pod)
		}
	}
	return true
}

// checkPod checks a pod that was made from a template, and gives it its defaults. Its problems are the template's, and are said once.
func (d *decoder) checkPod(w *walker, path string, pod *v1.Pod, of replicated) {
	manifests.SetDefaults(pod)
	problems := d.opts.judge(validate.Pod(pod, d.opts.node()), "", pod)
	if len(of.found.Errors()) > 0 {
		problems = validate.WithoutNames(problems)
	}
	for i := range problems {
		problems[i].Path = "spec.template." + problems[i].Path
	}
	d.report(w, path, problems)
}
