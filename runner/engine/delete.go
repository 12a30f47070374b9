package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"golang.org/x/sys/unix"
)

// Delete removes the container: a living process is killed, then process record, container record, snapshot and
// sandbox record go. What does not exist is skipped, so that it can be repeated. The container's output
// must be read while Delete runs: the shim waits for its FIFOs to drain.
//
// Every step has its limit. An error is ErrLeftBehind, and names the step that failed or did not end: Delete has to be called again.
// While the process cannot be removed the records stay, which are what it is known by.
func (c *Containers) Delete(ctx context.Context, id string) error {
	c.sealed.Reach(id)
	if err := c.deleteTask(ctx, id); err != nil {
		return leftBehind(id, err)
	}
	err := errors.Join(
		c.remove(ctx, answerLimit, "delete the container's record", func(ctx context.Context) error {
			return c.client.ContainerService().Delete(ctx, id)
		}),
		c.remove(ctx, snapshotLimit, "delete the container's snapshot", func(ctx context.Context) error {
			return c.client.SnapshotService(c.config.Snapshotter).Remove(ctx, id)
		}),
		c.remove(ctx, answerLimit, "delete the container's sandbox record", func(ctx context.Context) error {
			return c.client.SandboxStore().Delete(ctx, id)
		}),
	)
	if err == nil {
		c.sealed.Forget(id)
	}
	return leftBehind(id, err)
}

func leftBehind(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("container %s: %w: %w", id, ErrLeftBehind, err)
}

// remove is call for what need not exist.
func (c *connection) remove(ctx context.Context, limit time.Duration, what string, request func(context.Context) error) error {
	err := c.call(ctx, limit, what, request)
	if errors.Is(err, ErrNotFound) || isUnimplemented(err) {
		return nil
	}
	return err
}

func (c *Containers) deleteTask(ctx context.Context, id string) error {
	err := c.removeTask(ctx, id)
	if err == nil && c.config.Silent(id) {
		return fmt.Errorf("cannot delete the container's process: %w from its shim", ErrUnanswered)
	}
	if err == nil || errors.Is(err, ErrUnanswered) || ctx.Err() != nil {
		return err
	}
	// It lives, which is an error without a kind of its own (containerd, cmd/containerd-shim-runc-v2/process/init_state.go).
	if err := c.Kill(ctx, id, uint32(unix.SIGKILL), true); err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNotRunning) {
		return fmt.Errorf("cannot kill the container's process: %w", err)
	}
	err = c.call(ctx, endLimit, "see the end of the container's process", func(ctx context.Context) error {
		_, err := c.client.TaskService().Wait(ctx, &tasksapi.WaitRequest{ContainerID: id})
		return err
	})
	if errors.Is(err, ErrUnanswered) || ctx.Err() != nil {
		return err
	}
	return c.removeTask(ctx, id) // whatever a wait that failed otherwise has said
}

func (c *Containers) removeTask(ctx context.Context, id string) error {
	return c.remove(ctx, removeLimit, "delete the container's process", func(ctx context.Context) error {
		_, err := c.client.TaskService().Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: id})
		return err
	})
}
