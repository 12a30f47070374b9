package workload

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/workload/history"
)

// counting is a runner that has no pods and counts those that it is given.
type counting struct{ pods int }

func (c *counting) Apply(s manifests.Snapshot) { c.pods = len(s.Pods) }
func (c *counting) Pods() []*v1.Pod            { return nil }
func (c *counting) Standings() map[types.UID]state.Standing {
	return nil
}
func (c *counting) Subscribe() (<-chan struct{}, func()) {
	return nil, func() {}
}

// FuzzState: whatever stands in the record of Jobs, the controller goes on with what can be used of it.
func FuzzState(f *testing.F) {
	for _, seed := range []string{
		`{"jobs":{"default/a":{"revision":"r","outcome":"Complete","finishedAt":"2026-01-01T00:00:00Z"}}}`, "null", "", "[]", "{", "\x00",
		`{"done":{"default/a":{"revision":"r","pods":"0-5,9","indexes":"0-6"},"default/c-1":null,"x":{"pods":"5,3"}}}`,
		`{"jobs":{"":{"outcome":"Failed"},"x":{"outcome":"Complete","succeeded":-1}},"cron":{"default/c":{"last":"2026-01-01T00:00:00Z","runs":[
			{"at":"2026-01-01T00:00:00Z","job":{"metadata":{"name":"c-1","namespace":"default"},"spec":{"parallelism":1,"backoffLimit":0,"template":{}}}},
			{"at":"2026-01-01T00:00:00Z","job":{"metadata":{"name":"c-3"},"spec":{"parallelism":2000000000,"backoffLimit":0}}},
			{"at":"2026-01-01T00:00:00Z","job":{"metadata":{"name":"c-2"},"spec":{"parallelism":-1,"backoffLimit":-1,"completions":-7}}},null,{}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	job := batchv1.JobSpec{Parallelism: ptr.To[int32](1), Completions: ptr.To[int32](1), BackoffLimit: ptr.To[int32](0)}
	snapshot := manifests.Snapshot{
		Jobs: map[string]*batchv1.Job{"default/a": {ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}, Spec: job}},
		CronJobs: map[string]*batchv1.CronJob{"default/c": {ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c"}, Spec: batchv1.CronJobSpec{
			Schedule: "@daily", ConcurrencyPolicy: batchv1.AllowConcurrent, JobTemplate: batchv1.JobTemplateSpec{Spec: job},
			SuccessfulJobsHistoryLimit: ptr.To[int32](3), FailedJobsHistoryLimit: ptr.To[int32](1),
		}}},
	}
	path := filepath.Join(f.TempDir(), "workloads.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		ran := &counting{}
		c := New(ran, path, nil, history.Settings{}, func(string, string, string, string, string, string) {})
		c.Apply(snapshot)
		c.look(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
		c.store.Close()
		if runs := bytes.Count(data, []byte(`"at"`)) + 2; ran.pods > runs*validate.MaxReplicas {
			t.Fatalf("%d pods of %q", ran.pods, data)
		}
	})
}
