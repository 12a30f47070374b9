package manifests

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
)

// OwnerAnnotation on a pod names the object that it stands for: deployment/web, job/backup.
const OwnerAnnotation = "solopod.io/owner"

// maxReplicas bounds how many pods one object can have: this is one machine.
const maxReplicas = 64

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
		}
	}
	setDefault(&o.Namespace, v1.NamespaceDefault)
	for i := range max(min(r.replicas, maxReplicas), 0) {
		for _, claim := range o.Spec.VolumeClaimTemplates {
			c := claim.DeepCopy()
			c.Namespace, c.Name = o.Namespace, fmt.Sprintf("%s-%s-%d", claim.Name, o.Name, r.first+i)
			d.contents.Claims = append(d.contents.Claims, c)
		}
	}
	d.replicate(w, node, path, r)
}

// replicate makes the pods of an object.
func (d *decoder) replicate(w *walker, node *yaml.Node, path string, r replicated) {
	setDefault(&r.meta.Namespace, v1.NamespaceDefault)
	v := &validator{}
	v.objectMeta(r.meta)
	v.selects(r.selector, r.template)
	if r.replicas < 0 || r.replicas > maxReplicas {
		v.errorf("spec.replicas", "must lie between 0 and %d: this is one machine", maxReplicas)
	}
	if p := r.template.Spec.RestartPolicy; p != "" && p != v1.RestartPolicyAlways {
		v.errorf("spec.template.spec.restartPolicy", "a %s's pods are always restarted; for work that ends use a Job", r.kind)
	}
	d.report(w, path, v.problems)
	if !d.unique(r.kind, r.meta, node) {
		return
	}
	for i := range max(min(r.replicas, maxReplicas), 0) {
		pod := podOf(r.template, r.meta, r.kind, r.meta.Name+"-"+strconv.Itoa(int(r.first+i)))
		if r.change != nil {
			r.change(pod)
		}
		d.addPod(w, node, path, pod, i == 0)
	}
}

// podOf makes a pod of a template.
func podOf(t *v1.PodTemplateSpec, owner *metav1.ObjectMeta, kind, name string) *v1.Pod {
	t = t.DeepCopy()
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: owner.Namespace, Labels: t.Labels, Annotations: t.Annotations}, Spec: t.Spec}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[OwnerAnnotation] = ownerName(kind, owner.Name)
	return pod
}

// addPod takes a pod that was made from a template. Its problems are the template's, and are said once.
func (d *decoder) addPod(w *walker, node *yaml.Node, path string, pod *v1.Pod, say bool) {
	setDefaults(pod)
	problems := validatePod(pod, d.opts)
	if say {
		for i := range problems {
			problems[i].Path = "spec.template." + problems[i].Path
		}
		d.report(w, path, problems)
	}
	if d.unique("Pod", pod, node) {
		d.contents.Pods = append(d.contents.Pods, pod)
	}
}

// selects: a selector must match the template, as for the API server.
func (v *validator) selects(s *metav1.LabelSelector, t *v1.PodTemplateSpec) {
	if s == nil {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		v.errorf("spec.selector", "%v", err)
		return
	}
	if !selector.Matches(labelSet(t.Labels)) {
		v.errorf("spec.selector", "it does not match the labels of the template")
	}
	for key, value := range t.Labels {
		v.all("spec.template.metadata.labels."+key, key, validation.IsQualifiedName(key))
		v.all("spec.template.metadata.labels."+key, value, validation.IsValidLabelValue(value))
	}
}

// labelSet are labels as a selector wants to see them.
type labelSet map[string]string

func (l labelSet) Has(key string) bool              { _, ok := l[key]; return ok }
func (l labelSet) Get(key string) string            { return l[key] }
func (l labelSet) Lookup(key string) (string, bool) { value, ok := l[key]; return value, ok }
