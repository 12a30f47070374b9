package engine

import (
	"context"
	"log/slog"
	"sync"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/runner/rescue"
)

// endStrays ends the processes that no record of a container names: the database was lost, and their pods are about to be made anew.
// A record is always written before its process is made and deleted after it, so one without is nobody's. It says whether there were, or
// may have been, such.
func (e *Engine) endStrays(ctx context.Context) (found bool) {
	ctx, cancel := context.WithTimeout(ctx, strayLimit)
	defer cancel()
	ids, err := e.strays(ctx)
	if err != nil {
		slog.Warn("cannot look for processes without a container", "err", err)
		return true
	}
	var group sync.WaitGroup
	for _, id := range ids {
		slog.Warn("a process runs that containerd has lost the record of; it is ended", "id", id)
		group.Go(func() {
			if err := rescue.Do("end a process without a record", func() error { return e.endStray(ctx, id) }); err != nil {
				slog.Error("cannot end a process that containerd has lost the record of", "id", id, "err", err)
			}
		})
	}
	group.Wait()
	return len(ids) > 0
}

// strays lists the processes without a record; processes first, so that one which is being made or deleted is not taken for one.
func (e *Engine) strays(ctx context.Context) (ids []string, err error) {
	var tasks *tasksapi.ListTasksResponse
	err = e.call(ctx, strayLimit, "list processes", func(ctx context.Context) (err error) {
		tasks, err = e.client.TaskService().List(ctx, &tasksapi.ListTasksRequest{})
		return err
	})
	if err != nil || len(tasks.Tasks) == 0 {
		return nil, err
	}
	recorded := map[string]bool{}
	err = e.call(ctx, answerLimit, "list containers", func(ctx context.Context) error {
		records, err := e.client.ContainerService().List(ctx)
		for _, r := range records {
			recorded[r.ID] = true
		}
		return err
	})
	for _, t := range tasks.Tasks {
		if id := t.GetID(); !recorded[id] {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// endStray gives the process a record, without which containerd refuses to do anything to it, and deletes both.
func (e *Engine) endStray(ctx context.Context, id string) error {
	spec, err := typeurl.MarshalAny(&specs.Spec{})
	if err != nil {
		return err
	}
	err = e.call(ctx, answerLimit, "record the process", func(ctx context.Context) error {
		_, err := e.client.ContainerService().Create(ctx, containers.Container{ID: id, Spec: spec, Runtime: containers.RuntimeInfo{Name: e.config.Shim}})
		return err
	})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	return e.Delete(ctx, id)
}
