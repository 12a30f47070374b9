package shown

import (
	"cmp"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Job is what is known of a Job.
type Job struct {
	Job *batchv1.Job
	// Of is the CronJob that has started it, if one has.
	Of *batchv1.CronJob
	Figures
}

// Figures are what a Job's status is made of.
type Figures struct {
	Active, Ready, Succeeded, Failed int
	// Outcome is Complete or Failed; empty while there is none.
	Outcome, Reason, Message string
	Started, Finished        time.Time
	// Indexes are those that have succeeded, as the API writes them.
	Indexes string
	// At is when its CronJob was to start it.
	At time.Time
}

// Cron is what is known of a CronJob: when its runs were to start and when one has succeeded, the last time.
type Cron struct{ Started, Succeeded time.Time }

// allJobs are those of the manifests and those of CronJobs, by namespace and name.
func (m *maker) allJobs() []*batchv1.Job {
	out := make([]*batchv1.Job, 0, len(m.Jobs))
	for i := range m.Jobs {
		v := &m.Jobs[i]
		f := v.Figures
		out = append(out, made(m, "job", v.Job.Namespace+"/"+v.Job.Name, v.Job, f, func(o *batchv1.Job) {
			if v.Of != nil {
				f.owned(o, v.Of)
			}
			setShownJobDefaults(&o.Spec)
			o.Status = f.status(o)
		}))
	}
	slices.SortStableFunc(out, func(a, b *batchv1.Job) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// owned makes a Job its CronJob's, as the CronJob controller does.
func (f *Figures) owned(o *batchv1.Job, of *batchv1.CronJob) {
	o.CreationTimestamp, o.Generation = metav1.NewTime(f.At), 1
	uid := of.UID
	if uid == "" {
		uid = uidOf("cronjob", of.Namespace, of.Name)
	}
	o.OwnerReferences = []metav1.OwnerReference{
		*metav1.NewControllerRef(&metav1.ObjectMeta{Name: of.Name, UID: uid}, batchv1.SchemeGroupVersion.WithKind("CronJob")),
	}
	annotations := map[string]string{batchv1.CronJobScheduledTimestampAnnotation: f.At.UTC().Format(time.RFC3339)}
	for key, value := range o.Annotations {
		annotations[key] = value
	}
	o.Annotations = annotations
}

// setShownJobDefaults fills in those of Kubernetes' defaults that nothing is made of here.
func setShownJobDefaults(s *batchv1.JobSpec) {
	s.Template = defaulted(s.Template)
	if s.Suspend == nil {
		s.Suspend = ptr.To(false)
	}
	if s.PodReplacementPolicy == nil {
		s.PodReplacementPolicy = ptr.To(batchv1.TerminatingOrFailed)
	}
}

func (f *Figures) status(o *batchv1.Job) batchv1.JobStatus {
	s := batchv1.JobStatus{
		Active: int32(f.Active), Succeeded: int32(f.Succeeded), Failed: int32(f.Failed), Ready: ptr.To(int32(f.Ready)), Terminating: ptr.To[int32](0),
		CompletedIndexes: f.Indexes, UncountedTerminatedPods: &batchv1.UncountedTerminatedPods{},
	}
	suspended := *o.Spec.Suspend
	switch {
	case !f.Started.IsZero():
		s.StartTime = ptr.To(metav1.NewTime(f.Started))
	case !suspended || f.Outcome != "":
		s.StartTime = ptr.To(o.CreationTimestamp)
	}
	add := func(reason, message string, at time.Time, types ...batchv1.JobConditionType) {
		for _, t := range types {
			s.Conditions = append(s.Conditions, batchv1.JobCondition{
				Type: t, Status: v1.ConditionTrue, Reason: reason, Message: message, LastProbeTime: metav1.NewTime(at), LastTransitionTime: metav1.NewTime(at),
			})
		}
	}
	switch {
	case f.Outcome == string(batchv1.JobComplete):
		s.CompletionTime = ptr.To(metav1.NewTime(f.Finished))
		add("CompletionsReached", "as many pods have succeeded as were asked for", f.Finished, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	case f.Outcome == string(batchv1.JobFailed):
		add(cmp.Or(f.Reason, "Failed"), f.Message, f.Finished, batchv1.JobFailureTarget, batchv1.JobFailed)
	case suspended:
		add("JobSuspended", "the Job's manifest has suspend: true", o.CreationTimestamp.Time, batchv1.JobSuspended)
	}
	return s
}

func (m *maker) cronJob(key string, source *batchv1.CronJob) (any, func(*batchv1.CronJob)) {
	_, key, _ = strings.Cut(key, "/")
	state := m.Cron[key]
	var status batchv1.CronJobStatus
	if !state.Started.IsZero() {
		status.LastScheduleTime = ptr.To(metav1.NewTime(state.Started))
	}
	if !state.Succeeded.IsZero() {
		status.LastSuccessfulTime = ptr.To(metav1.NewTime(state.Succeeded))
	}
	for i := range m.Jobs {
		if v := &m.Jobs[i]; v.Of == source && v.Outcome == "" {
			status.Active = append(status.Active, v1.ObjectReference{
				APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job", Namespace: v.Job.Namespace, Name: v.Job.Name,
				UID: uidOf("job", v.Job.Namespace, v.Job.Name),
			})
		}
	}
	return status, func(o *batchv1.CronJob) {
		if o.Spec.Suspend == nil {
			o.Spec.Suspend = ptr.To(false)
		}
		setShownJobDefaults(&o.Spec.JobTemplate.Spec)
		o.Status = status
	}
}
