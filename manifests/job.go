package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	_ "time/tzdata" // a small machine has no time zones of its own

	"github.com/robfig/cron/v3"
	"go.yaml.in/yaml/v3"
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

func (d *decoder) decodeJob(node *yaml.Node, path string) {
	job := &batchv1.Job{}
	w := d.decodeInto(node, path, job)
	if w == nil {
		return
	}
	setDefault(&job.Namespace, v1.NamespaceDefault)
	v := &validator{}
	v.objectMeta(job)
	v.job("spec", &job.Spec)
	d.report(w, path, v.problems)
	d.checkJob(w, path, job, "")
	if d.unique("Job", job, node) {
		d.contents.Jobs = append(d.contents.Jobs, job)
	}
}

func (d *decoder) decodeCronJob(node *yaml.Node, path string) {
	c := &batchv1.CronJob{}
	w := d.decodeInto(node, path, c)
	if w == nil {
		return
	}
	setDefault(&c.Namespace, v1.NamespaceDefault)
	setDefault(&c.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
	setDefaultPtr(&c.Spec.SuccessfulJobsHistoryLimit, 3)
	setDefaultPtr(&c.Spec.FailedJobsHistoryLimit, 1)
	v := &validator{}
	v.objectMeta(c)
	v.cronJob(&c.Spec)
	v.job("spec.jobTemplate.spec", &c.Spec.JobTemplate.Spec)
	if len(c.Name) > 52 {
		v.errorf("metadata.name", "at most 52 characters are allowed: the names of its jobs are longer")
	}
	d.report(w, path, v.problems)
	d.checkJob(w, path, JobOf(c, time.Unix(0, 0)), "spec.jobTemplate.")
	if d.unique("CronJob", c, node) {
		d.contents.CronJobs = append(d.contents.CronJobs, c)
	}
}

// checkJob validates the pods that the job will have; prefix is where the Job's spec stands.
func (d *decoder) checkJob(w *walker, path string, job *batchv1.Job, prefix string) {
	problems := validatePod(JobPod(job, 0, 0), d.opts)
	for i := range problems {
		problems[i].Path = prefix + "spec.template." + problems[i].Path
	}
	d.report(w, path, problems)
}

// job checks and fills in what the API server would.
func (v *validator) job(at string, s *batchv1.JobSpec) {
	setDefaultPtr(&s.BackoffLimit, 6)
	setDefaultPtr(&s.CompletionMode, batchv1.NonIndexedCompletion)
	if s.Completions == nil && s.Parallelism == nil {
		setDefaultPtr(&s.Completions, 1)
	}
	setDefaultPtr(&s.Parallelism, 1)
	for name, n := range map[string]*int32{"completions": s.Completions, "parallelism": s.Parallelism} {
		if n != nil && (*n < 0 || *n > maxReplicas) {
			v.errorf(at+"."+name, "must lie between 0 and %d: this is one machine", maxReplicas)
		}
	}
	if *s.BackoffLimit < 0 {
		v.errorf(at+".backoffLimit", "must not be negative")
	}
	if a := s.ActiveDeadlineSeconds; a != nil && (*a < 1 || *a > math.MaxInt32) {
		v.errorf(at+".activeDeadlineSeconds", "must lie between 1 and %d", math.MaxInt32)
	}
	if t := s.TTLSecondsAfterFinished; t != nil && *t < 0 {
		v.errorf(at+".ttlSecondsAfterFinished", "must not be negative")
	}
	oneOf(v, at+".completionMode", *s.CompletionMode, batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)
	if *s.CompletionMode == batchv1.IndexedCompletion && s.Completions == nil {
		v.errorf(at+".completions", "completionMode Indexed needs it")
	}
	oneOf(v, at+".template.spec.restartPolicy", s.Template.Spec.RestartPolicy, v1.RestartPolicyOnFailure, v1.RestartPolicyNever)
}

func (v *validator) cronJob(s *batchv1.CronJobSpec) {
	oneOf(v, "spec.concurrencyPolicy", s.ConcurrencyPolicy, batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)
	if strings.Contains(s.Schedule, "TZ") {
		v.errorf("spec.schedule", "the time zone goes into timeZone")
	} else if _, err := cron.ParseStandard(s.Schedule); err != nil {
		v.errorf("spec.schedule", "%q is no schedule: %v; write five fields like \"30 4 * * *\", or @hourly", s.Schedule, err)
	}
	if s.TimeZone != nil {
		if _, err := time.LoadLocation(*s.TimeZone); err != nil || *s.TimeZone == "" || strings.EqualFold(*s.TimeZone, "Local") {
			v.errorf("spec.timeZone", "unknown time zone %q; write it like Europe/Vienna", *s.TimeZone)
		}
	}
	if d := s.StartingDeadlineSeconds; d != nil && *d < 0 {
		v.errorf("spec.startingDeadlineSeconds", "must not be negative")
	}
	for name, n := range map[string]*int32{"successfulJobsHistoryLimit": s.SuccessfulJobsHistoryLimit, "failedJobsHistoryLimit": s.FailedJobsHistoryLimit} {
		if *n < 0 {
			v.errorf("spec."+name, "must not be negative")
		}
	}
}

// JobOf is the Job of a CronJob for one moment of its schedule. Its name is the CronJob controller's: the moment in minutes.
func JobOf(c *batchv1.CronJob, at time.Time) *batchv1.Job {
	t := c.Spec.JobTemplate.DeepCopy()
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", c.Name, at.Unix()/60), Namespace: c.Namespace, Labels: t.Labels, Annotations: t.Annotations},
		Spec:       t.Spec,
	}
}

// JobPod is pod number n of a Job; index is its completion index, where the mode is Indexed.
func JobPod(job *batchv1.Job, n, index int) *v1.Pod {
	pod := podOf(&job.Spec.Template, &job.ObjectMeta, "Job", fmt.Sprintf("%s-%d", job.Name, n))
	pod.Annotations[revisionAnnotation] = JobRevision(job)
	if job.Spec.CompletionMode != nil && *job.Spec.CompletionMode == batchv1.IndexedCompletion {
		value := fmt.Sprint(index)
		pod.Annotations[indexAnnotation] = value
		pod.Spec.Hostname = job.Name + "-" + value
		for _, c := range AllContainers(pod) {
			c.Env = append(c.Env, v1.EnvVar{Name: indexVariable, Value: value})
		}
	}
	setDefaults(pod)
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
