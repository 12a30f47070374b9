package workload

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/clock"
)

// Runner runs pods. Package runner implements it.
type Runner interface {
	Apply(manifests.Snapshot)
	Pods() []*v1.Pod
	Subscribe() (changes <-chan struct{}, cancel func())
}

// Report says what has happened to an object.
type Report func(kind, namespace, name, eventType, reason, message string)

// Controller stands between the manifests and the runner: it adds the pods of Jobs and CronJobs to those that should run. Run
// does all of its work; the lock is held only to hand over what comes in and what is shown.
type Controller struct {
	runner Runner
	report Report
	store  *store
	kick   chan struct{}

	mu     sync.Mutex
	given  *manifests.Snapshot // not looked at yet
	status []Status

	// What follows is Run's.
	snapshot manifests.Snapshot
	known    bool // there was a snapshot
	state    state
	wake     time.Time
	applied  string // which job pods the runner was given
	next     []Status
}

// Status is what is shown of a Job or CronJob.
type Status struct {
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Outcome   Outcome   `json:"outcome,omitempty"`
	Message   string    `json:"message,omitempty"`
	Active    int       `json:"active"`
	Succeeded int       `json:"succeeded"`
	Failed    int       `json:"failed"`
	Schedule  string    `json:"schedule,omitempty"`
	Last      time.Time `json:"last,omitzero"`
	Next      time.Time `json:"next,omitzero"`
}

// New makes a Controller that keeps its state in the file at path. A file that is none is set aside.
func New(runner Runner, path string, report Report) *Controller {
	c := &Controller{runner: runner, report: report, store: newStore(path), kick: make(chan struct{}, 1)}
	c.state = c.store.load()
	return c
}

// Apply takes a new desired state, which Run hands on with the pods of Jobs. It does not block.
func (c *Controller) Apply(s manifests.Snapshot) {
	c.mu.Lock()
	c.given = &s
	c.mu.Unlock()
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Statuses are the Jobs and CronJobs there are, by kind, namespace and name.
func (c *Controller) Statuses() []Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.status)
}

