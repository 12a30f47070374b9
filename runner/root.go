package runner

import (
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/pod/state"
)

// root notices when the file system of the root directory turns read-only under the running daemon, as ext4 does after an error
// (errors=remount-ro). containerd inside the process then takes nothing any more; at a start it is given another place.
type root struct {
	dir string
	// bound: containerd inside the process writes there.
	bound bool
	lost  chan struct{}
	once  sync.Once
}

// look takes what came of an effect. Only an effect that failed for a read-only file system makes it look.
func (r *root) look(result state.Result) {
	var problem state.Problem
	switch result := result.(type) {
	case state.Made:
		problem = result.Problem
	case state.LeftoverGone:
		problem = result.Problem
	case state.SandboxMade:
		problem = result.Problem
	}
	if r.bound && strings.Contains(problem.Message, unix.EROFS.Error()) && durable.IsReadOnly(r.dir) {
		r.once.Do(func() { close(r.lost) })
	}
}

// RootLost is closed when the root directory cannot be written any more, which was possible at the start: a Runner that begins anew
// can go on.
func (r *Runner) RootLost() <-chan struct{} { return r.root.lost }
