package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// leaseOwner is the label that tells the leases of several daemons with one containerd apart.
const leaseOwner = "io.solopod.root"

// leaseTime bounds how long what a lease protects stays if Solopod is gone for good.
const leaseTime = 24 * time.Hour

// lease protects what is made with the returned context from containerd's garbage collector until done is called; with
// leases.SynchronousDelete that collects it at once.
func (c *connection) lease(ctx context.Context) (leased context.Context, done func(...leases.DeleteOpt), err error) {
	ctx = inNamespace(ctx)
	var lease leases.Lease
	err = c.call(ctx, answerLimit, "take a lease", func(ctx context.Context) (err error) {
		lease, err = c.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseTime),
			leases.WithLabel(leaseOwner, c.config.Owner))
		return err
	})
	if err != nil {
		return ctx, func(...leases.DeleteOpt) {}, err
	}
	return leases.WithLease(ctx, lease.ID), func(opts ...leases.DeleteOpt) { c.endLease(ctx, lease, opts...) }, nil
}

// endLease does not keep its caller waiting: an answer is a transaction on the disk. What is not ended the next start's prepare takes.
func (c *connection) endLease(ctx context.Context, lease leases.Lease, opts ...leases.DeleteOpt) {
	ctx, cancel := detached(ctx, snapshotLimit)
	c.background.Go(func() {
		defer cancel()
		if err := c.client.LeasesService().Delete(ctx, lease, opts...); err != nil {
			slog.Debug("cannot end a lease", "err", err)
		}
	})
}

// dropLeases ends the leases of an earlier run, which was killed: nothing else would keep what it had half made.
func (c *connection) dropLeases(ctx context.Context) error {
	service := c.client.LeasesService()
	return c.call(ctx, answerLimit, "end the leases of an earlier run", func(ctx context.Context) error {
		list, err := service.List(ctx, fmt.Sprintf("labels.%q==%q", leaseOwner, c.config.Owner))
		if err != nil {
			return err
		}
		for _, l := range list {
			if err := service.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
}
