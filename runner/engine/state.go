package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
)

// statesAtOnce is how many shims are asked at the same time. Each that does not answer takes stateLimit; the others must not wait for it.
const statesAtOnce = 128

// List returns every container in Solopod's namespace with the state of its process. Shims are asked side by side: one that does not
// answer makes its container Unanswered, and nothing else. The list fails only when containerd itself does not list its records.
func (e *Engine) List(ctx context.Context) ([]Container, error) {
	var records []containers.Container
	err := e.call(ctx, answerLimit, "list containers", func(ctx context.Context) (err error) {
		records, err = e.client.ContainerService().List(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]Container, len(records))
	var group sync.WaitGroup
	slots := make(chan struct{}, statesAtOnce)
	for i, r := range records {
		slots <- struct{}{}
		group.Go(func() {
			list[i] = e.withState(ctx, r)
			<-slots
		})
	}
	group.Wait()
	return list, ctx.Err()
}

// Get returns one container, or ErrNotFound. Its State is Unanswered when only its record could be read.
func (e *Engine) Get(ctx context.Context, id string) (Container, error) {
	r, err := e.record(ctx, id)
	if err != nil {
		return Container{}, err
	}
	return e.withState(ctx, r), ctx.Err()
}

// record reads what containerd was told at the container's creation.
func (e *Engine) record(ctx context.Context, id string) (r containers.Container, err error) {
	err = e.call(ctx, answerLimit, "read the container's record", func(ctx context.Context) (err error) {
		r, err = e.client.ContainerService().Get(ctx, id)
		return err
	})
	return r, err
}

// withState asks the container's shim.
func (e *Engine) withState(ctx context.Context, r containers.Container) Container {
	c := Container{ID: r.ID, Labels: r.Labels, CreatedAt: r.CreatedAt, State: Unanswered}
	if e.config.Silent(c.ID) {
		return c
	}
	var process *tasktypes.Process
	err := e.call(ctx, stateLimit, "read the state of container "+c.ID, func(ctx context.Context) error {
		resp, err := e.client.TaskService().Get(ctx, &tasksapi.GetRequest{ContainerID: c.ID})
		process = resp.GetProcess()
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		c.State = Unknown
	case err != nil:
		slog.Debug("a container's state is not known", "id", c.ID, "err", err)
	default:
		c.fill(process)
	}
	return c
}

// fill takes a process's state. One that containerd does not know either, as its shim has given an error or (1.6) no answer, leaves
// Unanswered.
func (c *Container) fill(p *tasktypes.Process) {
	c.Pid = p.GetPid()
	switch p.GetStatus() {
	case tasktypes.Status_CREATED:
		c.State = Created
	case tasktypes.Status_RUNNING, tasktypes.Status_PAUSED, tasktypes.Status_PAUSING:
		c.State = Running
	case tasktypes.Status_STOPPED:
		c.State = Stopped
		c.ExitCode = p.GetExitStatus()
		if p.GetExitedAt() != nil {
			c.ExitedAt = p.GetExitedAt().AsTime()
		}
	}
}
