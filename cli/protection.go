package cli

import (
	"log/slog"
	"strconv"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/spec"
)

// daemonOOMScore is the kubelet's own (pkg/kubelet/qos/policy.go): the kernel takes pods first. A shim of containerd's has one more than the
// daemon, what outlives the daemon has the same; containers have their own.
const daemonOOMScore = -999

// protectDaemon asks the kernel to end the daemon last when there is no memory, as the package's unit does. Where that needs a capability
// that the daemon does not have, it is told.
func protectDaemon() {
	const file = "/proc/self/oom_score_adj"
	if now, err := strconv.Atoi(host.Line(file)); err == nil && now <= daemonOOMScore {
		return
	}
	if !spec.HasCapability("SYS_RESOURCE") {
		slog.Info("CAP_SYS_RESOURCE is missing: the kernel may end Solopod when memory is short, as any other program (its oom_score_adj stays as it is)")
		return
	}
	if err := foreign.WriteKernel(file, strconv.Itoa(daemonOOMScore)); err != nil {
		slog.Warn("the kernel may end Solopod when memory is short, as any other program", "err", err)
	}
}
