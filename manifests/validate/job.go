package validate

import (
	"fmt"
	"math"
	"strings"
	"time"
	_ "time/tzdata" // a small machine has no time zones of its own

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
)

// MaxCompletions bounds how many pods of a Job can succeed, one after the other: as many as of an indexed one in Kubernetes.
const MaxCompletions = 100_000

// Job checks a defaulted Job, and the pods that it will have.
func Job(job *batchv1.Job, opts Options) manifests.Problems {
	out := &findings.Collector{}
	metadata.Check(out, job, validation.IsDNS1123Subdomain)
	checkJobName(out, job)
	checkJob(out, "spec", &job.Spec)
	checkJobsPods(out, "", job, opts)
	return out.Problems
}

// CronJob checks a defaulted CronJob, and the pods that its Jobs will have.
func CronJob(c *batchv1.CronJob, opts Options) manifests.Problems {
	out := &findings.Collector{}
	metadata.Check(out, c, validation.IsDNS1123Subdomain)
	checkCronJob(out, &c.Spec)
	checkJob(out, "spec.jobTemplate.spec", &c.Spec.JobTemplate.Spec)
	if len(c.Name) > 52 {
		out.Errorf("metadata.name", "at most 52 characters are allowed: the names of its jobs are longer")
	}
	checkJobsPods(out, "spec.jobTemplate.", manifests.JobOf(c, time.Unix(0, 0)), opts)
	return out.Problems
}

// checkJobsPods checks the pods of a Job; prefix is where the Job's spec stands.
func checkJobsPods(out *findings.Collector, prefix string, job *batchv1.Job, opts Options) {
	found := Pod(manifests.JobPod(job, "", 0, 0), opts)
	if len(out.Problems.Errors()) > 0 {
		found = WithoutNames(found)
	}
	for _, p := range found {
		p.Path = prefix + "spec.template." + p.Path
		out.Problems = append(out.Problems, p)
	}
}

func checkJob(out *findings.Collector, at string, s *batchv1.JobSpec) {
	if n := s.Parallelism; n != nil && (*n < 0 || *n > MaxReplicas) {
		out.Errorf(at+".parallelism", "must lie between 0 and %d: this is one machine", MaxReplicas)
	}
	if n := s.Completions; n != nil && (*n < 0 || *n > MaxCompletions) {
		out.Errorf(at+".completions", "must lie between 0 and %d", MaxCompletions)
	}
	if *s.BackoffLimit < 0 {
		out.Errorf(at+".backoffLimit", "must not be negative")
	}
	if a := s.ActiveDeadlineSeconds; a != nil && (*a < 0 || *a > math.MaxInt32) {
		out.Errorf(at+".activeDeadlineSeconds", "must lie between 0 and %d", math.MaxInt32)
	}
	if p := s.PodReplacementPolicy; p != nil {
		findings.OneOf(out, at+".podReplacementPolicy", *p, batchv1.TerminatingOrFailed, batchv1.Failed)
	}
	metadata.Selector(out, at+".selector", s.Selector)
	if t := s.TTLSecondsAfterFinished; t != nil && *t < 0 {
		out.Errorf(at+".ttlSecondsAfterFinished", "must not be negative")
	}
	findings.OneOf(out, at+".completionMode", *s.CompletionMode, batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)
	if *s.CompletionMode == batchv1.IndexedCompletion && s.Completions == nil {
		out.Errorf(at+".completions", "completionMode Indexed needs it")
	}
	if p := s.Template.Spec.RestartPolicy; p == "" || p == v1.RestartPolicyAlways { // what is no policy at all is said of the pod
		findings.OneOf(out, at+".template.spec.restartPolicy", p, v1.RestartPolicyOnFailure, v1.RestartPolicyNever)
	}
}

// checkJobName: the name is a label of the Job's pods, and begins the host names of an indexed one's.
func checkJobName(out *findings.Collector, job *batchv1.Job) {
	if len(job.Name) > validation.LabelValueMaxLength {
		out.Errorf("metadata.name", "at most %d characters are allowed: it is a label of the Job's pods", validation.LabelValueMaxLength)
		return
	}
	if s := &job.Spec; *s.CompletionMode == batchv1.IndexedCompletion && s.Completions != nil && *s.Completions > 0 {
		last := fmt.Sprintf("%s-%d", job.Name, *s.Completions-1)
		if len(validation.IsDNS1123Label(last)) > 0 {
			out.Errorf("metadata.name", "the last of its pods would have the host name %s: write a name of lower case letters, digits and '-', so short that it has at most 63 characters", last)
		}
	}
}

func checkCronJob(out *findings.Collector, s *batchv1.CronJobSpec) {
	findings.OneOf(out, "spec.concurrencyPolicy", s.ConcurrencyPolicy, batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)
	if strings.Contains(s.Schedule, "TZ") {
		out.Errorf("spec.schedule", "the time zone goes into timeZone")
	} else if _, err := cron.ParseStandard(s.Schedule); err != nil {
		out.Errorf("spec.schedule", "%q is no schedule: %v; write five fields like \"30 4 * * *\", or @hourly", s.Schedule, err)
	}
	if s.TimeZone != nil {
		if _, err := time.LoadLocation(*s.TimeZone); err != nil || *s.TimeZone == "" || strings.EqualFold(*s.TimeZone, "Local") {
			out.Errorf("spec.timeZone", "unknown time zone %q; write it like Europe/Vienna", *s.TimeZone)
		}
	}
	if template := &s.JobTemplate.Spec; template.Selector != nil || template.ManualSelector != nil && *template.ManualSelector {
		out.Errorf("spec.jobTemplate.spec.selector", "each of its jobs gets a selector of its own; remove it, and manualSelector")
	}
	if d := s.StartingDeadlineSeconds; d != nil && *d < 0 {
		out.Errorf("spec.startingDeadlineSeconds", "must not be negative")
	}
	for name, n := range map[string]*int32{"successfulJobsHistoryLimit": s.SuccessfulJobsHistoryLimit, "failedJobsHistoryLimit": s.FailedJobsHistoryLimit} {
		if *n < 0 {
			out.Errorf("spec."+name, "must not be negative")
		}
	}
}
