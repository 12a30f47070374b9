package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/workload/history"
	records "github.com/solopod/solopod/workload/record"
)

// Nothing in the place of the file keeps Solopod from its start, or the state from being kept.
func TestDamagedStore(t *testing.T) {
	write := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	const job = `"default/kept":{"revision":"r","outcome":"Complete"}`
	for name, c := range map[string]struct {
		damage func(path string) error
		jobs   int
	}{
		"nothing":          {func(string) error { return nil }, 0},
		"good":             {write(`{"jobs":{` + job + `}}`), 1},
		"empty":            {write(""), 0},
		"zeros":            {write(strings.Repeat("\x00", 5000)), 0},
		"cut off":          {write(`{"jobs":{` + job), 0},
		"null":             {write("null"), 0},
		"a list":           {write("[]"), 0},
		"nulls":            {write(`{"jobs":{"default/x":null,` + job + `},"cron":{"default/y":null}}`), 1},
		"no outcome":       {write(`{"jobs":{"default/x":{},` + job + `}}`), 1},
		"runs of nothing":  {write(`{"cron":{"default/y":{"last":"2026-01-01T00:00:00Z","runs":[null,{},{"job":{}}]}},"jobs":{` + job + `}}`), 1},
		"longer than ours": {func(path string) error { return errors.Join(write("{")(path), os.Truncate(path, records.MaxSize+1)) }, 0},
		"a directory":      {func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) }, 0},
		"a FIFO":           {func(path string) error { return unix.Mkfifo(path, 0o600) }, 0},
		"a link":           {func(path string) error { return os.Symlink("/dev/zero", path) }, 0},
	} {
		path := filepath.Join(t.TempDir(), "workloads.json")
		if err := c.damage(path); err != nil {
			t.Fatal(err)
		}
		s := records.New(path)
		st := loadRecord(s)
		if len(st.Jobs) != c.jobs {
			t.Errorf("%s: %d jobs", name, len(st.Jobs))
		}
		for key, cron := range st.Cron {
			if len(cron.Runs) != 0 {
				t.Errorf("%s: %s has runs of nothing", name, key)
			}
		}
		st.Jobs["default/new"] = &jobState{Outcome: Failed}
		if err := s.Save(st); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
		if again := loadRecord(records.New(path)); len(again.Jobs) != c.jobs+1 {
			t.Errorf("%s: %d jobs are kept", name, len(again.Jobs))
		}
	}
}

// runs is a Runner that hands on what it is told to run.
type runs chan manifests.Snapshot

func (r runs) Apply(s manifests.Snapshot) { r <- s }
func (r runs) Pods() []*v1.Pod            { return nil }
func (r runs) Standings() map[types.UID]state.Standing {
	return nil
}
func (r runs) Subscribe() (changes <-chan struct{}, cancel func()) {
	return nil, func() {}
}

// While the disk does not answer pods of Jobs are made, and Solopod ends.
func TestStuckDisk(t *testing.T) {
	root := t.TempDir()
	freeze, _ := stuck.Disk(t, root)
	freeze()
	applied := make(runs)
	c := New(applied, filepath.Join(root, "workloads.json"), nil, history.Settings{}, func(string, string, string, string, string, string) {})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	wait := func(what string, done func(<-chan time.Time) bool) {
		if !done(time.After(20 * time.Second)) {
			t.Fatal("not in time: ", what)
		}
	}
	for i := range 5 {
		c.Apply(manifests.Snapshot{CronJobs: map[string]*batchv1.CronJob{
			fmt.Sprintf("default/c%d", i): cronJob("* * * * *"), // the state changes
		}, Jobs: map[string]*batchv1.Job{"default/j": job()}})
		wait("the job's pod is applied", func(over <-chan time.Time) bool {
			select {
			case s := <-applied:
				return len(s.Pods) == 1
			case <-over:
				return false
			}
		})
		wait("the job is shown", func(over <-chan time.Time) bool {
			for len(c.Statuses()) != 2 {
				select {
				case <-over:
					return false
				case <-time.After(time.Millisecond):
				}
			}
			return true
		})
	}
	cancel()
	wait("the controller ends", func(over <-chan time.Time) bool {
		select {
		case err := <-ended:
			return err == nil
		case <-over:
			return false
		}
	})
}
