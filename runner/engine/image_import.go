package engine

import (
	"context"
	"fmt"
	"io"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/platforms"

	"github.com/solopod/solopod/runner/engine/intake"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/engine/unrecorded"
)

// Import reads an OCI or Docker archive, unpacks its images and records them. sync is called after the unpacking; it must make the
// unpacked files durable. name translates the references found in the archive; an image that it maps to "" is not recorded. No image is
// recorded before all of them are whole; what is not recorded when it fails goes.
//
// It returns when ctx ends, also while archive does not return from a read: then the read is left behind, and nothing of what it
// brings is used.
func (s *Images) Import(ctx context.Context, archive io.Reader, name func(string) (string, error), sync func(context.Context) error) (imported []Image, err error) {
	leased, done, err := s.lease(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { end(done, err) }()
	var found []Image
	err = s.within(leased, importLimit, "import the archive", func(ctx context.Context) (err error) {
		found, err = s.importArchive(ctx, archive, name, sync)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// end lets go of what an import or a pull has made. When that has failed the disk is to be free again at once.
func end(done func(...leases.DeleteOpt), err error) {
	if err != nil {
		done(leases.SynchronousDelete)
		return
	}
	done()
}

func (s *Images) importArchive(ctx context.Context, archive io.Reader, name func(string) (string, error), sync func(context.Context) error) (imported []Image, err error) {
	limits := s.limits()
	records, err := intake.Archive{Store: s.client.ContentStore(), Name: name, Disk: limits.Disk}.Read(ctx, archive)
	if err != nil {
		return nil, fmt.Errorf("cannot import the archive: %w", intake.Full(native(err)))
	}
	for _, r := range records {
		image := containerd.NewImageWithPlatform(s.client, r, platforms.Default())
		if err := image.Unpack(intake.Begin(ctx, limits), s.config.Snapshotter); err != nil {
			return nil, fmt.Errorf("cannot unpack image %s: %w", r.Name, intake.Full(intake.Plain(err)))
		}
	}
	return s.ready(ctx, sync, records...)
}

// limits are those of images, with the disk that they are unpacked to, as containerd tells it.
func (s *Images) limits() intake.Limits {
	return intake.Limits{MaxSize: s.config.MaxImageSize, Disk: s.disk}
}

// Pull fetches an image from its registry, unpacks it and, after sync, records it. A record that the name has stays as it is when that
// fails. It returns when ctx ends.
func (s *Images) Pull(ctx context.Context, name string, access remote.Access, sync func(context.Context) error) (image Image, err error) {
	ctx, done, err := s.lease(ctx)
	if err != nil {
		return Image{}, err
	}
	defer func() { end(done, err) }()
	var ready []Image
	err = s.within(ctx, pullLimit, "pull "+name, func(ctx context.Context) error {
		ctx = intake.Begin(ctx, s.limits())
		resolver, end := access.Resolver(ctx)
		defer end()
		pulled, err := s.puller.Pull(ctx, name, containerd.WithResolver(resolver),
			containerd.WithImageHandlerWrapper(intake.Bound(s.client.ContentStore(), s.limits())),
			containerd.WithPullUnpack, containerd.WithPullSnapshotter(s.config.Snapshotter))
		if err != nil {
			return fmt.Errorf("cannot pull %s: %w", name, native(access.Advise(name, intake.Plain(err))))
		}
		ready, err = s.ready(ctx, sync, pulled.Metadata())
		return err
	})
	if err != nil {
		return Image{}, err
	}
	return ready[0], nil
}

// ready makes what was unpacked durable, and records the images: when all of them can be read, as a record takes a name from an older one.
func (s *Images) ready(ctx context.Context, sync func(context.Context) error, records ...images.Image) (ready []Image, err error) {
	if err := sync(ctx); err != nil {
		return nil, fmt.Errorf("cannot make the unpacked image durable: %w", err)
	}
	for _, r := range records {
		if _, err := s.describe(ctx, r); err != nil {
			return nil, err
		}
	}
	for _, r := range records {
		r.Labels = map[string]string{readyLabel: r.Target.Digest.String()}
		err := s.call(ctx, answerLimit, "record image "+r.Name, func(ctx context.Context) (err error) {
			r, err = unrecorded.Record(ctx, s.client.ImageService(), r)
			return err
		})
		if err != nil {
			return nil, err
		}
		image, err := s.describe(ctx, r)
		if err != nil {
			return nil, err
		}
		ready = append(ready, image)
	}
	return ready, nil
}
