// Package workload turns Jobs and CronJobs into pods: which should exist now, and when to look again.
//
// What a Job has done is read off its pods, whose records outlive restarts and reboots; only what cannot be seen there is
// kept in a file of its own. The rules (job.go, cron.go) are pure; the Controller does the rest.
package workload

import (
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/workload/shown"
)

// Outcome is how a Job has ended; empty while it has not.
type Outcome string

// Outcomes.
const (
	Complete Outcome = "Complete"
	Failed   Outcome = "Failed"
)

// Decision is what should be of a Job now.
type Decision struct {
	// Pods should exist: those that run, those that have ended, and new ones.
	Pods    []*v1.Pod
	Outcome Outcome
	// Reason and Message say why it has failed.
	Reason, Message string
	// FinishedAt is when its last pod ended, once there is an outcome.
	FinishedAt time.Time
	// Wake is when to look again without an event; zero means never.
	Wake time.Time
	// Done, unless it is nil, is what must be kept from now on: pods are let go that only it tells of.
	Done *Done

	Active, Succeeded, Failures int
	// Ready of the active pods are ready; StartedAt is when the first pod began, and Indexes are those that have succeeded, as the API
	// writes them.
	Ready     int
	StartedAt time.Time
	Indexes   string
}

const (
	firstDelay = 10 * time.Second
	maxDelay   = 10 * time.Minute // the Job controller's (MaxJobPodFailureBackoff)
)

// tally is what the pods of a Job have come to.
type tally struct {
	active, ended []*v1.Pod // those that have succeeded are in succeeded alone
	succeeded     []finished
	indexes       map[int]bool // that have succeeded; without indexes they are numbers
	done          *Done        // of pods that are gone
	failed        int
	ready         int
	restarts      int
	lastFailure   time.Time
	last          time.Time
	started       time.Time
	highest       int
	running       map[int]bool // indexes that have a pod
	// former: pods of another version of the Job have not gone yet.
	former bool
}

// Next decides about a Job from its pods, as the Job controller does (pkg/controller/job): completions and parallelism,
// failed pods replaced with a back-off up to backoffLimit, the active deadline. done is what was kept of it. existing are all pods that belong to the Job's
// name; those of another version of it than revision, which is the Job's, go, and nothing begins before they have: two versions of
// a Job would do the same work at once.
func Next(job *batchv1.Job, revision string, done *Done, existing []*v1.Pod, now time.Time) Decision {
	t := count(job, revision, done, existing)
	d := Decision{
		Active: len(t.active), Succeeded: t.completions(), Failures: t.failed, Ready: t.ready, StartedAt: t.started, Indexes: t.indexText(job),
	}
	d.Pods, d.Done = t.done.letGo(t.succeeded, t.started)
	d.Pods = append(d.Pods, t.ended...)
	d.outcome(job, t, now)
	if d.Outcome != "" {
		if d.FinishedAt = t.last; d.FinishedAt.IsZero() {
			d.FinishedAt = now
		}
		return d
	}
	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		return d
	}
	d.Pods = append(d.Pods, t.active...)
	if a := job.Spec.ActiveDeadlineSeconds; a != nil && !t.started.IsZero() {
		d.Wake = t.started.Add(time.Duration(*a) * time.Second)
	}
	d.create(job, revision, t, now)
	return d
}

// Over is the decision about a Job that has ended before: what ended stays, nothing starts. Its pods no longer tell all of it:
// those that ran when it failed are gone.
func Over(job *batchv1.Job, revision string, done *Done, existing []*v1.Pod, outcome Outcome, finishedAt time.Time) Decision {
	t := count(job, revision, done, existing)
	d := Decision{Outcome: outcome, FinishedAt: finishedAt, Succeeded: t.completions(), Failures: t.failed}
	d.Pods, d.Done = t.done.letGo(t.succeeded, t.started)
	d.Pods = append(d.Pods, t.ended...)
	return d
}

func (d *Decision) outcome(job *batchv1.Job, t tally, now time.Time) {
	fail := func(reason, message string) { d.Outcome, d.Reason, d.Message = Failed, reason, message }
	limit := int(*job.Spec.BackoffLimit)
	switch a := job.Spec.ActiveDeadlineSeconds; {
	case job.Spec.Completions != nil && t.completions() >= int(*job.Spec.Completions),
		job.Spec.Completions == nil && t.completions() > 0 && len(t.active) == 0:
		d.Outcome = Complete
	case t.failed > limit, job.Spec.Template.Spec.RestartPolicy == v1.RestartPolicyOnFailure && t.restarts > 0 && t.restarts+t.failed > limit:
		fail("BackoffLimitExceeded", "Job has reached the specified backoff limit")
	case a != nil && !t.started.IsZero() && !now.Before(t.started.Add(time.Duration(*a)*time.Second)):
		fail("DeadlineExceeded", "Job was active longer than specified deadline")
	}
}

