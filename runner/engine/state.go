package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"

	"github.com/solopod/solopod/runner/rescue"
)

// statesAtOnce is how many shims are asked at the same time. Each that does not answer takes stateLimit; the others must not wait for it.
const statesAtOnce = 128

// List returns every container in Solopod's namespace with the state of its process. Shims are asked side by side: one that does not
// answer makes its container Unanswered, and nothing else. The list fails only when containerd itself does not list its records.
func (c *Containers) List(ctx context.Context) ([]Container, error) {
	var records []containers.Container
	err := c.call(ctx, answerLimit, "list containers", func(ctx context.Context) (err error) {
		records, err = c.client.ContainerService().List(ctx)
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
			defer func() { <-slots }()
			list[i] = Container{ID: r.ID, Labels: r.Labels, CreatedAt: r.CreatedAt, State: Unanswered}
			rescue.Do("read the state of container "+r.ID, func() error { list[i] = c.withState(ctx, r); return nil }) //nolint:errcheck // it leaves Unanswered
		})
	}
	group.Wait()
	return list, ctx.Err()
}

// Get returns one container, or ErrNotFound. Its State is Unanswered when only its record could be read.
func (c *Containers) Get(ctx context.Context, id string) (Container, error) {
	r, err := c.record(ctx, id)
	if err != nil {
		return Container{}, err
	}
	return c.withState(ctx, r), ctx.Err()
}

// record reads what containerd was told at the container's creation.
func (c *connection) record(ctx context.Context, id string) (r containers.Container, err error) {
	err = c.call(ctx, answerLimit, "read the container's record", func(ctx context.Context) (err error) {
		r, err = c.client.ContainerService().Get(ctx, id)
		return err
	})
	return r, err
}

// withState asks the container's shim.
func (c *Containers) withState(ctx context.Context, r containers.Container) Container {
	found := Container{ID: r.ID, Labels: r.Labels, CreatedAt: r.CreatedAt, State: Unanswered}
	if c.config.Silent(r.ID) {
		return found
	}
	var process *tasktypes.Process
	err := c.call(ctx, stateLimit, "read the state of container "+r.ID, func(ctx context.Context) error {
		resp, err := c.client.TaskService().Get(ctx, &tasksapi.GetRequest{ContainerID: r.ID})
		process = resp.GetProcess()
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		found.State = Unknown
	case err != nil:
		slog.Debug("a container's state is not known", "id", r.ID, "err", err)
	default:
		found.fill(process)
	}
	return found
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
