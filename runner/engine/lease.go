package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
)

// leaseOwner is the label that tells the leases of several daemons with one containerd apart.
const leaseOwner = "io.solopod.root"

// leaseTime bounds how long what a lease protects stays if Solopod is gone for good.
const leaseTime = 24 * time.Hour

// lease protects what is made with the returned context from containerd's garbage collector until done is called.
func (e *Engine) lease(ctx context.Context) (_ context.Context, done func(), err error) {
	ctx, end, err := e.client.WithLease(inNamespace(ctx), leases.WithRandomID(), leases.WithExpiration(leaseTime),
		leases.WithLabel(leaseOwner, e.config.Owner))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot take a lease: %w", err)
	}
	return ctx, func() { end(context.WithoutCancel(ctx)) }, nil //nolint:errcheck // prepare takes what is left behind
}

// dropLeases ends the leases of an earlier run, which was killed: nothing else would keep what it had half made.
func (e *Engine) dropLeases(ctx context.Context) error {
	service := e.client.LeasesService()
	list, err := service.List(inNamespace(ctx), fmt.Sprintf("labels.%q==%q", leaseOwner, e.config.Owner))
	if err != nil {
		return fmt.Errorf("cannot list containerd's leases: %w", err)
	}
	for _, l := range list {
		if err := service.Delete(inNamespace(ctx), l); err != nil {
			return fmt.Errorf("cannot end the lease of an earlier run: %w", err)
		}
	}
	return nil
}
