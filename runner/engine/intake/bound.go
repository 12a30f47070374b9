package intake

import (
	"context"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bound bounds what a registry names while it is pulled to a store: what it returns is put around what fetches.
func Bound(store content.InfoProvider, l Limits) func(fetch images.Handler) images.Handler {
	return func(fetch images.Handler) images.Handler {
		return &bound{Limits: l, store: store, fetch: fetch, depth: map[digest.Digest]int{}}
	}
}

// bound counts as the handlers of one image run, side by side.
type bound struct {
	Limits
	store content.InfoProvider
	fetch images.Handler
	mu    sync.Mutex
	depth map[digest.Digest]int // of what was named
}

// Handle implements images.Handler.
func (b *bound) Handle(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if err := check(desc); err != nil {
		return nil, err
	}
	b.mu.Lock()
	depth, named := b.depth[desc.Digest]
	b.mu.Unlock()
	isManifest := images.IsManifestType(desc.MediaType)
	isImage := isManifest || images.IsIndexType(desc.MediaType)
	if !isImage && !named { // as the page of a portal
		return nil, refuse("what the registry answers with is of the type %q, which no image has", desc.MediaType)
	}
	if isImage && depth >= maxDepth {
		return nil, refuse("its indexes are nested more than %d deep", maxDepth)
	}
	children, err := b.fetch.Handle(ctx, desc)
	if err != nil {
		return nil, err
	}
	if isManifest {
		err = b.manifest(ctx, children)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, child := range children {
		b.depth[child.Digest] = max(b.depth[child.Digest], depth+1)
	}
	return children, err
}

// manifest looks at what a manifest names: the configuration, and then the layers.
func (b *bound) manifest(ctx context.Context, named []ocispec.Descriptor) error {
	if len(named) > maxLayers+1 {
		return refuse("it has %d layers, and may have %d", len(named)-1, maxLayers)
	}
	var fetched, all int64
	for i, child := range named {
		if i == 0 && child.Size > maxJSON { // whatever its type
			return refuse("its configuration has %s, and may have %s", size(child.Size), size(maxJSON))
		}
		if err := check(child); err != nil {
			return err
		}
		all = sum(all, child.Size)
		if _, err := b.store.Info(ctx, child.Digest); errdefs.IsNotFound(err) {
			fetched = sum(fetched, child.Size)
		}
	}
	if b.MaxSize > 0 && all > b.MaxSize {
		return refuse("its layers have %s, and imageMaxSize in the configuration allows %s", size(all), size(b.MaxSize))
	}
	return b.Disk.Take(fetched, int64(len(named)))
}
