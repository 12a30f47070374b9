package workload

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
)

var t0 = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func job(change ...func(*batchv1.JobSpec)) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "default"}, Spec: batchv1.JobSpec{
		Completions: ptr.To[int32](1), Parallelism: ptr.To[int32](1), BackoffLimit: ptr.To[int32](2), CompletionMode: ptr.To(batchv1.NonIndexedCompletion),
		Template: v1.PodTemplateSpec{Spec: v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: []v1.Container{{Name: "c", Image: "i"}}}},
	}}
	for _, c := range change {
		c(&j.Spec)
	}
	return j
}

func completions(completions, parallelism int32) func(*batchv1.JobSpec) {
	return func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = &completions, &parallelism }
}

// existing makes pods of the job: each letter is one, r(unning), s(ucceeded), f(ailed) or w(aiting for room), in their order; all ended ago.
// A capital letter is one that was told to go.
func existing(j *batchv1.Job, letters string, ago time.Duration) []*v1.Pod {
	var out []*v1.Pod
	for n, l := range letters {
		p := manifests.JobPod(j, manifests.JobRevision(j), n, n)
		p.Status.StartTime = ptr.To(metav1.NewTime(t0.Add(-time.Minute)))
		if unicode.IsUpper(l) {
			p.DeletionTimestamp, l = ptr.To(metav1.NewTime(t0.Add(-ago))), unicode.ToLower(l)
		}
		p.Status.Phase = map[rune]v1.PodPhase{'r': v1.PodRunning, 's': v1.PodSucceeded, 'f': v1.PodFailed, 'w': v1.PodFailed}[l]
		if l == 'w' {
			p.Status.Reason = "OutOfmemory"
		}
		if l == 's' || l == 'f' {
			p.Status.ContainerStatuses = []v1.ContainerStatus{{State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{FinishedAt: metav1.NewTime(t0.Add(-ago))}}}}
		}
		out = append(out, p)
	}
	return out
}

func next(j *batchv1.Job, existing []*v1.Pod, now time.Time) Decision {
	return Next(j, manifests.JobRevision(j), nil, existing, now)
}

func text(d Decision) string {
	var out []string
	for _, p := range d.Pods {
		out = append(out, p.Name)
	}
	if d.Outcome != "" {
		out = append(out, strings.TrimSpace(string(d.Outcome)+" "+d.Reason))
	}
	if !d.Wake.IsZero() {
		out = append(out, "wake "+d.Wake.Sub(t0).String())
	}
	return strings.Join(out, ", ")
}

