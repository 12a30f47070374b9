package plan

import (
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// Action is one step for the worker.
type Action interface{ action() }

type (
	// SetUpPod makes what the containers share.
	SetUpPod struct{}
	// TearDownPod removes everything of the pod. All containers have ended.
	TearDownPod struct{}
	// SuspendPod lets go of what the containers share and keeps the pod's history: for the next start of the machine, or
	// because the pod has ended for good. All containers have ended.
	SuspendPod struct{}
	// DiscardPod is SuspendPod that takes away what the pod has on the disk, too. All containers have ended.
	DiscardPod struct{}
	// FailPod notes that the pod has failed as a whole; its containers are stopped next.
	FailPod struct{ Reason, Message string }
	// MarkInitialized notes that the init containers need not run again in this set-up.
	MarkInitialized struct{}
	// BeginAnew makes every container's end count no more, so that all run again, init containers first; the trigger's
	// restart is paced by Backoff. All containers have ended.
	BeginAnew struct {
		Trigger string
		Backoff state.Backoff
	}
	// RefreshVolumes gives mounted volumes their new content.
	RefreshVolumes struct{}
	// StartContainer removes what is left of the last attempt, creates the container and starts it. Backoff is what is
	// to be remembered for the next restart.
	StartContainer struct {
		Name    string
		Backoff state.Backoff
	}
	// StopContainer runs the preStop hook, sends the stop signal, and gives the container until now+Grace.
	StopContainer struct {
		Name    string
		Grace   time.Duration
		Reason  string
		Replace bool // the container comes back
		EndsPod bool // the whole pod ends; the grace period of the first such stop is that of the pod
		Awaits  bool // the stop signal waits for those that end before it
		Tells   bool // whether the container comes back is told by its verdict, not by its exit code
	}
	// TakeTurn lets a sidecar have its stop signal: what ends before it has ended, or its time is over.
	TakeTurn struct{ Name string }
	// AbandonHook ends a preStop hook whose time is over and sends the stop signal.
	AbandonHook struct{ Name string }
	// KillContainer sends SIGKILL: the grace period is over.
	KillContainer struct{ Name string }
	// ResizeContainer gives a running container other resources.
	ResizeContainer struct{ Name string }
	// RemoveContainer deletes a container that the manifest no longer names.
	RemoveContainer struct{ Name string }
	// WaitUntil asks to be called again at T at the latest.
	WaitUntil struct{ T time.Time }
)

func (SetUpPod) action()        {}
func (TearDownPod) action()     {}
func (SuspendPod) action()      {}
func (DiscardPod) action()      {}
func (FailPod) action()         {}
func (MarkInitialized) action() {}
func (BeginAnew) action()       {}
func (RefreshVolumes) action()  {}
func (StartContainer) action()  {}
func (StopContainer) action()   {}
func (TakeTurn) action()        {}
func (AbandonHook) action()     {}
func (KillContainer) action()   {}
func (ResizeContainer) action() {}
func (RemoveContainer) action() {}
func (WaitUntil) action()       {}

// earliestWait puts the wait that ends first behind the other actions and drops the rest.
func earliestWait(actions []Action) []Action {
	var out []Action
	var first *WaitUntil
	for _, a := range actions {
		w, ok := a.(WaitUntil)
		if !ok {
			out = append(out, a)
			continue
		}
		if first == nil || w.T.Before(first.T) {
			first = &w
		}
	}
	if first != nil {
		out = append(out, *first)
	}
	return out
}