// create adds the pods that are missing, unless a failure makes them wait.
func (d *Decision) create(job *batchv1.Job, revision string, t tally, now time.Time) {
	want := int(*job.Spec.Parallelism)
	if c := job.Spec.Completions; c != nil {
		want = min(want, int(*c)-t.completions())
	} else if t.completions() > 0 {
		want = 0 // one has said that the work is done
	}
	missing := want - len(t.active)
	if missing <= 0 || t.former {
		return
	}
	if t.failed > 0 {
		delay := min(firstDelay<<min(t.failed-1, 10), maxDelay)
		if until := t.lastFailure.Add(delay); until.After(now) {
			if d.Wake.IsZero() || until.Before(d.Wake) {
				d.Wake = until
			}
			return
		}
	}
	index := 0
	for n := t.highest + 1; missing > 0; n++ {
		for t.done.Indexes.Has(index) || t.indexes[index] || t.running[index] {
			index++
		}
		d.Pods = append(d.Pods, manifests.JobPod(job, revision, n, index))
		t.running[index] = true
		missing--
	}
}

// completions are how many have succeeded.
func (t *tally) completions() int { return t.done.Indexes.Len() + len(t.indexes) }

func count(job *batchv1.Job, revision string, done *Done, existing []*v1.Pod) tally {
	done = done.of(revision)
	t := tally{indexes: map[int]bool{}, running: map[int]bool{}, done: done, highest: done.Pods.Max(), started: done.Started}
	indexed := job.Spec.CompletionMode != nil && *job.Spec.CompletionMode == batchv1.IndexedCompletion
	for _, p := range existing {
		n, err := strconv.Atoi(strings.TrimPrefix(p.Name, job.Name+"-"))
		if err != nil {
			continue
		}
		t.highest = max(t.highest, n)
		_, of, text, _ := manifests.JobOfPod(p)
		if of != revision {
			phase := phaseOf(p)
			t.former = t.former || p.DeletionTimestamp != nil || phase != v1.PodSucceeded && phase != v1.PodFailed
			continue
		}
		if done.Pods.Has(n) {
			continue // it is counted, and on its way out
		}
		index := n
		if indexed {
			if index, err = strconv.Atoi(text); err != nil {
				continue
			}
		}
		t.add(manifests.JobPod(job, revision, n, index), p, n, index)
	}
	return t
}

// indexText writes the indexes that have succeeded as the API does. A Job may have a hundred thousand, and it is asked at each event.
func (t *tally) indexText(job *batchv1.Job) string {
	if job.Spec.CompletionMode == nil || *job.Spec.CompletionMode != batchv1.IndexedCompletion {
		return ""
	}
	all := t.done.Indexes.Clone()
	for i := range t.indexes {
		all.Add(i)
	}
	return all.Indexes()
}

// add counts one pod. made is the pod as the Job makes it, which keeps it as it is.
func (t *tally) add(made, p *v1.Pod, n, index int) {
	if s := p.Status.StartTime; s != nil && (t.started.IsZero() || s.Time.Before(t.started)) {
		t.started = s.Time
	}
	switch phase := phaseOf(p); {
	case p.DeletionTimestamp != nil && (phase == v1.PodSucceeded || phase == v1.PodFailed):
		// It was told to go, and how its containers ended then says nothing of the work.
	case phase == v1.PodSucceeded:
		t.succeeded = append(t.succeeded, finished{made, n, index})
		if !t.done.Indexes.Has(index) {
			t.indexes[index] = true
		}
		t.last = later(t.last, ended(p))
	case phase == v1.PodFailed:
		t.ended = append(t.ended, made)
		t.failed++
		t.lastFailure = later(t.lastFailure, ended(p))
		t.last = later(t.last, ended(p))
	default:
		t.active = append(t.active, made)
		t.running[index] = true
		if podReady(p) {
			t.ready++
		}
		for _, list := range [][]v1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for _, c := range list {
				t.restarts += int(c.RestartCount)
			}
		}
	}
}

// phaseOf is a pod's phase, as far as a Job's work is meant: one that waits for room has not failed at it.
func phaseOf(p *v1.Pod) v1.PodPhase {
	if manifests.AwaitsRoom(p) {
		return v1.PodPending
	}
	return p.Status.Phase
}

func podReady(p *v1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}

// ended is when the last container of a pod ended.
func ended(p *v1.Pod) time.Time {
	var at time.Time
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Terminated != nil {
			at = later(at, c.State.Terminated.FinishedAt.Time)
		}
	}
	if at.IsZero() && p.Status.StartTime != nil {
		at = p.Status.StartTime.Time
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// figures of a Job that a decision was made about.
func figures(d *Decision) shown.Figures {
	f := shown.Figures{
		Active: d.Active, Ready: d.Ready, Succeeded: d.Succeeded, Failed: d.Failures, Outcome: string(d.Outcome), Reason: d.Reason, Message: d.Message,
		Started: d.StartedAt.Round(0), Indexes: d.Indexes,
	}
	if d.Outcome != "" {
		f.Active, f.Ready, f.Finished = 0, 0, d.FinishedAt.Round(0)
	}
	return f
}
