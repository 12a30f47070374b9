// Package repair looks through what containerd has on the disk for what a power cut may have damaged.
package repair

import (
	"context"
	"errors"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/solopod/solopod/runner/engine/intake"
)

// Images are those of one containerd.
type Images struct {
	Client      *containerd.Client
	Snapshotter string
	// Ready is the label of an image that is known to be on the disk; its value is then the image's digest.
	Ready string
}

// Repair removes images that were not known to be on the disk, their unpacked layers, with what was made from them, and damaged
// content. It returns the names of the images that it has removed. No container runs.
func (s Images) Repair(ctx context.Context) (removed []string, err error) {
	records, err := s.Client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list images: %w", err)
	}
	good := inventory{chains: map[string]bool{}, blobs: map[digest.Digest]bool{}}
	for _, r := range records {
		if r.Labels[s.Ready] == r.Target.Digest.String() && s.take(ctx, r, &good) == nil {
			continue
		}
		if err := s.Client.ImageService().Delete(ctx, r.Name); err != nil && !errdefs.IsNotFound(err) {
			return removed, fmt.Errorf("cannot remove image %s, which a power cut may have damaged: %w", r.Name, err)
		}
		removed = append(removed, r.Name)
	}
	return removed, errors.Join(s.removeSnapshots(ctx, good.chains), s.removeContent(ctx, good.blobs))
}

// inventory is what ready images consist of.
type inventory struct {
	chains map[string]bool        // unpacked layers, by chain id
	blobs  map[digest.Digest]bool // content
}

// take notes what an image consists of.
func (s Images) take(ctx context.Context, record images.Image, into *inventory) error {
	image := containerd.NewImageWithPlatform(s.Client, record, platforms.Default())
	diffs, err := image.RootFS(ctx)
	if err != nil {
		return err
	}
	var blobs []digest.Digest
	store := s.Client.ContentStore()
	err = images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		blobs = append(blobs, d.Digest)
		children, err := images.Children(ctx, store, d)
		if errdefs.IsNotFound(err) {
			return nil, nil // of another platform, and never fetched
		}
		return children, err
	}), record.Target)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		into.blobs[b] = true
	}
	for i := range diffs {
		into.chains[identity.ChainID(diffs[:i+1]).String()] = true
	}
	return nil
}

// removeSnapshots removes the committed snapshots that no ready image names, after what was made from them.
func (s Images) removeSnapshots(ctx context.Context, good map[string]bool) error {
	snapshotter := s.Client.SnapshotService(s.Snapshotter)
	children, bad := map[string][]string{}, []string{}
	err := snapshotter.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		children[info.Parent] = append(children[info.Parent], info.Name)
		if info.Kind == snapshots.KindCommitted && !good[info.Name] {
			bad = append(bad, info.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot list unpacked layers: %w", err)
	}
	var errs []error
	var remove func(name string)
	remove = func(name string) {
		for _, child := range children[name] {
			remove(child)
		}
		children[name] = nil
		if err := snapshotter.Remove(ctx, name); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("cannot remove an unpacked layer that a power cut may have damaged: %w", err))
		}
	}
	for _, name := range bad {
		remove(name)
	}
	return errors.Join(errs...)
}

// removeContent removes content that belongs to no ready image and is not what its digest says.
func (s Images) removeContent(ctx context.Context, good map[digest.Digest]bool) error {
	store := s.Client.ContentStore()
	var doubtful []content.Info
	err := store.Walk(ctx, func(info content.Info) error {
		if !good[info.Digest] {
			doubtful = append(doubtful, info)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot list content: %w", err)
	}
	var errs []error
	for _, info := range doubtful {
		if intake.Intact(ctx, store, info) {
			continue
		}
		if err := store.Delete(ctx, info.Digest); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("cannot remove damaged content %s: %w", info.Digest, err))
		}
	}
	return errors.Join(errs...)
}
