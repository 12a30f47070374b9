package container

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/spec"
)

// allowedOOMScore clamps a negative score where the capability for it is missing; the runtime would fail otherwise.
func allowedOOMScore(adj int) int {
	if adj >= 0 || spec.HasCapability("SYS_RESOURCE") {
		return adj
	}
	clampOnce.Do(func() {
		slog.Warn("CAP_SYS_RESOURCE is missing: guaranteed and critical pods cannot be protected from the kernel's " +
			"killer more than others (oom_score_adj stays at 0)")
	})
	return 0
}

var clampOnce sync.Once

// accounts are an image's user and group files.
type accounts struct{ passwd, group []byte }

// resolveUser looks the wanted identity up in the image; the image's files are read once.
func (c *Containers) resolveUser(ctx context.Context, image engine.Image, w spec.Wanted) (specs.User, error) {
	cached, ok := c.accounts.Load(image.ChainID)
	if !ok {
		files, err := c.Changer.ReadFiles(ctx, image, "etc/passwd", "etc/group")
		if err != nil {
			return specs.User{}, err
		}
		cached, _ = c.accounts.LoadOrStore(image.ChainID, accounts{files[0], files[1]})
	}
	a := cached.(accounts)
	return w.Resolve(readable(a.passwd), readable(a.group))
}

func readable(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return bytes.NewReader(b)
}
