package validate

import (
	"math"
	"strings"
	"time"
	_ "time/tzdata" // a small machine has no time zones of its own

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// Job checks a defaulted Job, and the pods that it will have.
func Job(job *batchv1.Job, opts Options) manifests.Problems {
	v := &validator{}
	v.objectMeta(job)
	v.job("spec", &job.Spec)
	v.jobsPods("", job, opts)
	return v.problems
}

// CronJob checks a defaulted CronJob, and the pods that its Jobs will have.
func CronJob(c *batchv1.CronJob, opts Options) manifests.Problems {
	v := &validator{}
	v.objectMeta(c)
	v.cronJob(&c.Spec)
	v.job("spec.jobTemplate.spec", &c.Spec.JobTemplate.Spec)
	if len(c.Name) > 52 {
		v.errorf("metadata.name", "at most 52 characters are allowed: the names of its jobs are longer")
	}
	v.jobsPods("spec.jobTemplate.", manifests.JobOf(c, time.Unix(0, 0)), opts)
	return v.problems
}

// jobsPods checks the pods of a Job; prefix is where the Job's spec stands.
func (v *validator) jobsPods(prefix string, job *batchv1.Job, opts Options) {
	for _, p := range Pod(manifests.JobPod(job, 0, 0), opts) {
		p.Path = prefix + "spec.template." + p.Path
		v.problems = append(v.problems, p)
	}
}

func (v *validator) job(at string, s *batchv1.JobSpec) {
	for name, n := range map[string]*int32{"completions": s.Completions, "parallelism": s.Parallelism} {
		if n != nil && (*n < 0 || *n > MaxReplicas) {
			v.errorf(at+"."+name, "must lie between 0 and %d: this is one machine", MaxReplicas)
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
