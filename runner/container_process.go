package runner

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/spec"
)

// stopSignal reads an image's STOPSIGNAL: a name, with or without SIG, or a number. Anything else means SIGTERM.
func stopSignal(s string) int {
	s = strings.ToUpper(strings.TrimSpace(s))
	if s == "" {
		return int(unix.SIGTERM)
	}
	var number int
	if n, err := fmt.Sscanf(s, "%d", &number); n == 1 && err == nil && number > 0 && number < 65 {
		return number
	}
	if !strings.HasPrefix(s, "SIG") {
		s = "SIG" + s
	}
	if offset, ok := strings.CutPrefix(s, "SIGRTMIN+"); ok {
		if n, err := fmt.Sscanf(offset, "%d", &number); n == 1 && err == nil {
			return 34 + number // signal(7): the C library reserves 32 and 33
		}
	}
	if n := unix.SignalNum(s); n != 0 {
		return int(n)
	}
	return int(unix.SIGTERM)
}

// allowedOOMScore clamps a negative score where the capability for it is missing; the runtime would fail otherwise.
func (r *Runner) allowedOOMScore(adj int) int {
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
func (r *Runner) resolveUser(ctx context.Context, img engine.Image, w spec.Wanted) (specs.User, error) {
	cached, ok := r.accounts.Load(img.ChainID)
	if !ok {
		files, err := r.engine.ReadFiles(ctx, img, "etc/passwd", "etc/group")
		if err != nil {
			return specs.User{}, err
		}
		cached, _ = r.accounts.LoadOrStore(img.ChainID, accounts{files[0], files[1]})
	}
	a := cached.(accounts)
	return w.Resolve(reader(a.passwd), reader(a.group))
}

func reader(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return bytes.NewReader(b)
}
