package status

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
)

// Same says whether two states of a pod look alike (Of). It errs on the side of no, and costs next to nothing: most steps
// change nothing that others see.
func Same(a, b *state.State) bool {
	return a.Pod == b.Pod && a.File == b.File && a.Decided == b.Decided && a.Adoption.Sandbox == b.Adoption.Sandbox && a.DeletedAt.Equal(b.DeletedAt) && a.StopBy.Equal(b.StopBy) && a.StartTime.Equal(b.StartTime) &&
		a.Generation == b.Generation && a.EditWaits == b.EditWaits && a.SeenAt.Equal(b.SeenAt) && a.Applied == b.Applied && a.Resized == b.Resized &&
		a.Revisions.Manifest == b.Revisions.Manifest && a.SharedRevision == b.SharedRevision && a.SetUp == b.SetUp && a.Dirty == b.Dirty && a.GrantedFor == b.GrantedFor &&
		maps.Equal(a.VolumeImages, b.VolumeImages) && a.Initialized == b.Initialized && a.Network == b.Network && slices.Equal(a.Host.IPs, b.Host.IPs) && sameFailure(a.Failed, b.Failed) && a.Message == b.Message && a.NoRoom == b.NoRoom &&
		a.Starting() == b.Starting() &&
		state.SameSlice(a.Conditions, b.Conditions) && maps.Equal(a.Revisions.Containers, b.Revisions.Containers) &&
		maps.EqualFunc(a.Images, b.Images, func(x, y *state.Image) bool { return *x == *y }) &&
		maps.EqualFunc(a.Containers, b.Containers, func(x, y *state.Container) bool { return seenOf(x) == seenOf(y) })
}

func sameFailure(a, b *state.Failure) bool { return a == b || a != nil && b != nil && *a == *b }

// seen is what shows of a container.
type seen struct {
	id, revision, image, imageID, resources string
	attempt, stopSignal                     int
	user                                    *v1.ContainerUser
	running, started, ready, replaced       bool
	startedAt                               int64
	ended, last                             *state.Ending
	verdict                                 *state.Verdict
	backoff                                 state.Backoff
	waitingReason, waitingMessage, lacks    string
}

func seenOf(c *state.Container) seen {
	return seen{
		id: c.ID, revision: c.Revision, image: c.Image, imageID: c.ImageID, resources: c.Resources, attempt: c.Attempt, stopSignal: c.StopSignal, user: c.User, running: c.Running,
		started: c.Started, ready: c.Serves(), replaced: c.Replaced, startedAt: c.StartedAt.UnixNano(), ended: c.Ended, last: c.Last,
		verdict: c.Verdict, backoff: c.Backoff, waitingReason: c.Now.WaitingReason, waitingMessage: c.Now.WaitingMessage, lacks: c.Now.Lacks,
	}
}