// The Job controller's rules (kubernetes.io/docs/concepts/workloads/controllers/job).
func TestJob(t *testing.T) {
	indexed := func(s *batchv1.JobSpec) { s.CompletionMode = ptr.To(batchv1.IndexedCompletion) }
	deadline := func(s *batchv1.JobSpec) { s.ActiveDeadlineSeconds = ptr.To[int64](90) }
	onFailure := func(s *batchv1.JobSpec) { s.Template.Spec.RestartPolicy = v1.RestartPolicyOnFailure }
	queue := func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = nil, ptr.To[int32](2) }
	suspend := func(s *batchv1.JobSpec) { s.Suspend = ptr.To(true) }
	for _, c := range []struct {
		name string
		job  *batchv1.Job
		pods string
		ago  time.Duration
		want string
	}{
		{"a new one", job(), "", 0, "j-0"},
		{"it runs", job(), "r", 0, "j-0"},
		{"it waits for room, as long as that takes", job(), "w", time.Hour, "j-0"},
		{"which is no failure", job(), "ffw", time.Hour, "j-0, j-1, j-2"},
		{"it has succeeded", job(), "s", 0, "j-0, Complete"},
		{"parallelism", job(completions(5, 2)), "", 0, "j-0, j-1"},
		{"the next when one is done", job(completions(5, 2)), "sr", 0, "j-0, j-1, j-2"},
		{"no more than completions", job(completions(3, 2)), "ssr", 0, "j-0, j-1, j-2"},
		{"all completions", job(completions(3, 2)), "sss", 0, "j-0, j-1, j-2, Complete"},
		{"a failure waits ten seconds", job(), "f", 4 * time.Second, "j-0, wake 6s"},
		{"and is then replaced", job(), "f", 10 * time.Second, "j-0, j-1"},
		{"the second waits twenty", job(), "ff", 10 * time.Second, "j-0, j-1, wake 10s"},
		{"the third is one too many", job(), "fff", time.Hour, "j-0, j-1, j-2, Failed BackoffLimitExceeded"},
		{"what still runs then goes", job(completions(2, 2)), "fffr", time.Hour, "j-0, j-1, j-2, Failed BackoffLimitExceeded"},
		{"the deadline is waited for", job(deadline), "r", 0, "j-0, wake 30s"},
		{"indexes", job(completions(3, 3), indexed), "", 0, "j-0, j-1, j-2"},
		{"an index that failed", job(completions(3, 3), indexed), "fss", time.Hour, "j-1, j-2, j-0, j-3"},
		{"a work queue", job(queue), "", 0, "j-0, j-1"},
		{"it ends when one says so and none runs", job(queue), "sr", 0, "j-0, j-1"},
		{"and none is replaced", job(queue), "ss", 0, "j-0, j-1, Complete"},
		{"suspended: nothing starts", job(suspend), "", 0, ""},
		{"one that was told to go and succeeded counts for nothing", job(), "S", 0, "j-1"},
		{"nor does one that failed then, which nothing waits for", job(), "F", 0, "j-1"},
		{"nor does it reach the limit", job(), "ffF", time.Hour, "j-0, j-1, j-3"},
		{"nor is its completion one", job(completions(2, 2)), "sS", 0, "j-0, j-2"},
		{"one that is told to go and runs has its place", job(), "R", 0, "j-0"},
		{"suspended: what runs goes", job(completions(2, 1), suspend), "sr", 0, "j-0"},
	} {
		got := text(next(c.job, existing(c.job, c.pods, c.ago), t0))
		if c.name == "an index that failed" {
			got = text(Decision{Pods: sortPods(next(c.job, existing(c.job, c.pods, c.ago), t0).Pods)})
			c.want = "j-0, j-1, j-2, j-3"
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	// The pods of another version, which are told to go.
	for pods, want := range map[string]string{"r": "", "R": "", "S": "", "s": "j-1", "sf": "j-2", "sR": ""} {
		edited := job(func(s *batchv1.JobSpec) { s.Template.Spec.Containers[0].Image = "other" })
		if got := text(next(edited, existing(job(), pods, time.Hour), t0)); got != want {
			t.Errorf("another template, and of the former one %s: got %s, want %s", pods, got, want)
		}
	}
	late := job(deadline)
	if got := text(next(late, existing(late, "r", 0), t0.Add(30*time.Second))); got != "Failed DeadlineExceeded" {
		t.Errorf("the deadline: %s", got)
	}
	restarting := job(onFailure)
	pods := existing(restarting, "r", 0)
	for restarts, want := range map[int32]string{2: "j-0", 3: "Failed BackoffLimitExceeded"} {
		pods[0].Status.ContainerStatuses = []v1.ContainerStatus{{RestartCount: restarts}}
		if got := text(next(restarting, pods, t0)); got != want {
			t.Errorf("%d restarts: got %s, want %s", restarts, got, want)
		}
	}
	// Another version of the job: its pods go, and the names go on.
	edited := job(func(s *batchv1.JobSpec) { s.Template.Spec.Containers[0].Image = "other" })
	if got := text(next(edited, existing(job(), "s", 0), t0)); got != "j-1" {
		t.Errorf("an edit: %s", got)
	}
	again := job(completions(2, 2), indexed)
	if d := next(again, existing(again, "sS", 0), t0); text(d) != "j-0, j-2" || d.Pods[1].Spec.Hostname != "j-1" {
		t.Errorf("the index of one that was told to go is not taken again: %s", text(d))
	}
	index := next(job(completions(2, 2), indexed), nil, t0).Pods[1]
	if e := index.Spec.Containers[0].Env; len(e) != 1 || e[0].Value != "1" || index.Spec.Hostname != "j-1" {
		t.Errorf("the index: %+v %s", e, index.Spec.Hostname)
	}
}

func sortPods(pods []*v1.Pod) []*v1.Pod {
	out := make([]*v1.Pod, len(pods))
	for _, p := range pods {
		var n int
		fmt.Sscanf(p.Name, "j-%d", &n) //nolint:errcheck // the names are ours
		out[n] = p
	}
	return out
}

func cronJob(schedule string, change ...func(*batchv1.CronJobSpec)) *batchv1.CronJob {
	c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "default"}, Spec: batchv1.CronJobSpec{
		Schedule: schedule, ConcurrencyPolicy: batchv1.AllowConcurrent, SuccessfulJobsHistoryLimit: ptr.To[int32](3), FailedJobsHistoryLimit: ptr.To[int32](1),
		JobTemplate: batchv1.JobTemplateSpec{Spec: job().Spec},
	}}
	for _, f := range change {
		f(&c.Spec)
	}
	return c
}

