package workload

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/workload/shown"
)

// CronState is what is kept of a CronJob.
type CronState struct {
	// Last is the moment of the schedule that was started or missed last; before the first one, when the CronJob was seen first.
	Last time.Time `json:"last"`
	// Started is the moment of the run that was started last, and Succeeded when one has succeeded last.
	Started   time.Time `json:"started,omitzero"`
	Succeeded time.Time `json:"succeeded,omitzero"`
	// Runs are the jobs that were started and are still kept, oldest first.
	Runs []*Run `json:"runs,omitempty"`
}

// Run is one job of a CronJob.
type Run struct {
	At time.Time `json:"at"`
	// Job is as it was when the run was started: an edit is for the runs after it.
	Job        *batchv1.Job `json:"job"`
	Outcome    Outcome      `json:"outcome,omitempty"`
	FinishedAt time.Time    `json:"finishedAt,omitzero"`
	// What follows is known once there is an outcome.
	Reason    string    `json:"reason,omitempty"`
	Message   string    `json:"message,omitempty"`
	Succeeded int       `json:"succeeded,omitempty"`
	Failed    int       `json:"failed,omitempty"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	Indexes   string    `json:"indexes,omitempty"`
}

// started is the moment of the schedule that was started last.
func (s *CronState) started() time.Time {
	at := s.Started
	if n := len(s.Runs); n > 0 {
		at = later(at, s.Runs[n-1].At)
	}
	return at
}

// end notes how a run has ended.
func (r *Run) end(d *Decision) {
	r.Outcome, r.FinishedAt, r.Reason, r.Message = d.Outcome, d.FinishedAt.Round(0), d.Reason, d.Message
	r.Succeeded, r.Failed, r.StartedAt, r.Indexes = d.Succeeded, d.Failures, d.StartedAt.Round(0), d.Indexes
}

// figures of a run that a decision was made about; once it has ended, its pods no longer tell all of it.
func (r *Run) figures(d *Decision) shown.Figures {
	if r.Outcome == "" {
		f := figures(d)
		f.At = r.At
		return f
	}
	return shown.Figures{
		Succeeded: max(r.Succeeded, d.Succeeded), Failed: max(r.Failed, d.Failures), Outcome: string(r.Outcome), Reason: r.Reason, Message: r.Message,
		Started: r.StartedAt, Finished: r.FinishedAt, Indexes: r.Indexes, At: r.At,
	}
}

// key names the run's job: namespace/name.
func (r *Run) key() string { return r.Job.Namespace + "/" + r.Job.Name }

// Schedule is when a CronJob runs, in its time zone.
func Schedule(c *batchv1.CronJob) (cron.Schedule, error) {
	spec := c.Spec.Schedule
	if c.Spec.TimeZone != nil {
		spec = "CRON_TZ=" + *c.Spec.TimeZone + " " + spec
	}
	return cron.ParseStandard(spec)
}

// Due decides whether a run is to be started, as the CronJob controller does: of all moments since the last one only the
// latest counts, also after a power-off, unless startingDeadlineSeconds is over; Forbid waits for the run before, Replace
// ends it. It changes state, and returns what is to be said and when to look again. CronJobs keep their runs' outcomes in state.
func Due(c *batchv1.CronJob, state *CronState, now time.Time) (messages []string, wake time.Time, err error) {
	schedule, err := Schedule(c)
	if err != nil {
		return nil, time.Time{}, err
	}
	if state.Last.IsZero() || state.Last.After(now) { // new, or the clock went back
		state.Last = now
	}
	wake = schedule.Next(now)
	if c.Spec.Suspend != nil && *c.Spec.Suspend {
		return nil, time.Time{}, nil
	}
	at, missed := latest(schedule, state.Last, now)
	if at.IsZero() {
		return nil, wake, nil
	}
	if d := c.Spec.StartingDeadlineSeconds; d != nil && now.Sub(at) > time.Duration(min(*d, math.MaxInt32))*time.Second { // an int64 may be any
		state.Last = at
		return []string{fmt.Sprintf("the run of %s was missed: startingDeadlineSeconds is over", at.Format(time.RFC3339))}, wake, nil
	}
	active := slices.ContainsFunc(state.Runs, func(r *Run) bool { return r.Outcome == "" })
	switch {
	case active && c.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent:
		return nil, wake, nil // it is looked at again when the run has ended
	case active && c.Spec.ConcurrencyPolicy == batchv1.ReplaceConcurrent:
		state.Runs = slices.DeleteFunc(state.Runs, func(r *Run) bool { return r.Outcome == "" })
		messages = append(messages, "the run before is replaced")
	}
	if missed {
		messages = append(messages, "several runs were missed; the latest one is made up for")
	}
	state.Last, state.Started = at, at
	state.Runs = append(state.Runs, &Run{At: at, Job: manifests.JobOf(c, at)})
	return messages, wake, nil
}

// latest is the last moment of the schedule in (after, now], zero when there is none; more says that it was not the only one.
// It looks back from now in growing steps, so that a box that was off for years does not count every minute of them.
func latest(schedule cron.Schedule, after, now time.Time) (at time.Time, more bool) {
	first := schedule.Next(after)
	if first.IsZero() || first.After(now) {
		return time.Time{}, false
	}
	at = first
	for _, back := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 32 * 24 * time.Hour, 367 * 24 * time.Hour} {
		from := later(now.Add(-back), first)
		for t := schedule.Next(from); !t.IsZero() && !t.After(now); t = schedule.Next(t) {
			at = t
		}
		if at.After(first) || from.Equal(first) {
			break
		}
	}
	return at, at.After(first)
}

// Forget drops the oldest ended runs beyond the history limits.
func Forget(c *batchv1.CronJob, state *CronState) {
	limits := map[Outcome]int32{Complete: *c.Spec.SuccessfulJobsHistoryLimit, Failed: *c.Spec.FailedJobsHistoryLimit}
	for outcome, limit := range limits {
		excess := -int(limit)
		for _, r := range state.Runs {
			if r.Outcome == outcome {
				excess++
			}
		}
		state.Runs = slices.DeleteFunc(state.Runs, func(r *Run) bool {
			if r.Outcome != outcome || excess <= 0 {
				return false
			}
			excess--
			return true
		})
	}
}