// Run looks again whenever there is a new desired state, a pod changes, a moment of a schedule comes, or the clock is set,
// until ctx ends. It is called once.
func (c *Controller) Run(ctx context.Context) error {
	defer c.store.close()
	changes, cancel := c.runner.Subscribe()
	defer cancel()
	set := make(chan struct{}, 1)
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(ctx) // also where a panic ends this
	defer stop()
	watching.Go(func() {
		err := clock.Watch(ctx, func(time.Duration) {
			select {
			case set <- struct{}{}:
			default:
			}
		})
		if err != nil {
			slog.Warn("when the clock is set, schedules are looked at later", "err", err)
		}
	})
	for {
		var timer <-chan time.Time
		if !c.wake.IsZero() {
			timer = time.After(max(time.Until(c.wake), time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
		case <-timer:
		case <-set:
		case <-c.kick:
		}
		c.look(time.Now())
	}
}

// look takes a new desired state, if there is one, and decides if there is anything to decide about.
func (c *Controller) look(now time.Time) {
	c.mu.Lock()
	given := c.given
	c.given = nil
	c.mu.Unlock()
	if given != nil {
		c.snapshot, c.known = *given, true
	}
	if given == nil && (!c.known || !c.anything()) {
		return
	}
	c.step(now, given != nil)
	c.mu.Lock()
	c.status = c.next
	c.mu.Unlock()
}

func (c *Controller) anything() bool {
	return len(c.snapshot.Jobs)+len(c.snapshot.CronJobs)+len(c.state.Cron) > 0
}

// step decides about everything and gives the runner what has changed; with always it is given the snapshot in any case.
func (c *Controller) step(now time.Time, always bool) {
	now = now.Round(0)
	c.wake, c.next = time.Time{}, nil
	pods := podsByJob(c.runner.Pods())
	desired := map[string]manifests.Desired{}
	c.cronJobs(now)
	for _, key := range slices.Sorted(maps.Keys(c.snapshot.Jobs)) {
		c.job(c.snapshot.Jobs[key], key, pods[key], now, desired)
	}
	for _, key := range slices.Sorted(maps.Keys(c.state.Cron)) {
		c.runs(key, pods, now, desired)
	}
	c.purge()
	if err := c.store.save(c.state); err != nil {
		slog.Error("cannot write down what Jobs have done", "err", err)
	}
	c.store.note()
	names := slices.Sorted(maps.Keys(desired))
	if applied := strings.Join(names, " "); always || applied != c.applied {
		c.applied = applied
		merged := c.snapshot
		merged.Pods = make(map[string]manifests.Desired, len(c.snapshot.Pods)+len(desired))
		maps.Copy(merged.Pods, c.snapshot.Pods)
		for uid, d := range desired {
			if _, taken := merged.Pods[uid]; !taken {
				merged.Pods[uid] = d
			}
		}
		c.runner.Apply(merged)
	}
}

// job decides about a Job of a manifest.
func (c *Controller) job(job *batchv1.Job, key string, existing []*v1.Pod, now time.Time, desired map[string]manifests.Desired) {
	revision := manifests.JobRevision(job)
	kept := c.state.Jobs[key]
	if kept != nil && kept.Revision != revision {
		kept = nil
	}
	var d Decision
	if kept == nil {
		if d = Next(job, revision, existing, now); d.Outcome != "" {
			kept = &jobState{Revision: revision, Outcome: d.Outcome, Message: d.Message, Succeeded: d.Succeeded, Failed: d.Failures, FinishedAt: d.FinishedAt.Round(0)}
			c.ended("Job", job.Namespace, job.Name, d)
		}
	} else {
		d = Over(job, revision, existing, kept.Outcome, kept.FinishedAt)
	}
	status := Status{Kind: "Job", Namespace: job.Namespace, Name: job.Name, Active: d.Active, Succeeded: d.Succeeded, Failed: d.Failures}
	if kept != nil {
		c.state.Jobs[key] = kept
		status.Active, status.Outcome, status.Message, status.Succeeded, status.Failed = 0, kept.Outcome, kept.Message, kept.Succeeded, kept.Failed
		if c.expired(job, kept.FinishedAt, now) {
			d.Pods = nil
		}
	}
	c.next = append(c.next, status)
	c.wakeAt(d.Wake)
	c.want(d.Pods, c.snapshot.FileOf["job/"+key], desired)
}

// expired: the pods of a Job that ended at finished go; else it is looked at again when they do.
func (c *Controller) expired(job *batchv1.Job, finished, now time.Time) bool {
	ttl := job.Spec.TTLSecondsAfterFinished
	if ttl == nil {
		return false
	}
	until := finished.Add(time.Duration(*ttl) * time.Second)
	if until.After(now) {
		c.wakeAt(until)
		return false
	}
	return true
}

// cronJobs starts the runs whose time has come.
func (c *Controller) cronJobs(now time.Time) {
	for _, key := range slices.Sorted(maps.Keys(c.snapshot.CronJobs)) {
		cj := c.snapshot.CronJobs[key]
		state := c.state.Cron[key]
		if state == nil {
			state = &CronState{}
			c.state.Cron[key] = state
		}
		messages, wake, err := Due(cj, state, now)
		if err != nil {
			messages = []string{err.Error()} // validation has refused it
		}
		for _, m := range messages {
			c.report("CronJob", cj.Namespace, cj.Name, v1.EventTypeWarning, "Schedule", m)
		}
		c.wakeAt(wake)
	}
}

// runs decides about the jobs that a CronJob has started.
func (c *Controller) runs(key string, pods map[string][]*v1.Pod, now time.Time, desired map[string]manifests.Desired) {
	state, cj := c.state.Cron[key], c.snapshot.CronJobs[key]
	if cj == nil {
		return
	}
	status := Status{Kind: "CronJob", Namespace: cj.Namespace, Name: cj.Name, Schedule: cj.Spec.Schedule, Last: state.Last}
	if schedule, err := Schedule(cj); err == nil && (cj.Spec.Suspend == nil || !*cj.Spec.Suspend) {
		status.Next = schedule.Next(now)
	}
	ended := false
	for _, run := range state.Runs {
		existing := pods[run.Job.Namespace+"/"+run.Job.Name]
		revision := manifests.JobRevision(run.Job)
		var d Decision
		if run.Outcome == "" {
			d = Next(run.Job, revision, existing, now)
		} else {
			d = Over(run.Job, revision, existing, run.Outcome, run.FinishedAt)
		}
		if d.Outcome != "" && run.Outcome == "" {
			run.Outcome, run.FinishedAt, ended = d.Outcome, d.FinishedAt.Round(0), true
			c.ended("CronJob", cj.Namespace, cj.Name, d)
		}
		if run.Outcome != "" && c.expired(run.Job, run.FinishedAt, now) {
			d.Pods = nil
		}
		switch run.Outcome {
		case Complete:
			status.Succeeded++
		case Failed:
			status.Failed++
		default:
			status.Active++
			c.wakeAt(d.Wake)
		}
		c.want(d.Pods, c.snapshot.FileOf["cronjob/"+key], desired)
	}
	c.next = append(c.next, status)
	before := len(state.Runs)
	Forget(cj, state)
	if ended || len(state.Runs) != before {
		c.wakeAt(now) // a run may be waiting for this one, and the pods of old ones go
	}
}

func (c *Controller) ended(kind, namespace, name string, d Decision) {
	eventType, message := v1.EventTypeNormal, fmt.Sprintf("%d succeeded", d.Succeeded)
	if d.Outcome == Failed {
		eventType, message = v1.EventTypeWarning, d.Reason+": "+d.Message
	}
	c.report(kind, namespace, name, eventType, string(d.Outcome), message)
}

func (c *Controller) want(pods []*v1.Pod, file string, desired map[string]manifests.Desired) {
	for _, p := range pods {
		desired[string(p.UID)] = manifests.Desired{Pod: p, File: file}
	}
}

func (c *Controller) wakeAt(t time.Time) {
	if !t.IsZero() && (c.wake.IsZero() || t.Before(c.wake)) {
		c.wake = t
	}
}

// purge forgets what no manifest names any more. While a file is bad it may be the one that does.
func (c *Controller) purge() {
	if c.snapshot.DirectoryError != "" || slices.ContainsFunc(c.snapshot.Files, func(f manifests.File) bool { return f.State == manifests.StateInvalid }) {
		return
	}
	maps.DeleteFunc(c.state.Jobs, func(key string, _ *jobState) bool { return c.snapshot.Jobs[key] == nil })
	maps.DeleteFunc(c.state.Cron, func(key string, _ *CronState) bool { return c.snapshot.CronJobs[key] == nil })
}

// podsByJob sorts pods by the Job that they belong to, as namespace/name.
func podsByJob(pods []*v1.Pod) map[string][]*v1.Pod {
	out := map[string][]*v1.Pod{}
	for _, p := range pods {
		if name, _, _, ok := manifests.JobOfPod(p); ok {
			key := p.Namespace + "/" + name
			out[key] = append(out[key], p)
		}
	}
	return out
}
