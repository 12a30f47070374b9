package engine

import (
	"context"
	"encoding/json"
	"fmt"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
)

// Checkpoint has CRIU write what a running container's processes are to the directory images; they run on. CRIU's own log and
// scratch files go to work. Both must exist. It returns the container's runtime spec, which a restore needs.
func (e *Engine) Checkpoint(ctx context.Context, id, images, work string) (spec json.RawMessage, err error) {
	ctx = inNamespace(ctx)
	record, err := e.client.ContainerService().Get(ctx, id)
	if err != nil {
		return nil, native(err)
	}
	options, err := typeurl.MarshalAny(&runcoptions.CheckpointOptions{ImagePath: images, WorkPath: work, FileLocks: true, ExternalUnixSockets: true, Terminal: true})
	if err != nil {
		return nil, fmt.Errorf("cannot encode the options of a checkpoint: %w", err)
	}
	_, err = e.client.TaskService().Checkpoint(ctx, &tasksapi.CheckpointTaskRequest{ContainerID: id, Options: typeurl.MarshalProto(options)})
	if err != nil {
		return nil, fmt.Errorf("cannot checkpoint the container: %w", native(errgrpc.ToNative(err)))
	}
	return record.Spec.GetValue(), nil
}
