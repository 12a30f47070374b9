package step

import (
	"fmt"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// apply lets an event change s.
func apply(s *next, e state.Event) {
	switch e := e.(type) {
	case state.Unmade:
		applyUnmade(s, e)
	case state.HeldBack:
		applyHeldBack(s, e)
	case state.Desired:
		applyDesired(s, e)
	case state.RestartAsked:
		applyRestartAsked(s, e)
	case state.Evicted:
		applyEvicted(s, e)
	case state.Readmitted:
		applyReadmitted(s, e)
	case state.EvictionDecided:
		applyEvictionDecided(s, e)
	case state.Drained:
		applyDrained(s, e)
	case state.ClaimsFree:
		applyClaimsFree(s, e)
	case state.ClockMoved:
		applyClockMoved(s, e)
	case state.PodFailed:
		applyPodFailed(s, e)
	case state.Initialized:
		applyInitialized(s, e)
	case state.BegunAnew:
		applyBegunAnew(s, e)
	case state.Removed:
		applyRemoved(s, e)
	case state.ConditionsNoted:
		applyConditionsNoted(s, e)
	case state.StopBegun:
		applyStopBegun(s, e)
	case state.TurnCome:
		applyTurnCome(s, e)
	case state.HookOver:
		applyHookOver(s, e)
	case state.KillBegun:
		applyKillBegun(s, e)
	case state.Exited:
		applyExited(s, e)
	case state.BackingOff:
		applyBackingOff(s, e)
	case state.EditDue:
		applyEditDue(s, e)
	case state.EditLacks:
		applyEditLacks(s, e)
	case state.PullBacksOff:
		applyPullBacksOff(s, e)
	case state.Begun:
		applyBegun(s, e)
	case state.Told:
		applyTold(s, e)
	case state.LeftBehind:
		applyLeftBehind(s, e)
	case state.Returned:
		applyReturned(s, e)
	case state.Said:
		applySaid(s, e)
	case state.Voided:
		applyVoided(s, e)
	case state.Saved:
		applySaved(s, e)
	case state.ImagesReady:
		applyImagesReady(s, e)
	case state.ImagesScanned:
		applyImagesScanned(s, e)
	case state.Listed:
		applyListed(s, e)
	case state.HostChanged:
		applyHostChanged(s, e)
	case state.Explained:
		applyExplained(s, e)
	case state.AddressAwaited:
		applyAddressAwaited(s, e)
	case state.NotPrepared:
		applyNotPrepared(s, e)
	default:
		panic(fmt.Sprintf("an event that nobody knows: %T", e))
	}
}

// take lets what an effect has to say change s; f is the effect's flight.
func take(s *next, r state.Result, f *state.Flight, at time.Time) {
	switch r := r.(type) {
	case state.Made:
		takeMade(s, r, f, at)
	case state.Started:
		takeStarted(s, r, f, at)
	case state.OutputRead:
		takeOutputRead(s, r, f, at)
	case state.Resized:
		takeResized(s, r, f, at)
	case state.Probed:
		takeProbed(s, r, f, at)
	case state.HookEnded:
		takeHookEnded(s, r, f, at)
	case state.SignalSent:
		takeSignalSent(s, r, f, at)
	case state.Examined:
		takeExamined(s, r, f, at)
	case state.KillsSeen:
		takeKillsSeen(s, r, f, at)
	case state.LeftoverGone:
		takeLeftoverGone(s, r, f, at)
	case state.LogComplete:
		takeLogComplete(s, r, f, at)
	case state.Panicked:
		takePanicked(s, r, f, at)
	case state.WatchEnded:
		takeWatchEnded(s, r, f, at)
	case state.Foreseen:
		takeForeseen(s, r, f, at)
	case state.ImagePulled:
		takeImagePulled(s, r, f, at)
	case state.SandboxFound:
		takeSandboxFound(s, r, f, at)
	case state.Claimed:
		takeClaimed(s, r, f, at)
	case state.SandboxMade:
		takeSandboxMade(s, r, f, at)
	case state.Attached:
		takeAttached(s, r, f, at)
	case state.Cleared:
		takeCleared(s, r, f, at)
	case state.VolumesShown:
		takeVolumesShown(s, r, f, at)
	case state.ResolverShown:
		takeResolverShown(s, r, f, at)
	case state.LimitsSet:
		takeLimitsSet(s, r, f, at)
	case state.Measured:
		takeMeasured(s, r, f, at)
	default:
		panic(fmt.Sprintf("a result that nobody knows: %T", r))
	}
}
