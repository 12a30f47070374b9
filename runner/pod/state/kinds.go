package state

// Kinds of effects.
const (
	KindFindSandbox  = "FindSandbox"
	KindClaim        = "Claim"
	KindSetUp        = "SetUp"
	KindAttach       = "Attach"
	KindClear        = "Clear"
	KindShowVolumes  = "ShowVolumes"
	KindShowResolver = "ShowResolver"
	KindSetLimits    = "SetLimits"
	KindMeasure      = "Measure"
	KindPull         = "Pull"
	KindForesee      = "Foresee"
	KindCreate       = "Create"
	KindStart        = "Start"
	KindResize       = "Resize"
	KindReadOutput   = "ReadOutput"
	KindWatchKills   = "WatchKills"
	KindProbe        = "Probe"
	KindPostStart    = "PostStart"
	KindPreStop      = "PreStop"
	KindSignal       = "Signal"
	KindExamine      = "Examine"
	KindDrain        = "Drain"
	KindDelete       = "Delete"
	thingContainer   = "container/"
	thingOutput      = "output/"
	thingKills       = "kills/"
	thingProbe       = "probe/"
	thingHook        = "hook/"
	thingSignal      = "signal/"
	thingExamination = "end/"
	thingLeftover    = "leftover/"
	thingImage       = "image/"
)

// ClearGone is the key of a Clear that takes all of a pod away, for good.
const ClearGone = "gone"

// ThingOf is what an effect of a kind works on. name is a container's or an image's name, a leftover's id, or, for a probe,
// the container's name and the probe's kind with a slash between them; it is not used for what a pod has one of.
func ThingOf(kind, name string) string {
	switch kind {
	case KindFindSandbox, KindClaim, KindSetUp, KindClear:
		return ThingSandbox
	case KindAttach:
		return ThingNetwork
	case KindShowVolumes:
		return ThingVolumes
	case KindShowResolver:
		return ThingResolver
	case KindSetLimits:
		return ThingLimits
	case KindMeasure:
		return ThingStorage
	case KindPull:
		return thingImage + name
	case KindForesee:
		return ThingEdit
	case KindReadOutput:
		return thingOutput + name
	case KindWatchKills:
		return thingKills + name
	case KindProbe:
		return thingProbe + name
	case KindPostStart, KindPreStop:
		return thingHook + name
	case KindSignal:
		return thingSignal + name
	case KindExamine:
		return thingExamination + name
	case KindDrain, KindDelete:
		return thingLeftover + name
	}
	return thingContainer + name // Create, Start, Resize
}

// Things that effects work on, beside those of containers and images.
const (
	ThingSandbox  = "sandbox"
	ThingNetwork  = "network"
	ThingVolumes  = "volumes"
	ThingResolver = "resolver"
	ThingLimits   = "limits"
	ThingStorage  = "storage"
	ThingEdit     = "edit"
)
