package plan

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
)

// Effect is something that the worker does for a pod: it starts one that runs apart (Run), ends one (Cancel), takes a decision
// into the state at once (Decide), or looks again at a time (Wake).
type Effect interface{ effect() }

type (
	// Run starts an effect on its thing.
	Run struct{ Work Work }
	// Cancel tells the effect on a thing to end.
	Cancel struct{ Thing string }
	// Decide is an event that needs no look at the world.
	Decide struct{ Event state.Event }
	// Wake asks for another plan at T at the latest.
	Wake struct{ T time.Time }
)

func (Run) effect()    {}
func (Cancel) effect() {}
func (Decide) effect() {}
func (Wake) effect()   {}

// Work is an effect that runs apart. It is plain data: all that who does it needs to know.
type Work interface {
	// Is says what it is: its kind, the name of what it works on (state.ThingOf), the id of a container, and a key that
	// tells it from another one of its kind on the same thing.
	Is() Identity
}

// Identity of an effect.
type Identity struct {
	Kind string
	// Name is the container or the image that it works on; ID is a container's id.
	Name, ID string
	// Of names the thing where that is not by Name.
	Of  string
	Key string
}

// Thing is what the effect works on.
func (i Identity) Thing() string {
	if i.Of != "" {
		return state.ThingOf(i.Kind, i.Of)
	}
	return state.ThingOf(i.Kind, i.Name)
}

// Target is one attempt of a container.
type Target struct {
	// Pod is the pod as the container was, or is being, made. Nobody may change it.
	Pod      *v1.Pod
	Name, ID string
	Attempt  int
}

// Known is what there is, beside the pod, to ask registries with: its imagePullSecrets, and the images that its containers have had.
type Known struct {
	Secrets map[string]*v1.Secret
	Had     []string
}

// The effects on what the pod's containers share.
type (
	// FindSandbox looks at what an earlier run left.
	FindSandbox struct {
		Pod      *v1.Pod
		Grant    state.Grant
		Network  *state.Attachment
		SameBoot bool
	}
	// Claim takes what no other pod can have at the same time: host ports, devices, ids.
	Claim struct {
		Pod *v1.Pod
		Had state.Grant
		Key string
	}
	// SetUp makes what the containers share, but for the network.
	SetUp struct {
		Pod    *v1.Pod
		Grant  state.Grant
		Inputs *reference.Inputs
		Known  Known
		Key    string
	}
	// Attach connects the pod to the network and fills in the files that name things. Resolver is what the state has of the machine's.
	Attach struct {
		Pod           *v1.Pod
		Key, Resolver string
	}
	// ShowResolver gives the pod's resolver configuration the content that follows from the machine's.
	ShowResolver struct {
		Pod      *v1.Pod
		Resolver string
	}
	// Clear undoes SetUp and Attach, be they complete or not. All: what the pod has on the disk goes, too.
	Clear struct {
		Pod *v1.Pod
		// All: the data on the disk goes; Gone: also logs and record, for the pod does not come back.
		All, Gone bool
	}
	// ShowVolumes gives mounted volumes their new content.
	ShowVolumes struct {
		Pod     *v1.Pod
		Inputs  *reference.Inputs
		Content string
	}
	// SetLimits gives the pod's cgroup the limits of the manifest.
	SetLimits struct {
		Pod     *v1.Pod
		Resized string
	}
	// Measure finds out what the pod has written to the disk.
	Measure struct {
		Pod     *v1.Pod
		Running []Target
	}
	// Pull fetches an image.
	Pull struct {
		Ref   string
		Pod   *v1.Pod
		Known Known
	}
	// Foresee looks what an edit that waits lacks of what its pod needs. Refs are the images.
	Foresee struct {
		Pod   *v1.Pod
		Refs  []string
		Known Known
		Key   string
	}
)

