package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// revisionAnnotation on a Job's pod tells which version of the Job it belongs to.
	revisionAnnotation = "solopod.io/job-revision"
	// indexAnnotation and indexVariable are the Job controller's, for completionMode Indexed.
	indexAnnotation = "batch.kubernetes.io/job-completion-index"
	indexVariable   = "JOB_COMPLETION_INDEX"
)

func ownerName(kind, name string) string { return strings.ToLower(kind) + "/" + name }

// PodOf makes a pod of a template.
func PodOf(t *v1.PodTemplateSpec, owner *metav1.ObjectMeta, kind, name string) *v1.Pod {
	t = t.DeepCopy()
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: owner.Namespace, Labels: t.Labels, Annotations: t.Annotations}, Spec: t.Spec}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[OwnerAnnotation] = ownerName(kind, owner.Name)
	pod.OwnerReferences = []metav1.OwnerReference{controller(owner, kind)}
	return pod
}

// controller refers to the object that a pod stands for, as a controller of Kubernetes does.
func controller(owner *metav1.ObjectMeta, kind string) metav1.OwnerReference {
	version := appsv1.SchemeGroupVersion
	if kind == "Job" {
		version = batchv1.SchemeGroupVersion
	}
	uid := owner.UID
	if uid == "" {
		uid = DeriveUID(owner.Namespace, ownerName(kind, owner.Name))
	}
	return *metav1.NewControllerRef(&metav1.ObjectMeta{Name: owner.Name, UID: uid}, version.WithKind(kind))
}

// JobOf is the Job of a CronJob for one moment of its schedule. Its name is the CronJob controller's: the moment in minutes.
func JobOf(c *batchv1.CronJob, at time.Time) *batchv1.Job {
	t := c.Spec.JobTemplate.DeepCopy()
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", c.Name, at.Unix()/60), Namespace: c.Namespace, Labels: t.Labels, Annotations: t.Annotations},
		Spec:       t.Spec,
	}
}

// JobPod is pod number n of a Job; revision is the Job's, and index the pod's completion index, where the mode is Indexed.
func JobPod(job *batchv1.Job, revision string, n, index int) *v1.Pod {
	pod := PodOf(&job.Spec.Template, &job.ObjectMeta, "Job", fmt.Sprintf("%s-%d", job.Name, n))
	pod.Annotations[revisionAnnotation] = revision
	if job.Spec.CompletionMode != nil && *job.Spec.CompletionMode == batchv1.IndexedCompletion {
		value := fmt.Sprint(index)
		pod.Annotations[indexAnnotation] = value
		pod.Spec.Hostname = job.Name + "-" + value
		for _, c := range AllContainers(pod) {
			c.Env = append(c.Env, v1.EnvVar{Name: indexVariable, Value: value})
		}
	}
	SetDefaults(pod)
	return pod
}

// JobRevision identifies what a Job runs: a Job whose template is edited is another Job.
func JobRevision(job *batchv1.Job) string {
	data, err := json.Marshal([]any{job.Spec.Template, job.Spec.Completions, job.Spec.CompletionMode})
	if err != nil {
		return "" // types of the Kubernetes API always encode
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// JobOfPod says to which Job, and which version of it, a pod belongs; ok is false when it belongs to none.
func JobOfPod(pod *v1.Pod) (name, revision string, index string, ok bool) {
	name, ok = strings.CutPrefix(pod.Annotations[OwnerAnnotation], "job/")
	return name, pod.Annotations[revisionAnnotation], pod.Annotations[indexAnnotation], ok
}
