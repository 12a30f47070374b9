package engine

import (
	"context"
	"encoding/json"
	"fmt"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/typeurl/v2"

	"github.com/solopod/solopod/runner/seal"
)

// Checkpoint has CRIU write what a running container's processes are to the directory images; they run on. CRIU's own log and
// scratch files go to work. Both must exist. It returns the container's runtime spec, which a restore needs,
// without what is sealed in it: the processes have it in their memory.
func (p *Processes) Checkpoint(ctx context.Context, id, images, work string) (spec json.RawMessage, err error) {
	options, err := typeurl.MarshalAny(&runcoptions.CheckpointOptions{ImagePath: images, WorkPath: work, FileLocks: true, ExternalUnixSockets: true, Terminal: true})
	if err != nil {
		return nil, fmt.Errorf("cannot encode the options of a checkpoint: %w", err)
	}
	record, err := p.record(ctx, id)
	if err != nil {
		return nil, err
	}
	err = p.call(ctx, checkpointLimit, "checkpoint the container", func(ctx context.Context) error {
		_, err := p.client.TaskService().Checkpoint(ctx, &tasksapi.CheckpointTaskRequest{ContainerID: id, Options: typeurl.MarshalProto(options)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return seal.Stripped(record.Spec.GetValue())
}
