// Package unrecorded lets containerd's client pull an image without a record of it, and records it later.
//
// The client changes the record of a name before it knows whether the image can be unpacked, and before the disk has it, and takes all
// labels away. A name that meant a good image would then mean one that cannot be used.
package unrecorded

import (
	"context"
	"errors"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
)

// Client is one on the connection of another, and with its diff service, that writes no records of images: whoever pulls with it holds a
// lease until there is one. It is closed with the other.
func Client(of *containerd.Client) (*containerd.Client, error) {
	conn, ok := of.Conn().(*grpc.ClientConn)
	if !ok {
		return nil, errors.New("containerd's client has no connection")
	}
	return containerd.NewWithConn(conn, containerd.WithDefaultNamespace(of.DefaultNamespace()), containerd.WithServices(
		containerd.WithDiffService(of.DiffService()), containerd.WithImageStore(store{of.ImageService()})))
}

// store reads records, and takes none.
type store struct{ images.Store }

// Create implements images.Store.
func (store) Create(_ context.Context, image images.Image) (images.Image, error) { return image, nil }

// Update implements images.Store.
func (store) Update(_ context.Context, image images.Image, _ ...string) (images.Image, error) {
	return image, nil
}

// Record has a name mean an image: it makes the name's record, or changes it to the image's target and labels. Other labels stay.
func Record(ctx context.Context, in images.Store, image images.Image) (images.Image, error) {
	fields := []string{"target"}
	for label := range image.Labels {
		fields = append(fields, "labels."+label)
	}
	recorded, err := in.Update(ctx, image, fields...)
	if errdefs.IsNotFound(err) {
		recorded, err = in.Create(ctx, image)
		if errdefs.IsAlreadyExists(err) { // another has made it meanwhile
			recorded, err = in.Update(ctx, image, fields...)
		}
	}
	return recorded, err
}
