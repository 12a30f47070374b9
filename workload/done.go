package workload

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/workload/intervals"
)

// mostSucceeded is how many pods of a Job stay that have succeeded: their logs can be read. Each one costs memory and disk, and a Job may
// have a hundred thousand of them.
const mostSucceeded = 64

// Done is kept of those pods of a Job that have succeeded and are gone since.
type Done struct {
	Revision string `json:"revision"`
	// Pods are their numbers, Indexes their completion indexes; without indexes they are the same.
	Pods    intervals.Set `json:"pods"`
	Indexes intervals.Set `json:"indexes"`
	// Started is when the first pod of the Job was.
	Started time.Time `json:"started,omitzero"`
}

// of is what is kept of a version of a Job; an empty one where nothing is.
func (d *Done) of(revision string) *Done {
	if d == nil || d.Revision != revision {
		return &Done{Revision: revision}
	}
	return d
}

// finished is a pod that has succeeded.
type finished struct {
	pod      *v1.Pod
	n, index int
}

// letGo adds the oldest pods beyond the newest mostSucceeded to what is kept, and returns the others, which stay.
func (d *Done) letGo(succeeded []finished, started time.Time) (stay []*v1.Pod, kept *Done) {
	slices.SortFunc(succeeded, func(a, b finished) int { return a.n - b.n })
	excess := max(len(succeeded)-mostSucceeded, 0)
	if excess > 0 {
		kept = &Done{Revision: d.Revision, Pods: d.Pods.Clone(), Indexes: d.Indexes.Clone(), Started: started.Round(0)}
	}
	for i, f := range succeeded {
		if i >= excess {
			stay = append(stay, f.pod)
			continue
		}
		kept.Pods.Add(f.n)
		kept.Indexes.Add(f.index)
	}
	return stay, kept
}
