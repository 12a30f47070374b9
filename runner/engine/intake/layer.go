package intake

import (
	"archive/tar"
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	diffapi "github.com/containerd/containerd/api/services/diff/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/typeurl/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/solopod/solopod/runner/rescue"
)

// Service is containerd's diff service.
type Service interface {
	diff.Comparer
	diff.Applier
}

// Applier unpacks layers in this process, where they can be counted, and leaves all else to containerd.
type Applier struct {
	Service
	// Content is where layers are read from.
	Content content.Store
}

// Connect takes over from a client, which was made with this Applier as its diff service.
func (a *Applier) Connect(client *containerd.Client) {
	a.Content = client.ContentStore()
	if conn, ok := client.Conn().(*grpc.ClientConn); ok { // it has no other
		a.Service = containerd.NewDiffServiceFromClient(diffapi.NewDiffClient(conn))
	}
}

// askLimit is for what containerd answers from memory.
const askLimit = 5 * time.Second

// DiskOf asks containerd where a snapshotter unpacks to.
func DiskOf(ctx context.Context, client *containerd.Client, snapshotter string) Disk {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	answer, err := client.IntrospectionService().Plugins(ctx, fmt.Sprintf("type==%s,id==%s", plugins.SnapshotPlugin, snapshotter))
	if err != nil || len(answer.Plugins) != 1 || answer.Plugins[0].Exports["root"] == "" {
		slog.Warn("containerd does not tell where it unpacks images; how much room there is will not be looked at", "snapshotter", snapshotter, "err", err)
		return ""
	}
	return Disk(answer.Plugins[0].Exports["root"])
}

// account is what the layers of one image have unpacked to. They may be unpacked side by side.
type account struct {
	Limits
	mu           sync.Mutex
	bytes, files int64
}

type accountKey struct{}

// Begin begins to count for one image, whose layers are unpacked with the context that it returns.
func Begin(ctx context.Context, l Limits) context.Context {
	register()
	return context.WithValue(ctx, accountKey{}, &account{Limits: l})
}

// register has containerd's code ask countLayer how to unpack. Where no account was begun, as in the server that may run in this
// process, it is not meant.
var register = sync.OnceFunc(func() { diff.RegisterProcessor(countLayer) })

type packedKey struct{}

// Apply unpacks a layer.
func (a *Applier) Apply(ctx context.Context, layer ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	if _, begun := ctx.Value(accountKey{}).(*account); !begun || !plain(mounts) {
		return a.Service.Apply(ctx, layer, mounts, opts...)
	}
	info, err := a.Content.Info(ctx, layer.Digest)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	ctx = context.WithValue(ctx, packedKey{}, info.Size)
	return apply.NewFileSystemApplier(a.Content).Apply(ctx, layer, mounts, opts...)
}

// plain: this process can write there as containerd does. Other snapshotters have their own ways.
func plain(mounts []mount.Mount) bool {
	return len(mounts) == 1 && (mounts[0].Type == "overlay" || mounts[0].Type == "bind")
}

// countLayer is a diff.Handler.
func countLayer(ctx context.Context, mediaType string) (diff.StreamProcessorInit, bool) {
	a, begun := ctx.Value(accountKey{}).(*account)
	packed, known := ctx.Value(packedKey{}).(int64)
	if _, err := images.DiffCompression(ctx, mediaType); !begun || !known || err != nil {
		return nil, false
	}
	return func(_ context.Context, stream diff.StreamProcessor, _ map[string]typeurl.Any) (diff.StreamProcessor, error) {
		out, err := decompress(stream)
		if err != nil {
			return nil, err
		}
		return newLayer(out, a, packed), nil
	}, true
}

// layer is a layer's tar stream. What comes of it was looked at before: who reads from it never sees an entry that is refused.
type layer struct {
	*account
	from    io.ReadCloser
	out     *bufio.Reader // of examined: an entry takes some reads of a few bytes
	packed  int64
	read    int64 // of the stream
	claimed int64 // by the entries so far
	asked   int64 // claimed when the disk was looked at last
	// look gets what is read, to be looked at.
	look   *io.PipeWriter
	looked chan struct{}
}

func newLayer(from io.ReadCloser, a *account, packed int64) *layer {
	r, w := io.Pipe()
	l := &layer{account: a, from: from, packed: packed, look: w, looked: make(chan struct{})}
	l.out = bufio.NewReaderSize(examined{l}, atOnce)
	go func() {
		defer close(l.looked)
		err := rescue.Do("look into a layer", func() error { return l.examine(r) })
		r.CloseWithError(err)
	}()
	return l
}

// MediaType is what comes out.
func (l *layer) MediaType() string { return ocispec.MediaTypeImageLayer }

// atOnce is how much of a layer is looked at at a time.
const atOnce = 64 << 10

func (l *layer) Read(b []byte) (int, error) { return l.out.Read(b) }

// examined is the stream, of which nothing comes out that was not looked at.
type examined struct{ *layer }

func (l examined) Read(b []byte) (int, error) {
	n, err := l.from.Read(b)
	l.read += int64(n)
	if l.MaxSize == 0 && tooLarge(l.read, l.packed) {
		return 0, l.bomb(l.read)
	}
	if _, lookErr := l.look.Write(b[:n]); lookErr != nil {
		return 0, lookErr
	}
	// examine has all of it now. That it asks for more says that it has looked at all of it as well: a header may be the last of what was
	// read, and of a sparse file it is enough to fill a disk.
	if _, lookErr := l.look.Write(nil); lookErr != nil {
		return 0, lookErr
	}
	return n, err
}

func (l *layer) bomb(unpacked int64) error {
	return refuse("a layer of %s unpacks to %s or more: that is no honest image. If it is, say with imageMaxSize in the configuration how large images may be", size(l.packed), size(unpacked))
}

// Close ends the looking too.
func (l *layer) Close() error {
	l.look.Close() //nolint:errcheck // it has no error
	<-l.looked
	return l.from.Close()
}

// examine looks at the entries as they come. Of what is no tar stream who reads it complains.
func (l *layer) examine(stream io.Reader) error {
	in := bufio.NewReaderSize(stream, atOnce) // it asks for more when it has passed all on
	entries := tar.NewReader(in)
	for {
		h, err := entries.Next()
		if err != nil {
			_, err = io.Copy(io.Discard, in)
			return err
		}
		if err := l.entry(h); err != nil {
			slog.Debug("a layer is refused", "entry", h.Name, "err", err)
			return err
		}
	}
}

// oftenBytes is after how many the disk is looked at again.
const oftenBytes = 16 << 20

// entry counts one more. A sparse file counts as a whole: that is how it is written.
func (l *layer) entry(h *tar.Header) error {
	l.claimed = sum(l.claimed, h.Size)
	l.mu.Lock()
	l.bytes, l.files = sum(l.bytes, h.Size), l.files+1
	bytes, files := l.bytes, l.files
	l.mu.Unlock()
	switch {
	case files > maxFiles:
		return refuse("its layers bring more than %d files", maxFiles)
	case l.MaxSize > 0 && bytes > l.MaxSize:
		return refuse("its layers unpack to more than %s, which imageMaxSize in the configuration allows", size(l.MaxSize))
	case l.MaxSize == 0 && tooLarge(l.claimed, l.packed):
		return l.bomb(l.claimed)
	case l.claimed-l.asked >= oftenBytes || files%1024 == 0:
		l.asked = l.claimed
		if err := l.Disk.Take(h.Size, 1); err != nil {
			return fmt.Errorf("cannot unpack a layer: %w", err)
		}
	}
	return nil
}
