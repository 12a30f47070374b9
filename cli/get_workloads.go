package cli

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/workload"
)

// The columns of these kinds are kubectl's; what Solopod knows beside that is in the description.

// number is a count that an API server fills in.
func number(n *int32) string {
	if n == nil {
		return "<none>"
	}
	return fmt.Sprint(*n)
}

func readyText(ready int32, of *int32) string { return fmt.Sprintf("%d/%s", ready, number(of)) }

// madeOf are the names and the images of a template's containers.
func madeOf(t *v1.PodTemplateSpec) []string {
	var names, images []string
	for _, c := range t.Spec.Containers {
		names, images = append(names, c.Name), append(images, c.Image)
	}
	return []string{strings.Join(names, ","), strings.Join(images, ",")}
}

func deploymentTable(s *selection, list []*appsv1.Deployment) table {
	t := table{header: []string{"NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"}}
	if s.output == "wide" {
		t.header = append(t.header, "CONTAINERS", "IMAGES", "SELECTOR")
	}
	for _, o := range list {
		row := []string{
			o.Name, readyText(o.Status.ReadyReplicas, o.Spec.Replicas), fmt.Sprint(o.Status.UpdatedReplicas), fmt.Sprint(o.Status.AvailableReplicas),
			age(o.CreationTimestamp),
		}
		if s.output == "wide" {
			row = append(append(row, madeOf(&o.Spec.Template)...), metav1.FormatLabelSelector(o.Spec.Selector))
		}
		t.rows = append(t.rows, row)
	}
	return withHeld(t, list)
}

// withHeld adds a column to a table of objects, if what runs of some is not what their manifests say: why that is. The description says more.
func withHeld[T metav1.Object](t table, list []T) table {
	some := false
	words := make([]string, len(list))
	for i, o := range list {
		words[i] = "<none>"
		if held := o.GetAnnotations()[manifests.HeldAnnotation]; held != "" {
			words[i], _, _ = strings.Cut(held, ":")
			some = true
		}
	}
	if !some {
		return t
	}
	t.header = append(t.header, "HELD")
	for i := range t.rows {
		t.rows[i] = append(t.rows[i], words[i])
	}
	return t
}

