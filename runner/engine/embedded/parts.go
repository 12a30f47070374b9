package embedded

import (
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/metadata"
	shims "github.com/containerd/containerd/v2/core/runtime/v2"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// serverParts are parts of the running server that its API does not show.
type serverParts struct {
	manager   *shims.ShimManager
	sandboxes sandbox.Store
}

// parts are those of the server that was started last; containerd's registry of plugins is one for the process too.
var parts atomic.Pointer[serverParts]

func init() {
	registry.Register(&plugin.Registration{
		Type:     "io.solopod.v1",
		ID:       "parts",
		Requires: []plugin.Type{plugins.ShimPlugin, plugins.MetadataPlugin, plugins.RuntimePluginV2},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			manager, err := ic.GetSingle(plugins.ShimPlugin)
			if err != nil {
				return nil, err
			}
			db, err := ic.GetSingle(plugins.MetadataPlugin)
			if err != nil {
				return nil, err
			}
			p := &serverParts{manager: manager.(*shims.ShimManager), sandboxes: metadata.NewSandboxStore(db.(*metadata.DB))}
			parts.Store(p)
			return p, nil
		},
	})
}
