package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/platforms"
)

// Import reads an OCI or Docker archive and records and unpacks its images. sync is called after the unpacking and
// before an image counts as ready; it must make the unpacked files durable. name translates the references found in
// the archive; an image that it maps to "" is not recorded.
//
// It returns when ctx ends, also while archive does not return from a read: then the read is left behind, and nothing of what it
// brings is used.
func (s *Images) Import(ctx context.Context, archive io.Reader, name func(string) string, sync func(context.Context) error) (imported []Image, err error) {
	leased, done, err := s.lease(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
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

func (s *Images) importArchive(ctx context.Context, archive io.Reader, name func(string) string, sync func(context.Context) error) (imported []Image, err error) {
	records, err := s.client.Import(ctx, archive,
		containerd.WithImageRefTranslator(name), containerd.WithSkipMissing(),
		containerd.WithImportPlatform(platforms.Default()))
	if err != nil {
		return nil, fmt.Errorf("cannot import the archive: %w", err)
	}
	for _, r := range records {
		image := containerd.NewImageWithPlatform(s.client, r, platforms.Default())
		if err := image.Unpack(ctx, s.config.Snapshotter); err != nil {
			return nil, fmt.Errorf("cannot unpack image %s: %w", r.Name, err)
		}
	}
	return s.ready(ctx, sync, records...)
}

// Pull fetches an image from its registry by client, unpacks it and, after sync, marks it ready. It returns when ctx ends.
func (s *Images) Pull(ctx context.Context, name string, client *http.Client, login func(host string) (user, password string, err error),
	sync func(context.Context) error,
) (image Image, err error) {
	var ready []Image
	err = s.within(ctx, pullLimit, "pull "+name, func(ctx context.Context) error {
		pulled, err := s.client.Pull(ctx, name,
			containerd.WithResolver(docker.NewResolver(docker.ResolverOptions{
				Hosts: docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchLocalhost), docker.WithClient(client),
					docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(login)))),
			})),
			containerd.WithPullUnpack, containerd.WithPullSnapshotter(s.config.Snapshotter))
		if err != nil {
			return fmt.Errorf("cannot pull %s: %w", name, native(err))
		}
		ready, err = s.ready(ctx, sync, pulled.Metadata())
		return err
	})
	if err != nil {
		return Image{}, err
	}
	return ready[0], nil
}

// ready makes what was unpacked durable, and marks the images.
func (s *Images) ready(ctx context.Context, sync func(context.Context) error, records ...images.Image) (ready []Image, err error) {
	if err := sync(ctx); err != nil {
		return nil, fmt.Errorf("cannot make the unpacked image durable: %w", err)
	}
	for _, r := range records {
		if r.Labels == nil {
			r.Labels = map[string]string{}
		}
		r.Labels[readyLabel] = r.Target.Digest.String()
		err := s.call(ctx, answerLimit, fmt.Sprintf("mark image %s as ready", r.Name), func(ctx context.Context) error {
			_, err := s.client.ImageService().Update(ctx, r, "labels."+readyLabel)
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