func replicaSetTable(s *selection, list []*appsv1.ReplicaSet) table {
	t := table{header: []string{"NAME", "DESIRED", "CURRENT", "READY", "AGE"}}
	if s.output == "wide" {
		t.header = append(t.header, "CONTAINERS", "IMAGES", "SELECTOR")
	}
	for _, o := range list {
		row := []string{o.Name, number(o.Spec.Replicas), fmt.Sprint(o.Status.Replicas), fmt.Sprint(o.Status.ReadyReplicas), age(o.CreationTimestamp)}
		if s.output == "wide" {
			row = append(append(row, madeOf(&o.Spec.Template)...), metav1.FormatLabelSelector(o.Spec.Selector))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func statefulSetTable(s *selection, list []*appsv1.StatefulSet) table {
	t := table{header: []string{"NAME", "READY", "AGE"}}
	if s.output == "wide" {
		t.header = append(t.header, "CONTAINERS", "IMAGES")
	}
	for _, o := range list {
		row := []string{o.Name, readyText(o.Status.ReadyReplicas, o.Spec.Replicas), age(o.CreationTimestamp)}
		if s.output == "wide" {
			row = append(row, madeOf(&o.Spec.Template)...)
		}
		t.rows = append(t.rows, row)
	}
	return withHeld(t, list)
}

func daemonSetTable(s *selection, list []*appsv1.DaemonSet) table {
	t := table{header: []string{"NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"}}
	if s.output == "wide" {
		t.header = append(t.header, "CONTAINERS", "IMAGES", "SELECTOR")
	}
	for _, o := range list {
		row := []string{o.Name}
		for _, n := range []int32{
			o.Status.DesiredNumberScheduled, o.Status.CurrentNumberScheduled, o.Status.NumberReady, o.Status.UpdatedNumberScheduled, o.Status.NumberAvailable,
		} {
			row = append(row, fmt.Sprint(n))
		}
		row = append(row, age(o.CreationTimestamp))
		if s.output == "wide" {
			row = append(append(row, madeOf(&o.Spec.Template)...), metav1.FormatLabelSelector(o.Spec.Selector))
		}
		t.rows = append(t.rows, row)
	}
	return withHeld(t, list)
}

func jobTable(s *selection, list []*batchv1.Job) table {
	t := table{header: []string{"NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"}}
	if s.output == "wide" {
		t.header = append(t.header, "CONTAINERS", "IMAGES")
	}
	for _, o := range list {
		row := []string{o.Name, jobStatus(o), completions(o), jobDuration(o), age(o.CreationTimestamp)}
		if s.output == "wide" {
			row = append(row, madeOf(&o.Spec.Template)...)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// jobStatus is a word for how far a Job is.
func jobStatus(o *batchv1.Job) string {
	for _, c := range o.Status.Conditions {
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobFailed, batchv1.JobSuspended:
			if c.Status == v1.ConditionTrue {
				return string(c.Type)
			}
		}
	}
	return "Running"
}

func completions(o *batchv1.Job) string {
	switch {
	case o.Spec.Completions != nil:
		return fmt.Sprintf("%d/%d", o.Status.Succeeded, *o.Spec.Completions)
	case o.Spec.Parallelism != nil && *o.Spec.Parallelism > 1:
		return fmt.Sprintf("%d/1 of %d", o.Status.Succeeded, *o.Spec.Parallelism)
	}
	return fmt.Sprintf("%d/1", o.Status.Succeeded)
}

// jobDuration is how long a Job took, or has been running.
func jobDuration(o *batchv1.Job) string {
	if o.Status.StartTime == nil {
		return ""
	}
	if end := jobEnd(o); !end.IsZero() {
		return duration.HumanDuration(end.Sub(o.Status.StartTime.Time))
	}
	return duration.HumanDuration(time.Since(o.Status.StartTime.Time))
}

func jobEnd(o *batchv1.Job) time.Time {
	if o.Status.CompletionTime != nil {
		return o.Status.CompletionTime.Time
	}
	for _, c := range o.Status.Conditions {
		if c.Type == batchv1.JobFailed && c.Status == v1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// cronJobTable says when a CronJob runs next, for which kubectl's columns of its time zone and whether it is suspended give way at 80 columns.
func cronJobTable(s *selection, list []*batchv1.CronJob) table {
	t := table{header: []string{"NAME", "SCHEDULE", "ACTIVE", "LAST SCHEDULE", "NEXT", "AGE"}}
	if s.output == "wide" {
		t.header = append(t.header, "SUSPEND", "TIMEZONE", "CONTAINERS", "IMAGES")
	}
	for _, o := range list {
		zone, last := "<none>", "<none>"
		if o.Spec.TimeZone != nil {
			zone = *o.Spec.TimeZone
		}
		if o.Status.LastScheduleTime != nil {
			last = age(*o.Status.LastScheduleTime)
		}
		next := "<none>"
		if suspended(o) {
			next = "<suspended>"
		}
		if at := nextRun(o); !at.IsZero() {
			next = duration.HumanDuration(time.Until(at))
		}
		row := []string{o.Name, o.Spec.Schedule, fmt.Sprint(len(o.Status.Active)), last, next, age(o.CreationTimestamp)}
		if s.output == "wide" {
			row = append(append(row, trueOrFalse(suspended(o)), zone), madeOf(&o.Spec.JobTemplate.Spec.Template)...)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func suspended(o *batchv1.CronJob) bool { return o.Spec.Suspend != nil && *o.Spec.Suspend }

// trueOrFalse is how kubectl's tables say it.
func trueOrFalse(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// nextRun is when a CronJob runs next; zero while it is suspended.
func nextRun(o *batchv1.CronJob) time.Time {
	if suspended(o) {
		return time.Time{}
	}
	schedule, err := workload.Schedule(o)
	if err != nil {
		return time.Time{}
	}
	return schedule.Next(time.Now())
}