// The effects on containers.
type (
	// Create has the runtime set a container up.
	Create struct {
		Target
		Spec     *v1.Container
		Revision string
		Grant    state.Grant
		Inputs   *reference.Inputs
		Known    Known
		// Sizes identify the resources of the pod as a whole.
		Sizes string
		// Making is what is known of the attempt from now on.
		Making *state.Making
	}
	// Start lets a container's process run.
	Start struct {
		Target
		Spec *v1.Container
	}
	// Resize gives a running container, and the pod as a whole, the resources of the manifest.
	Resize struct {
		Target
		Spec      *v1.Container
		Resources string
	}
	// ReadOutput takes over the output of a container that an earlier run started.
	ReadOutput struct {
		Target
		Terminal, Stdin bool
	}
	// WatchKills tells of processes that the kernel kills for memory, for as long as the container runs.
	WatchKills struct{ Target }
	// Probe asks a container how it is, for as long as it runs.
	Probe struct {
		Target
		Spec    *v1.Container
		Kind    state.ProbeKind
		Host    string
		Started time.Time
	}
	// Hook runs a lifecycle hook.
	Hook struct {
		Target
		Handler *v1.LifecycleHandler
		Ports   []v1.ContainerPort
		PreStop bool
		Host    string
	}
	// Signal sends a signal to a container's main process.
	Signal struct {
		Target
		Signal int
	}
	// Examine looks at what an ended container has left: its cgroup's count of kills, and its message. Lost: what may be left of
	// its processes is ended, because nobody knows them any more. Killed: its main process was, with a SIGKILL that Solopod did not send.
	Examine struct {
		Target
		Lost, Killed bool
	}
	// Drain completes the log of an ended container.
	Drain struct {
		Target
		Terminal, Stdin bool
		// Text: the log's end is wanted.
		Text bool
	}
	// Delete removes an ended container. KeepFiles: another attempt has its directory. Kill: its processes may run, and end.
	Delete struct {
		Target
		KeepFiles, Kill bool
	}
)

// Is implements Work.
func (w FindSandbox) Is() Identity { return Identity{Kind: state.KindFindSandbox} }

// Is implements Work.
func (w Claim) Is() Identity { return Identity{Kind: state.KindClaim, Key: w.Key} }

// Is implements Work.
func (w SetUp) Is() Identity { return Identity{Kind: state.KindSetUp, Key: w.Key} }

// Is implements Work.
func (w Attach) Is() Identity { return Identity{Kind: state.KindAttach, Key: w.Key} }

// Is implements Work.
func (w Clear) Is() Identity {
	switch {
	case w.Gone:
		return Identity{Kind: state.KindClear, Key: state.ClearGone}
	case w.All:
		return Identity{Kind: state.KindClear, Key: "all"}
	}
	return Identity{Kind: state.KindClear}
}

// Is implements Work.
func (w ShowVolumes) Is() Identity { return Identity{Kind: state.KindShowVolumes, Key: w.Content} }

// Is implements Work.
func (w ShowResolver) Is() Identity {
	return Identity{Kind: state.KindShowResolver, Key: w.Resolver}
}

// Is implements Work.
func (w SetLimits) Is() Identity { return Identity{Kind: state.KindSetLimits, Key: w.Resized} }

// Is implements Work.
func (w Measure) Is() Identity { return Identity{Kind: state.KindMeasure} }

// Is implements Work.
func (w Pull) Is() Identity { return Identity{Kind: state.KindPull, Name: w.Ref} }

// Is implements Work.
func (w Foresee) Is() Identity { return Identity{Kind: state.KindForesee, Key: w.Key} }

// Is implements Work.
func (w Create) Is() Identity {
	return Identity{Kind: state.KindCreate, Name: w.Name, ID: w.ID, Key: w.Revision + " " + w.Sizes}
}

// Is implements Work.
func (w Start) Is() Identity {
	return Identity{Kind: state.KindStart, Name: w.Name, ID: w.ID, Key: w.ID}
}

// Is implements Work.
func (w Resize) Is() Identity {
	return Identity{Kind: state.KindResize, Name: w.Name, ID: w.ID, Key: w.ID + w.Resources}
}

// Is implements Work.
func (w ReadOutput) Is() Identity {
	return Identity{Kind: state.KindReadOutput, Name: w.Name, ID: w.ID, Key: w.ID}
}

// Is implements Work.
func (w WatchKills) Is() Identity {
	return Identity{Kind: state.KindWatchKills, Name: w.Name, ID: w.ID, Key: w.ID}
}

// Is implements Work.
func (w Probe) Is() Identity {
	return Identity{Kind: state.KindProbe, Name: w.Name, Of: w.Name + "/" + string(w.Kind), ID: w.ID, Key: w.ID + w.Host}
}

// Is implements Work.
func (w Hook) Is() Identity {
	kind := state.KindPostStart
	if w.PreStop {
		kind = state.KindPreStop
	}
	return Identity{Kind: kind, Name: w.Name, ID: w.ID, Key: w.ID}
}

// Is implements Work.
func (w Signal) Is() Identity {
	return Identity{Kind: state.KindSignal, Name: w.Name, ID: w.ID, Key: fmt.Sprintf("%s %d", w.ID, w.Signal)}
}

// Is implements Work.
func (w Examine) Is() Identity {
	return Identity{Kind: state.KindExamine, Name: w.Name, ID: w.ID, Key: w.ID}
}

// Is implements Work.
func (w Drain) Is() Identity {
	return Identity{Kind: state.KindDrain, Name: w.Name, Of: w.ID, ID: w.ID}
}

// Is implements Work.
func (w Delete) Is() Identity {
	return Identity{Kind: state.KindDelete, Name: w.Name, Of: w.ID, ID: w.ID}
}
