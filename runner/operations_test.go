package runner

import (
	"testing"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/telemetry"
)

func TestOperations(t *testing.T) {
	for want, w := range map[string]plan.Work{
		"podsandbox_status": plan.FindSandbox{}, "run_podsandbox": plan.SetUp{}, "set_up_pod_network": plan.Attach{}, "stop_podsandbox": plan.Clear{},
		"pull_image": plan.Pull{}, "create_container": plan.Create{}, "start_container": plan.Start{}, "update_container": plan.Resize{},
		"stop_container": plan.Signal{}, "container_status": plan.Examine{}, "remove_container": plan.Delete{}, "": plan.Probe{},
	} {
		if got := operation(w); got != want {
			t.Errorf("%T is %q, not %q", w, got, want)
		}
	}
}

func TestFailedOperations(t *testing.T) {
	bad := state.Problem{Message: "no"}
	for _, c := range []struct {
		of   state.Result
		want bool
	}{
		{state.SandboxFound{Problem: bad}, true}, {state.SandboxMade{Problem: bad}, true}, {state.Attached{Problem: bad}, true}, {state.Cleared{Problem: bad}, true},
		{state.ImagePulled{Problem: bad}, true}, {state.Made{Problem: bad}, true}, {state.Started{Problem: bad}, true}, {state.Resized{Problem: bad}, true},
		{state.SignalSent{Problem: bad}, true}, {state.LeftoverGone{Problem: bad}, true},
		{state.Made{}, false}, {state.Examined{}, false}, {nil, false},
		{state.Made{Problem: state.Problem{Message: "not yet", Lacks: "docker.io/library/web:1"}}, false},
		{state.Made{Problem: state.Problem{Message: "taken", Claim: true}}, false},
	} {
		if got := failed(c.of); got != c.want {
			t.Errorf("%T %+v failed: %t", c.of, c.of, got)
		}
	}
}

func TestEvictionSignals(t *testing.T) {
	for message, want := range map[string]string{
		`Usage of EmptyDir volume "v" exceeds the limit "1Mi".`:                        telemetry.SignalEmptyDir,
		`Container c exceeded its local ephemeral storage limit "1Mi".`:                telemetry.SignalEphemeralContainer,
		`Pod ephemeral local storage usage exceeds the total limit of containers 1Mi.`: telemetry.SignalEphemeralPod,
	} {
		if got := evictionSignal(message); got != want {
			t.Errorf("%q is %s, not %s", message, got, want)
		}
	}
}