// The CronJob controller's rules (kubernetes.io/docs/concepts/workloads/controllers/cron-jobs).
func TestCronJob(t *testing.T) {
	forbid := func(s *batchv1.CronJobSpec) { s.ConcurrencyPolicy = batchv1.ForbidConcurrent }
	replace := func(s *batchv1.CronJobSpec) { s.ConcurrencyPolicy = batchv1.ReplaceConcurrent }
	deadline := func(s *batchv1.CronJobSpec) { s.StartingDeadlineSeconds = ptr.To[int64](60) }
	longest := func(s *batchv1.CronJobSpec) { s.StartingDeadlineSeconds = ptr.To[int64](math.MaxInt64) }
	suspend := func(s *batchv1.CronJobSpec) { s.Suspend = ptr.To(true) }
	vienna := func(s *batchv1.CronJobSpec) { s.TimeZone = ptr.To("Europe/Vienna") }
	active := func() []*Run { return []*Run{{At: t0.Add(-time.Hour), Job: job()}} }
	for _, c := range []struct {
		name string
		cron *batchv1.CronJob
		last time.Duration // before t0; zero: never
		runs []*Run
		want string // the runs' moments, after t0, and the wake
		says string
	}{
		{"a new one waits", cronJob("0 * * * *"), 0, nil, "; 1h0m0s", ""},
		{"it is time", cronJob("0 * * * *"), 30 * time.Minute, nil, "0s; 1h0m0s", ""},
		{"not yet", cronJob("30 * * * *"), 10 * time.Minute, nil, "; 30m0s", ""},
		{"of several missed ones the latest is made up for", cronJob("0 * * * *"), 10*time.Hour + time.Minute, nil, "0s; 1h0m0s", "several runs were missed"},
		{"after years", cronJob("* * * * *"), 50 * 366 * 24 * time.Hour, nil, "0s; 1m0s", "several runs were missed"},
		{"a rare one after a year", cronJob("30 3 1 6 *"), 400 * 24 * time.Hour, nil, "-5144h30m0s; 3615h30m0s", ""},
		{"missed for too long", cronJob("45 11 * * *", deadline), time.Hour, nil, "; 23h45m0s", "startingDeadlineSeconds is over"},
		{"within its deadline", cronJob("0 * * * *", deadline), time.Hour, nil, "0s; 1h0m0s", ""},
		{"within the longest deadline", cronJob("0 * * * *", longest), time.Hour, nil, "0s; 1h0m0s", ""},
		{"beside another run", cronJob("0 * * * *"), time.Hour, active(), "-1h0m0s, 0s; 1h0m0s", ""},
		{"not beside another run", cronJob("0 * * * *", forbid), time.Hour, active(), "-1h0m0s; 1h0m0s", ""},
		{"in place of another run", cronJob("0 * * * *", replace), time.Hour, active(), "0s; 1h0m0s", "replaced"},
		{"suspended", cronJob("0 * * * *", suspend), time.Hour, nil, "; ", ""},
		{"in its time zone", cronJob("0 13 * * *", vienna), time.Hour, nil, "0s; 24h0m0s", ""},
		{"the clock has gone back", cronJob("0 * * * *"), -time.Hour, nil, "; 1h0m0s", ""},
	} {
		state := &CronState{Runs: c.runs}
		if c.last != 0 {
			state.Last = t0.Add(-c.last)
		}
		messages, wake, err := Due(c.cron, state, t0)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var runs []string
		for _, r := range state.Runs {
			runs = append(runs, r.At.Sub(t0).String())
		}
		got := strings.Join(runs, ", ") + "; "
		if !wake.IsZero() {
			got += wake.Sub(t0).String()
		}
		if said := strings.Join(messages, " "); got != c.want || !strings.Contains(said, c.says) || (said == "") != (c.says == "") {
			t.Errorf("%s: got %q %q, want %q %q", c.name, got, said, c.want, c.says)
		}
	}
	if name := manifests.JobOf(cronJob("@daily"), t0).Name; name != "c-29454480" {
		t.Errorf("the job is called %s", name)
	}
	state := &CronState{}
	for _, o := range []Outcome{Failed, Complete, Complete, Failed, Complete, Complete, ""} {
		state.Runs = append(state.Runs, &Run{Outcome: o, Job: job()})
	}
	Forget(cronJob("@daily"), state)
	var left []string
	for _, r := range state.Runs {
		left = append(left, string(r.Outcome))
	}
	if got := strings.Join(left, " "); got != "Complete Failed Complete Complete " {
		t.Errorf("the history is %q", got)
	}
}
