package runner

import (
	"strings"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/telemetry"
)

// operation is what an effect is called in the metrics: by a kubelet's name for the call to its runtime that comes nearest. What has none,
// as it goes on for as long as a container runs or touches neither runtime nor network, is not counted: the name is empty.
func operation(w plan.Work) string {
	switch w.(type) {
	case plan.FindSandbox:
		return "podsandbox_status"
	case plan.SetUp:
		return "run_podsandbox"
	case plan.Attach:
		return "set_up_pod_network"
	case plan.Clear:
		return "stop_podsandbox"
	case plan.Pull:
		return "pull_image"
	case plan.Create:
		return "create_container"
	case plan.Start:
		return "start_container"
	case plan.Resize:
		return "update_container"
	case plan.Signal:
		return "stop_container"
	case plan.Examine:
		return "container_status"
	case plan.Delete:
		return "remove_container"
	}
	return ""
}

// failed says whether an operation failed. That an image has not come yet, or another pod has what is wanted, is no failure: the pod waits.
func failed(r state.Result) bool {
	p := problemOf(r)
	return p.Failed() && p.Lacks == "" && !p.Claim
}

// problemOf is how an operation failed.
func problemOf(r state.Result) state.Problem {
	switch r := r.(type) {
	case state.SandboxFound:
		return r.Problem
	case state.SandboxMade:
		return r.Problem
	case state.Attached:
		return r.Problem
	case state.Cleared:
		return r.Problem
	case state.ImagePulled:
		return r.Problem
	case state.Made:
		return r.Problem
	case state.Started:
		return r.Problem
	case state.Resized:
		return r.Problem
	case state.SignalSent:
		return r.Problem
	case state.LeftoverGone:
		return r.Problem
	}
	return state.Problem{}
}

// evictionSignal names the limit that a pod was evicted for, from what its event says (runner/sandbox/measure.go).
func evictionSignal(message string) string {
	switch {
	case strings.HasPrefix(message, "Usage of EmptyDir volume"):
		return telemetry.SignalEmptyDir
	case strings.HasPrefix(message, "Container "):
		return telemetry.SignalEphemeralContainer
	}
	return telemetry.SignalEphemeralPod
}
