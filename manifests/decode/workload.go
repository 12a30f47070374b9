package decode

import (
	"strconv"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

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
}

func (d *decoder) decodeDeployment(node *yaml.Node, path string) {
	o := &appsv1.Deployment{}
	if w := d.decodeInto(node, path, o); w != nil {
		d.replicate(w, node, path, replicated{kind: "Deployment", meta: &o.ObjectMeta, selector: o.Spec.Selector, template: &o.Spec.Template, replicas: ptr.Deref(o.Spec.Replicas, 1)})
	}
}

func (d *decoder) decodeReplicaSet(node *yaml.Node, path string) {
	o := &appsv1.ReplicaSet{}
	if w := d.decodeInto(node, path, o); w != nil {
		d.replicate(w, node, path, replicated{kind: "ReplicaSet", meta: &o.ObjectMeta, selector: o.Spec.Selector, template: &o.Spec.Template, replicas: ptr.Deref(o.Spec.Replicas, 1)})
	}
}

// decodeDaemonSet: one pod, as there is one machine.
func (d *decoder) decodeDaemonSet(node *yaml.Node, path string) {
	o := &appsv1.DaemonSet{}
	if w := d.decodeInto(node, path, o); w != nil {
		d.replicate(w, node, path, replicated{kind: "DaemonSet", meta: &o.ObjectMeta, selector: o.Spec.Selector, template: &o.Spec.Template, replicas: 1})
	}
}

// decodeStatefulSet: each pod has a name that stays, and claims of its own.
func (d *decoder) decodeStatefulSet(node *yaml.Node, path string) {
	o := &appsv1.StatefulSet{}
	w := d.decodeInto(node, path, o)
	if w == nil {
		return
	}
	r := replicated{kind: "StatefulSet", meta: &o.ObjectMeta, selector: o.Spec.Selector, template: &o.Spec.Template, replicas: ptr.Deref(o.Spec.Replicas, 1)}
	if o.Spec.Ordinals != nil {
		r.first = o.Spec.Ordinals.Start
	}
	r.change = func(pod *v1.Pod) {
		pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, o.Spec.ServiceName
		for _, claim := range o.Spec.VolumeClaimTemplates {
			pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{Name: claim.Name, VolumeSource: v1.VolumeSource{
				PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + pod.Name},
			}})
			c := claim.DeepCopy()
			c.Namespace, c.Name = o.Namespace, claim.Name+"-"+pod.Name
			d.contents.Claims = append(d.contents.Claims, c)
		}
	}
	d.replicate(w, node, path, r)
}

// replicate makes the pods of an object.
func (d *decoder) replicate(w *walker, node *yaml.Node, path string, r replicated) {
	manifests.SetNamespace(r.meta)
	d.report(w, path, validate.Replicas(r.kind, r.meta, r.selector, r.template, r.replicas))
	d.declare(w, path, r.kind, r.meta)
	if !d.unique(r.kind, r.meta, node) {
		return
	}
	// Each copy costs what the first did.
	if d.nodes += (w.nodes - w.began) * int(max(min(r.replicas, validate.MaxReplicas), 1)-1); d.over() {
		d.errorAt(at(node), join(path, "spec.replicas"), "so many copies of so large a template are too much; use fewer replicas, or a smaller template")
		return
	}
	for i := range max(min(r.replicas, validate.MaxReplicas), 0) {
		pod := manifests.PodOf(r.template, r.meta, r.kind, r.meta.Name+"-"+strconv.Itoa(int(r.first+i)))
		if r.change != nil {
			r.change(pod)
		}
		d.addPod(w, node, path, pod, i == 0)
	}
}

// addPod takes a pod that was made from a template. Its problems are the template's, and are said once.
func (d *decoder) addPod(w *walker, node *yaml.Node, path string, pod *v1.Pod, say bool) {
	manifests.SetDefaults(pod)
	problems := validate.Pod(pod, d.opts.node())
	if say {
		problems = d.opts.judge(problems, "", pod)
		for i := range problems {
			problems[i].Path = "spec.template." + problems[i].Path
		}
		d.report(w, path, problems)
	}
	if d.unique("Pod", pod, node) {
		d.contents.Pods = append(d.contents.Pods, pod)
	}
}
