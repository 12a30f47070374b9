package decode

import (
	"time"

	"go.yaml.in/yaml/v3"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate"
)

// take decodes an object that is used as the file has it, with its defaults, and adds it to those of its kind. It returns nil when
// the object cannot be read.
func take[T any, P interface {
	*T
	metav1.Object
}](d *decoder, node *yaml.Node, path, kind string, to *[]P, defaults func(P), check func(P) manifests.Problems) P {
	object := P(new(T))
	w := d.decodeInto(node, path, object)
	if w == nil {
		return nil
	}
	defaults(object)
	d.report(w, path, check(object))
	d.declare(w, path, kind, object)
	if d.unique(kind, object, node) {
		*to = append(*to, object)
	}
	return object
}

func (d *decoder) decodePod(node *yaml.Node, path string) {
	take(d, node, path, "Pod", &d.contents.Pods, func(pod *v1.Pod) {
		pod.Status = v1.PodStatus{}
		delete(pod.Annotations, manifests.SurgeAnnotation)
		delete(pod.Annotations, manifests.HeldAnnotation)
		delete(pod.Annotations, manifests.OwnerAnnotation) // as of get -o yaml: a pod of a Job would be the Job's to count, and none of the file's changes
		manifests.SetDefaults(pod)
	}, func(pod *v1.Pod) manifests.Problems {
		found := validate.Pod(pod, d.opts.node()) // it also brings names into the form that the judge knows
		return d.opts.judge(found, "", pod)
	})
}

func (d *decoder) decodeConfigMap(node *yaml.Node, path string) {
	take(d, node, path, "ConfigMap", &d.contents.ConfigMaps, func(c *v1.ConfigMap) { manifests.SetNamespace(c) }, validate.ConfigMap)
}

func (d *decoder) decodeSecret(node *yaml.Node, path string) {
	if s := take(d, node, path, "Secret", &d.contents.Secrets, manifests.SetSecretDefaults, validate.Secret); s != nil {
		s.StringData = nil // it is in Data
	}
}

// decodeClaim: a claim is a directory of this machine; what it asks for is recorded, not enforced.
func (d *decoder) decodeClaim(node *yaml.Node, path string) {
	take(d, node, path, "PersistentVolumeClaim", &d.contents.Claims, func(c *v1.PersistentVolumeClaim) { manifests.SetNamespace(c) }, validate.Claim)
}

func (d *decoder) decodeJob(node *yaml.Node, path string) {
	take(d, node, path, "Job", &d.contents.Jobs, manifests.SetJobDefaults,
		func(job *batchv1.Job) manifests.Problems {
			return d.opts.judge(validate.Job(job, d.opts.node()), "spec.template.", manifests.JobPod(job, "", 0, 0))
		})
}

func (d *decoder) decodeCronJob(node *yaml.Node, path string) {
	take(d, node, path, "CronJob", &d.contents.CronJobs, manifests.SetCronJobDefaults,
		func(c *batchv1.CronJob) manifests.Problems {
			pod := manifests.JobPod(manifests.JobOf(c, time.Unix(0, 0)), "", 0, 0)
			return d.opts.judge(validate.CronJob(c, d.opts.node()), "spec.jobTemplate.spec.template.", pod)
		})
}
