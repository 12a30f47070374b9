package state

import (
	"maps"
	"slices"
)

// SameRecord says whether two states have the same record. It errs on the side of no, and costs next to nothing: most steps
// change only what is known while this Solopod runs.
func SameRecord(a, b *State) bool {
	return a.Pod == b.Pod && a.File == b.File && a.Applied == b.Applied && a.SharedRevision == b.SharedRevision &&
		a.BootID == b.BootID && a.ClockOffset == b.ClockOffset && a.StartTime.Equal(b.StartTime) && a.Generation == b.Generation && a.EditWaits == b.EditWaits && a.SeenAt.Equal(b.SeenAt) && a.DeletedAt.Equal(b.DeletedAt) &&
		a.same(&b.Grant) && a.Initialized == b.Initialized && a.Content == b.Content && maps.Equal(a.VolumeImages, b.VolumeImages) && a.Evictions == b.Evictions && SameSlice(a.OOMEnds, b.OOMEnds) &&
		samePointed(a.Failed, b.Failed) && a.Network == b.Network && SameSlice(a.Conditions, b.Conditions) &&
		maps.EqualFunc(a.Containers, b.Containers, sameDurably) && maps.EqualFunc(a.Leftovers, b.Leftovers, (*Leftover).same)
}

func (g *Grant) same(h *Grant) bool {
	return g.FirstID == h.FirstID && g.SELinuxLevel == h.SELinuxLevel && maps.EqualFunc(g.Devices, h.Devices, slices.Equal)
}

func samePointed[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// SameSlice says whether two slices are the same memory.
func SameSlice[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

func sameDurably(a, b *Container) bool {
	return a.ID == b.ID && a.Attempt == b.Attempt && a.Revision == b.Revision && a.Running == b.Running && a.Pid == b.Pid &&
		a.Terminal == b.Terminal && a.Stdin == b.Stdin && a.StopSignal == b.StopSignal && a.PreStop == b.PreStop && a.Hooked == b.Hooked && a.Begun == b.Begun &&
		a.Resources == b.Resources && a.StartedAt.Equal(b.StartedAt) && a.Started == b.Started && a.Ready == b.Ready &&
		a.Ended == b.Ended && a.Last == b.Last && a.Backoff == b.Backoff && a.Image == b.Image && a.ImageID == b.ImageID && a.User == b.User &&
		a.OOMKills == b.OOMKills && a.Kills == b.Kills && a.Replaced == b.Replaced && a.Replacing == b.Replacing && a.Verdict == b.Verdict
}

func (l *Leftover) same(m *Leftover) bool {
	return l.Name == m.Name && l.Attempt == m.Attempt && l.Drain == m.Drain && l.FromLog == m.FromLog && l.Kill == m.Kill && l.Void == m.Void &&
		l.Terminal == m.Terminal && l.Stdin == m.Stdin
}
