package plan

import (
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// limits are how long an effect of a kind may take before its context ends; what is not listed lasts for as long as it is
// wanted: probes and the watch for kills while their container runs, and hooks, which the grace period ends. The times are
// generous for an emulated machine with a slow disk: they are there for what hangs, not for what is slow.
var limits = map[string]time.Duration{
	state.KindFindSandbox:  30 * time.Second,
	state.KindClaim:        10 * time.Second, // reads the descriptions of devices
	state.KindSetUp:        2 * time.Minute,  // volumes may lie on a network file system
	state.KindAttach:       2 * time.Minute,  // CNI plugins; the kubelet's runtimeRequestTimeout
	state.KindClear:        2 * time.Minute,
	state.KindShowVolumes:  time.Minute,
	state.KindShowResolver: 30 * time.Second,
	state.KindSetLimits:    30 * time.Second,
	state.KindMeasure:      2 * time.Minute,
	state.KindPull:         6 * time.Hour, // one without progress ends within a minute or two (package image)
	state.KindForesee:      30 * time.Second,
	state.KindCreate:       2 * time.Minute,
	state.KindStart:        2 * time.Minute,
	state.KindResize:       30 * time.Second,
	state.KindReadOutput:   30 * time.Second,
	state.KindSignal:       15 * time.Second, // after the runtime's 10 s the container is killed without it
	state.KindExamine:      5 * time.Second,
	state.KindDrain:        15 * time.Second, // the last words are waited for in it
	state.KindDelete:       30 * time.Second,
}

// Limit is how long an effect of a kind may take; zero means for as long as it is wanted.
func Limit(kind string) time.Duration { return limits[kind] }

// Heed is how long an effect may take to end after its context has ended, before it is left behind. What goes on then, and has limits
// of its own, must end well before, or who does as it should is told of as one that hangs: Attach kills a plugin (2 s), has the
// others give back what they gave (3 s), and kills the one that does not (2 s); Create removes what it has made (5 s); Examine and
// Clear wait for killed processes (5 s), SetUp for a first process to begin (5 s), probes and hooks for a command that was killed
// (2 s), Drain and Delete for the streams of a log (1 s). The longest take 7 s.
const Heed = 10 * time.Second

// mostLeft bounds what is left behind of one container's attempts, each of which holds a thread or two: another attempt waits then.
const mostLeft = 3

// runsOut: an effect of this kind goes on to its end, or its limit, also when the plan has changed: stopping half way would
// leave more to do.
var runsOut = map[string]bool{
	state.KindFindSandbox: true, state.KindClear: true, state.KindDelete: true, state.KindDrain: true, state.KindExamine: true,
	state.KindStart: true, state.KindResize: true, state.KindSetLimits: true, state.KindClaim: true, state.KindSignal: true,
}
