package workload

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/broadcast"
	"github.com/solopod/solopod/runner/clock"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/workload/history"
	records "github.com/solopod/solopod/workload/record"
	"github.com/solopod/solopod/workload/shown"
)

// Runner runs pods. Package runner implements it.
type Runner interface {
	Apply(manifests.Snapshot)
	Pods() []*v1.Pod
	Standings() map[types.UID]state.Standing
	Subscribe() (changes <-chan struct{}, cancel func())
}

// Report says what has happened to an object.
type Report func(kind, namespace, name, eventType, reason, message string)

// Controller stands between the manifests and the runner: it adds the pods of Jobs and CronJobs to those that should run, and has the
// pods of Deployments and the like get a new version when it is their turn. Run does all of its work; the lock is held only to hand over what comes in and what is shown.
type Controller struct {
	runner Runner
	report Report
	store  *records.Store
	// History says which versions of objects hold.
	History *history.History
	kick    chan struct{}

	mu    sync.Mutex
	given *manifests.Snapshot // not looked at yet
	// restarts were asked for, and not looked at yet.
	restarts []restart
	status   []Status
	view     *shown.View // nil before the first decision

	changes broadcast.Changes // of the view
	gallery shown.Gallery

	// What follows is Run's. snapshot is what holds, manifested what the manifests say.
	snapshot, manifested manifests.Snapshot
	known                bool // there was a snapshot
	objects              []*replicated
	state                record
	wake                 time.Time
	applied              string // which pods of Jobs, Deployments and the like the runner was given
	next                 []Status
	looked               looked
	// seen is by kind/namespace/name, as files is; their maps are not changed once they were published.
	seen      map[string]shown.Seen
	seenStore *records.Store
	files     map[string]string
	// told are the pods that the runner was told of last, but for those of Jobs; progress is by kind/namespace/name.
	told     map[types.UID]*told
	progress map[string]*progress
}

// Status is what is shown of a Job, a CronJob, a Deployment or the like.
type Status struct {
	Kind      string  `json:"kind"`
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Outcome   Outcome `json:"outcome,omitempty"`
	Message   string  `json:"message,omitempty"`
	// Revision is the number of the version that holds. HeldBy is RolledBack, Undone or Paused where that is, or may come to be, another
	// one than the manifest's; Held says it in words.
	Revision int64  `json:"revision,omitempty"`
	HeldBy   string `json:"heldBy,omitempty"`
	Held     string `json:"held,omitempty"`
	// Replicas is of those that have some; of the others is what follows.
	Replicas  *Replicas `json:"replicas,omitempty"`
	Active    int       `json:"active"`
	Succeeded int       `json:"succeeded"`
	Failed    int       `json:"failed"`
	Schedule  string    `json:"schedule,omitempty"`
	Last      time.Time `json:"last,omitzero"`
	Next      time.Time `json:"next,omitzero"`
}

// New makes a Controller that keeps its state in the file at path, and the objects' ages beside it, in objects.json. A file that is none
// is set aside. Former versions of objects are beside it, in revisions.json. known are the pods that an earlier
// run applied.
func New(runner Runner, path string, known []manifests.Desired, back history.Settings, report Report) *Controller {
	c := &Controller{
		History: history.New(filepath.Join(filepath.Dir(path), "revisions.json"), back, history.Report(report)),
		runner:  runner, report: report, store: records.New(path), kick: make(chan struct{}, 1),
		seenStore: records.New(filepath.Join(filepath.Dir(path), "objects.json")), told: map[types.UID]*told{}, progress: map[string]*progress{},
	}
	c.state, c.seen = loadRecord(c.store), loadSeen(c.seenStore)
	for _, d := range known {
		c.told[d.Pod.UID] = tell(d)
	}
	return c
}

// Apply takes a new desired state, which Run hands on with the pods of Jobs. It does not block.
func (c *Controller) Apply(s manifests.Snapshot) {
	c.mu.Lock()
	c.given = &s
	c.mu.Unlock()
	c.wakeUp()
}

