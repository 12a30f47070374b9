package objects

import (
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/monitor/exposition"
)

// Names and labels are kube-state-metrics' (docs/metrics/workload, docs/metrics/storage).
var jobFamilies = []exposition.Row[batchv1.Job]{
	created[batchv1.Job]("kube_job"),
	owners("kube_job", ownersOf[batchv1.Job]),
	number("kube_job_info", "The Job", func(*batchv1.Job) float64 { return 1 }),
	integer("kube_job_spec_parallelism", "How many pods of the Job may run at a time", func(j *batchv1.Job) *int32 { return j.Spec.Parallelism }),
	integer("kube_job_spec_completions", "How many pods of the Job must succeed", func(j *batchv1.Job) *int32 { return j.Spec.Completions }),
	integer("kube_job_spec_active_deadline_seconds", "How long the Job may take", func(j *batchv1.Job) *int64 { return j.Spec.ActiveDeadlineSeconds }),
	number("kube_job_status_active", "How many pods of the Job run", func(j *batchv1.Job) float64 { return float64(j.Status.Active) }),
	number("kube_job_status_succeeded", "How many pods of the Job have succeeded", func(j *batchv1.Job) float64 { return float64(j.Status.Succeeded) }),
	several("kube_job_status_failed", "How many pods of the Job have failed; once the Job itself has, 1 with the reason", []string{"reason"}, func(j *batchv1.Job, to *exposition.Samples) {
		if c := jobCondition(j, batchv1.JobFailed); c != nil && c.Status == v1.ConditionTrue && c.Reason != "" {
			to.Add(1, c.Reason)
			return
		}
		to.Add(float64(j.Status.Failed), "")
	}),
	integer("kube_job_status_ready", "How many pods of the Job are ready", func(j *batchv1.Job) *int32 { return j.Status.Ready }),
	several("kube_job_status_suspended", "Whether the Job is suspended", nil, func(j *batchv1.Job, to *exposition.Samples) {
		if c := jobCondition(j, batchv1.JobSuspended); c != nil {
			to.Add(oneIf(c.Status == v1.ConditionTrue))
		}
	}),
	moment("kube_job_status_start_time", "When the Job began, in seconds since 1970", func(j *batchv1.Job) *metav1.Time { return j.Status.StartTime }),
	moment("kube_job_status_completion_time", "When the Job was done, in seconds since 1970", func(j *batchv1.Job) *metav1.Time { return j.Status.CompletionTime }),
	jobEnd("kube_job_complete", "Whether the Job is done", batchv1.JobComplete),
	jobEnd("kube_job_failed", "Whether the Job has failed", batchv1.JobFailed),
}

func jobCondition(j *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range j.Status.Conditions {
		if c := &j.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

func jobEnd(name, help string, kind batchv1.JobConditionType) exposition.Row[batchv1.Job] {
	return several(name, help, []string{"condition"}, func(j *batchv1.Job, to *exposition.Samples) {
		if c := jobCondition(j, kind); c != nil {
			addStatus(to, c.Status)
		}
	})
}

var cronJobFamilies = []exposition.Row[batchv1.CronJob]{
	created[batchv1.CronJob]("kube_cronjob"),
	several("kube_cronjob_info", "The CronJob's schedule", []string{"schedule", "concurrency_policy", "timezone"}, func(c *batchv1.CronJob, to *exposition.Samples) {
		zone := "local"
		if c.Spec.TimeZone != nil {
			zone = *c.Spec.TimeZone
		}
		to.Add(1, c.Spec.Schedule, string(c.Spec.ConcurrencyPolicy), zone)
	}),
	number("kube_cronjob_spec_suspend", "Whether the CronJob is suspended", func(c *batchv1.CronJob) float64 { return oneIf(valueOf(c.Spec.Suspend)) }),
	integer("kube_cronjob_spec_starting_deadline_seconds", "How late a Job of the CronJob may begin", func(c *batchv1.CronJob) *int64 { return c.Spec.StartingDeadlineSeconds }),
	integer("kube_cronjob_spec_successful_job_history_limit", "How many Jobs that are done are kept", func(c *batchv1.CronJob) *int32 { return c.Spec.SuccessfulJobsHistoryLimit }),
	integer("kube_cronjob_spec_failed_job_history_limit", "How many Jobs that have failed are kept", func(c *batchv1.CronJob) *int32 { return c.Spec.FailedJobsHistoryLimit }),
	number("kube_cronjob_status_active", "How many Jobs of the CronJob run", func(c *batchv1.CronJob) float64 { return float64(len(c.Status.Active)) }),
	moment("kube_cronjob_status_last_schedule_time", "When the CronJob's last Job was due, in seconds since 1970", func(c *batchv1.CronJob) *metav1.Time { return c.Status.LastScheduleTime }),
	moment("kube_cronjob_status_last_successful_time", "When a Job of the CronJob was done last, in seconds since 1970", func(c *batchv1.CronJob) *metav1.Time { return c.Status.LastSuccessfulTime }),
}

var claimFamilies = []exposition.Row[v1.PersistentVolumeClaim]{
	created[v1.PersistentVolumeClaim]("kube_persistentvolumeclaim"),
	deleted[v1.PersistentVolumeClaim]("kube_persistentvolumeclaim"),
	several("kube_persistentvolumeclaim_info", "The claim's storage class and volume", []string{"storageclass", "volumename", "volumemode"}, func(c *v1.PersistentVolumeClaim, to *exposition.Samples) {
		to.Add(1, valueOf(c.Spec.StorageClassName), c.Spec.VolumeName, string(valueOf(c.Spec.VolumeMode)))
	}),
	several("kube_persistentvolumeclaim_access_mode", "The claim's access modes", []string{"access_mode"}, func(c *v1.PersistentVolumeClaim, to *exposition.Samples) {
		for _, mode := range c.Spec.AccessModes {
			to.Add(1, string(mode))
		}
	}),
	several("kube_persistentvolumeclaim_resource_requests_storage_bytes", "How much storage the claim asks for", nil, func(c *v1.PersistentVolumeClaim, to *exposition.Samples) {
		if q, ok := c.Spec.Resources.Requests[v1.ResourceStorage]; ok {
			to.Add(q.AsApproximateFloat64())
		}
	}),
	several("kube_persistentvolumeclaim_status_phase", "The claim's phase", []string{"phase"}, func(c *v1.PersistentVolumeClaim, to *exposition.Samples) {
		for _, phase := range []v1.PersistentVolumeClaimPhase{v1.ClaimPending, v1.ClaimBound, v1.ClaimLost} {
			to.Add(oneIf(c.Status.Phase == phase), string(phase))
		}
	}),
}
