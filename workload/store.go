package workload

import (
	"maps"
	"math"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/solopod/solopod/manifests/validate"
	records "github.com/solopod/solopod/workload/record"
	"github.com/solopod/solopod/workload/shown"
)

// record is what pods do not tell.
type record struct {
	Jobs map[string]*jobState  `json:"jobs,omitempty"` // by namespace/name
	Cron map[string]*CronState `json:"cron,omitempty"`
	Done map[string]*Done      `json:"done,omitempty"` // by the job's namespace/name
	// Restarted tells when the pods of an object were last asked to begin anew, by kind/namespace/name.
	Restarted map[string]time.Time `json:"restarted,omitempty"`
}

// jobState is kept of a Job that has ended.
type jobState struct {
	Revision  string  `json:"revision"`
	Outcome   Outcome `json:"outcome"`
	Succeeded int     `json:"succeeded,omitempty"`
	Failed    int     `json:"failed,omitempty"`
	// Reason and Message say why it has failed.
	Reason     string    `json:"reason,omitempty"`
	Message    string    `json:"message,omitempty"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt"`
	// Indexes are those that have succeeded, as the API writes them.
	Indexes string `json:"indexes,omitempty"`
}

// loadRecord reads the record. What is none is set aside: Jobs are then known by their pods, and CronJobs begin now.
func loadRecord(s *records.Store) record {
	out := record{}
	if err := s.Read(&out); err != nil {
		out = record{}
		s.SetAside("the record of Jobs", err)
	}
	out.dropUnusable()
	return out
}

// figures are those of a Job that has ended.
func (j *jobState) figures() shown.Figures {
	return shown.Figures{
		Succeeded: j.Succeeded, Failed: j.Failed, Outcome: string(j.Outcome), Reason: j.Reason, Message: j.Message, Started: j.StartedAt, Finished: j.FinishedAt,
		Indexes: j.Indexes,
	}
}

// dropUnusable leaves out what a damaged file may have lost a part of.
func (st *record) dropUnusable() {
	if st.Jobs == nil {
		st.Jobs = map[string]*jobState{}
	}
	if st.Cron == nil {
		st.Cron = map[string]*CronState{}
	}
	maps.DeleteFunc(st.Jobs, func(_ string, j *jobState) bool { return j == nil || j.Outcome != Complete && j.Outcome != Failed })
	if st.Done == nil {
		st.Done = map[string]*Done{}
	}
	maps.DeleteFunc(st.Cron, func(_ string, c *CronState) bool { return c == nil })
	maps.DeleteFunc(st.Done, func(_ string, d *Done) bool { return d == nil })
	for _, c := range st.Cron {
		c.Runs = slices.DeleteFunc(c.Runs, func(r *Run) bool {
			return r == nil || r.Job == nil || r.Job.Name == "" || !usable(&r.Job.Spec)
		})
	}
}

// usable says whether a Job of the file is one that validation would have let through: a damaged number must not make a million pods.
func usable(s *batchv1.JobSpec) bool {
	within := func(n *int32, most int32) bool { return n != nil && *n >= 0 && *n <= most }
	return within(s.Parallelism, validate.MaxReplicas) && within(s.BackoffLimit, math.MaxInt32) &&
		(s.Completions == nil || within(s.Completions, validate.MaxCompletions))
}
