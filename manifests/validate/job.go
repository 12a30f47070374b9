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
	out := &collector{}
	checkObjectMeta(out, job)
	checkJob(out, "spec", &job.Spec)
	checkJobsPods(out, "", job, opts)
	return out.problems
}

// CronJob checks a defaulted CronJob, and the pods that its Jobs will have.
func CronJob(c *batchv1.CronJob, opts Options) manifests.Problems {
	out := &collector{}
	checkObjectMeta(out, c)
	checkCronJob(out, &c.Spec)
	checkJob(out, "spec.jobTemplate.spec", &c.Spec.JobTemplate.Spec)
	if len(c.Name) > 52 {
		out.errorf("metadata.name", "at most 52 characters are allowed: the names of its jobs are longer")
	}
	checkJobsPods(out, "spec.jobTemplate.", manifests.JobOf(c, time.Unix(0, 0)), opts)
	return out.problems
}

// checkJobsPods checks the pods of a Job; prefix is where the Job's spec stands.
func checkJobsPods(out *collector, prefix string, job *batchv1.Job, opts Options) {
	for _, p := range Pod(manifests.JobPod(job, "", 0, 0), opts) {
		p.Path = prefix + "spec.template." + p.Path
		out.problems = append(out.problems, p)
	}
}

func checkJob(out *collector, at string, s *batchv1.JobSpec) {
	for name, n := range map[string]*int32{"completions": s.Completions, "parallelism": s.Parallelism} {
		if n != nil && (*n < 0 || *n > MaxReplicas) {
			out.errorf(at+"."+name, "must lie between 0 and %d: this is one machine", MaxReplicas)
		}
	}
	if *s.BackoffLimit < 0 {
		out.errorf(at+".backoffLimit", "must not be negative")
	}
	if a := s.ActiveDeadlineSeconds; a != nil && (*a < 1 || *a > math.MaxInt32) {
		out.errorf(at+".activeDeadlineSeconds", "must lie between 1 and %d", math.MaxInt32)
	}
	if t := s.TTLSecondsAfterFinished; t != nil && *t < 0 {
		out.errorf(at+".ttlSecondsAfterFinished", "must not be negative")
	}
	oneOf(out, at+".completionMode", *s.CompletionMode, batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)
	if *s.CompletionMode == batchv1.IndexedCompletion && s.Completions == nil {
		out.errorf(at+".completions", "completionMode Indexed needs it")
	}
	oneOf(out, at+".template.spec.restartPolicy", s.Template.Spec.RestartPolicy, v1.RestartPolicyOnFailure, v1.RestartPolicyNever)
}

func checkCronJob(out *collector, s *batchv1.CronJobSpec) {
	oneOf(out, "spec.concurrencyPolicy", s.ConcurrencyPolicy, batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)
	if strings.Contains(s.Schedule, "TZ") {
		out.errorf("spec.schedule", "the time zone goes into timeZone")
	} else if _, err := cron.ParseStandard(s.Schedule); err != nil {
		out.errorf("spec.schedule", "%q is no schedule: %v; write five fields like \"30 4 * * *\", or @hourly", s.Schedule, err)
	}
	if s.TimeZone != nil {
		if _, err := time.LoadLocation(*s.TimeZone); err != nil || *s.TimeZone == "" || strings.EqualFold(*s.TimeZone, "Local") {
			out.errorf("spec.timeZone", "unknown time zone %q; write it like Europe/Vienna", *s.TimeZone)
		}
	}
	if d := s.StartingDeadlineSeconds; d != nil && *d < 0 {
		out.errorf("spec.startingDeadlineSeconds", "must not be negative")
	}
	for name, n := range map[string]*int32{"successfulJobsHistoryLimit": s.SuccessfulJobsHistoryLimit, "failedJobsHistoryLimit": s.FailedJobsHistoryLimit} {
		if *n < 0 {
			out.errorf("spec."+name, "must not be negative")
		}
	}
}
