package manifests

import (
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SetNamespace gives an object without a namespace the default one.
func SetNamespace(object metav1.Object) {
	if object.GetNamespace() == "" {
		object.SetNamespace(v1.NamespaceDefault)
	}
}

// SetJobDefaults fills in what the API server would (Kubernetes, pkg/apis/batch/v1/defaults.go). The pods' own are filled in
// when they are made.
func SetJobDefaults(job *batchv1.Job) {
	SetNamespace(job)
	setJobSpecDefaults(&job.Spec)
}

// SetCronJobDefaults is SetJobDefaults for a CronJob.
func SetCronJobDefaults(c *batchv1.CronJob) {
	SetNamespace(c)
	setDefault(&c.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
	setDefaultPtr(&c.Spec.SuccessfulJobsHistoryLimit, 3)
	setDefaultPtr(&c.Spec.FailedJobsHistoryLimit, 1)
	setJobSpecDefaults(&c.Spec.JobTemplate.Spec)
}

func setJobSpecDefaults(s *batchv1.JobSpec) {
	setDefaultPtr(&s.BackoffLimit, 6)
	setDefaultPtr(&s.CompletionMode, batchv1.NonIndexedCompletion)
	if s.Completions == nil && s.Parallelism == nil {
		setDefaultPtr(&s.Completions, 1)
	}
	setDefaultPtr(&s.Parallelism, 1)
}

// SetSecretDefaults gives a Secret its type, and has data hold what stands in stringData, which wins, as in the API server.
// stringData itself stays, for messages.
func SetSecretDefaults(s *v1.Secret) {
	SetNamespace(s)
	setDefault(&s.Type, v1.SecretTypeOpaque)
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
}
