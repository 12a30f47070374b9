package engine

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"strconv"

	"github.com/containerd/containerd/v2/core/containers"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/runner/engine/sealing"
)

// findSealed learns at the start which containers have something sealed. unclear: there may be some without a record.
func (e *Engine) findSealed(ctx context.Context, unclear bool) {
	if e.config.Seal == nil {
		return
	}
	var records []containers.Container
	err := e.call(ctx, answerLimit, "list containers", func(ctx context.Context) (err error) {
		is := "labels." + strconv.Quote(sealing.Label) + "=="
		records, err = e.client.ContainerService().List(ctx, is+sealing.AtStart, is+sealing.Later)
		return err
	})
	if err != nil {
		slog.Warn("it is not known which containers have values of Secrets", "err", err)
	}
	found := map[string]string{}
	for _, r := range records {
		if runtime, ok := sealing.Needs(r, e.config.Seal); ok {
			found[r.ID] = runtime
		}
	}
	e.sealed.Begin(found, unclear || err != nil)
}

// seal makes the request one that may be written to a database.
func (c *Containers) seal(r CreateRequest) (CreateRequest, error) {
	key, runtime, err := c.sealed.Take(r.ID, cmp.Or(r.Runtime, c.config.Runtime, "runc"))
	if err != nil {
		return r, err
	}
	r.Runtime, r.Labels = runtime, labelled(r.Labels, sealing.AtStart)
	r.Spec, err = sealing.Spec(r.Spec, *r.Shown, key)
	return r, err
}

func labelled(labels map[string]string, sealed string) map[string]string {
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	all[sealing.Label] = sealed
	return all
}

// Process returns the main process of a container's spec, as the pattern for an Exec: that of Exec must be made of it by changing the
// arguments, and adding to the environment. Where the key of what is sealed is gone, it has the environment without that.
func (p *Processes) Process(ctx context.Context, id string) (*specs.Process, error) {
	record, err := p.record(ctx, id)
	if err != nil {
		return nil, err
	}
	return sealing.Pattern(record, p.sealed)
}