// Statuses are the Jobs, CronJobs, Deployments and the like there are, by kind, namespace and name.
func (c *Controller) Statuses() []Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.status)
}

// Run looks again whenever there is a new desired state, a pod changes, a moment of a schedule comes, or the clock is set,
// until ctx ends. It is called once.
func (c *Controller) Run(ctx context.Context) error {
	defer c.close()
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

// close waits, within a limit, until both records are written.
func (c *Controller) close() {
	var closing sync.WaitGroup
	defer closing.Wait()
	closing.Go(c.seenStore.Close)
	closing.Go(c.History.Close)
	c.store.Close()
}

// look takes a new desired state, if there is one, and decides if there is anything to decide about.
func (c *Controller) look(now time.Time) {
	c.mu.Lock()
	given, restarts := c.given, c.restarts
	c.given, c.restarts = nil, nil
	c.mu.Unlock()
	defer func() { // also where there is nothing to decide about any more: somebody waits
		for _, r := range restarts {
			close(r.done)
		}
	}()
	if given != nil {
		c.manifested, c.known = *given, true
		c.files = filesOf(given)
	}
	renewed := c.known && (given != nil || c.History.Changed())
	if renewed {
		c.snapshot = c.History.Apply(&c.manifested, unsure(&c.manifested), now)
	}
	c.state.restarting(restarts, now)
	if renewed || len(restarts) > 0 {
		c.objects = replicatedObjects(&c.snapshot, c.state.Restarted)
	}
	if renewed {
		c.note(now)
	}
	if !renewed && (!c.known || !c.anything()) {
		return
	}
	tryObjects(c)
	c.step(now, renewed)
	c.settle()
	c.History.Save()
	c.publish()
	if c.History.Changed() { // something goes back
		c.wakeUp()
	}
}

func (c *Controller) anything() bool {
	return len(c.snapshot.Jobs)+len(c.snapshot.CronJobs)+len(c.state.Cron)+len(c.objects) > 0 || c.History.Trying()
}

// step decides about everything and gives the runner what has changed; with always it is given the snapshot in any case.
func (c *Controller) step(moment time.Time, always bool) {
	now := moment.Round(0)
	c.wake, c.next, c.looked = time.Time{}, nil, looked{replicas: map[string]shown.Replicas{}}
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
	if len(c.state.Jobs)+len(c.state.Cron)+len(c.state.Done)+len(c.state.Restarted) > 0 || c.store.Saved() {
		if err := c.store.Save(c.state); err != nil {
			slog.Error("cannot write down what Jobs have done", "err", err)
		}
	}
	c.History.Save() // which waits until it is written, as the next line does
	c.store.Await()
	names := slices.Sorted(maps.Keys(desired))
	names = append(names, c.replicas(moment, desired)...)
	if applied := strings.Join(names, " "); always || applied != c.applied {
		c.applied = applied
		merged := c.snapshot
		merged.Pods = desired
		c.runner.Apply(merged)
	}
}

// replicas adds to desired, which has the pods of Jobs, all others. It returns what the pods of Deployments and the like are told.
func (c *Controller) replicas(now time.Time, desired map[string]manifests.Desired) (names []string) {
	standings, ofObjects := c.runner.Standings(), map[types.UID]*told{}
	c.wakeAt(c.History.Judge(c.snapshot.Pods, standings, now))
	slots, keys := map[types.UID]bool{}, map[string]bool{}
	for _, o := range c.objects {
		keys[o.key()] = true
		for _, d := range o.slots {
			slots[d.Pod.UID] = true
		}
	}
	taken := func(name string) bool {
		for _, d := range c.snapshot.Pods {
			if manifests.Key(d.Pod) == name {
				return true
			}
		}
		for _, d := range desired {
			if manifests.Key(d.Pod) == name {
				return true
			}
		}
		for _, t := range ofObjects {
			if manifests.Key(t.Pod) == name {
				return true
			}
		}
		return false
	}
	for _, o := range c.objects {
		c.roll(o, standings, now, ofObjects, taken)
	}
	maps.DeleteFunc(c.progress, func(key string, _ *progress) bool { return !keys[key] })
	for uid, t := range ofObjects {
		if _, ofJob := desired[string(uid)]; ofJob && !slots[uid] {
			delete(ofObjects, uid) // a Job has taken a surge pod's name meanwhile
			continue
		}
		desired[string(uid)] = t.Desired
		names = append(names, string(uid)+" "+t.revision)
	}
	for uid, d := range c.snapshot.Pods {
		if id := types.UID(uid); !slots[id] {
			desired[uid] = d
			if ofObjects[id] = c.told[id]; ofObjects[id] == nil || ofObjects[id].Desired != d {
				ofObjects[id] = tell(d)
			}
		}
	}
	c.told = ofObjects
	slices.Sort(names)
	return names
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
		if d = Next(job, revision, c.state.Done[key], existing, now); d.Outcome != "" {
			kept = &jobState{
				Revision: revision, Outcome: d.Outcome, Reason: d.Reason, Message: d.Message, Succeeded: d.Succeeded, Failed: d.Failures,
				StartedAt: d.StartedAt.Round(0), FinishedAt: d.FinishedAt.Round(0), Indexes: d.Indexes,
			}
			c.ended("Job", job.Namespace, job.Name, d)
		}
	} else {
		d = Over(job, revision, c.state.Done[key], existing, kept.Outcome, kept.FinishedAt)
	}
	c.keep(key, d.Done)
	figures := figures(&d)
	status := Status{Kind: "Job", Namespace: job.Namespace, Name: job.Name, Active: d.Active, Succeeded: d.Succeeded, Failed: d.Failures}
	if kept != nil {
		c.state.Jobs[key] = kept
		status.Active, status.Outcome, status.Message, status.Succeeded, status.Failed = 0, kept.Outcome, kept.Message, kept.Succeeded, kept.Failed
		figures = kept.figures()
		if c.expired(job, kept.FinishedAt, now) {
			d.Pods = nil
		}
	}
	c.next = append(c.next, status)
	c.looked.jobs = append(c.looked.jobs, shown.Job{Job: job, Figures: figures})
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
		job := run.key()
		existing, done := pods[job], c.state.Done[job]
		revision := manifests.JobRevision(run.Job)
		var d Decision
		if run.Outcome == "" {
			d = Next(run.Job, revision, done, existing, now)
		} else {
			d = Over(run.Job, revision, done, existing, run.Outcome, run.FinishedAt)
		}
		c.keep(job, d.Done)
		if d.Outcome != "" && run.Outcome == "" {
			run.end(&d)
			ended = true
			if d.Outcome == Complete {
				state.Succeeded = run.FinishedAt
			}
			c.ended("CronJob", cj.Namespace, cj.Name, d)
		}
		if run.Outcome != "" && c.expired(run.Job, run.FinishedAt, now) {
			d.Pods = nil
		}
		c.looked.jobs = append(c.looked.jobs, shown.Job{Job: run.Job, Of: cj, Figures: run.figures(&d)})
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

// keep notes what pods have done that go; step writes it down before they do.
func (c *Controller) keep(job string, done *Done) {
	if done != nil {
		c.state.Done[job] = done
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
	if unsure(&c.snapshot) {
		return
	}
	maps.DeleteFunc(c.state.Jobs, func(key string, _ *jobState) bool { return c.snapshot.Jobs[key] == nil })
	maps.DeleteFunc(c.state.Cron, func(key string, _ *CronState) bool { return c.snapshot.CronJobs[key] == nil })
	runs := map[string]bool{}
	for _, cron := range c.state.Cron {
		for _, run := range cron.Runs {
			runs[run.key()] = true
		}
	}
	maps.DeleteFunc(c.state.Done, func(job string, _ *Done) bool { return c.snapshot.Jobs[job] == nil && !runs[job] })
	if len(c.state.Restarted) == 0 {
		return
	}
	there := make(map[string]bool, len(c.objects))
	for _, o := range c.objects {
		there[o.key()] = true
	}
	maps.DeleteFunc(c.state.Restarted, func(key string, _ time.Time) bool { return !there[key] })
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
