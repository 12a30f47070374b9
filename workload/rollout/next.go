package rollout

import "slices"

// Version is which version of the template a pod was told to run.
type Version int

// Versions.
const (
	// None: there is no such pod.
	None Version = iota
	Old
	New
)

// Member is a pod as it is now.
type Member struct {
	Version Version
	// Available: it runs as told, and has been ready for minReadySeconds.
	Available bool
}

// Step is what to do with a pod.
type Step int

// Steps.
const (
	Stay Step = iota
	// Renew gives it the new version; where there is no pod one begins.
	Renew
	// End removes it.
	End
)

// Decision is what to do now. Slots and Surge have a step for each of theirs.
type Decision struct {
	Slots, Surge []Step
	// More surge pods begin, with the new version.
	More int
	// Done: all slots that shall have the new version do and are available, and no surge pod is left.
	Done bool
}

// Next decides about the slots of an object, the first first, and the surge pods that there are. lingers says that of pods that were
// ended something is still there.
func Next(s Strategy, slots, surge []Member, lingers bool) Decision {
	d := Decision{Slots: make([]Step, len(slots)), Surge: make([]Step, len(surge))}
	if s.Recreate {
		d.recreate(s.InPlace, slots, surge, lingers)
	} else {
		d.roll(s, slots, surge)
	}
	return d
}

// recreate ends all pods of the old version, and begins none of the new one before they are gone. A pod that is replaced in place has
// ended before the new one begins, and goes on until that can.
func (d *Decision) recreate(inPlace bool, slots, surge []Member, lingers bool) {
	for i := range surge { // of another strategy
		d.Surge[i] = End
		lingers = true
	}
	for i, m := range slots {
		switch {
		case m.Version == Old && !inPlace:
			d.Slots[i] = End
			lingers = true
		case m.Version == Old && !lingers:
			d.Slots[i] = Renew
		}
	}
	d.Done = !lingers
	for i, m := range slots {
		if m.Version == None && !lingers {
			d.Slots[i] = Renew
		}
		d.Done = d.Done && m.Version == New && m.Available
	}
}

// candidate is a pod of the old version.
type candidate struct {
	step      *Step
	available bool
}

// round is one decision of a rolling update, as far as it has come.
type round struct {
	// need is how many pods must be available; available are, and fresh have the new version and are not.
	need, available, fresh int
	// most bounds fresh.
	most int
	// settled: every slot has the new version and is available.
	settled bool
	old     []candidate
}

func (d *Decision) roll(s Strategy, slots, surge []Member) {
	r := round{need: -s.Unavailable, most: s.Surge + s.Unavailable, settled: true}
	for i, m := range slots {
		if m.Version == None {
			d.Slots[i] = Renew
		}
		if i < s.Partition { // it keeps what it has
			continue
		}
		r.need++
		r.settled = r.settled && m.Version == New && m.Available
		r.count(m, &d.Slots[i])
	}
	left := len(r.old)
	for i, m := range surge {
		r.count(m, &d.Surge[i])
	}
	if left == 0 {
		if r.settled {
			for i := range surge {
				d.Surge[i] = End
			}
		}
		d.Done = r.settled && len(surge) == 0
		return
	}
	kept := r.endExcess(s.Surge, surge, d.Surge)
	for kept+d.More < min(s.Surge, left) && r.fresh < r.most {
		d.More++
		r.fresh++
	}
	r.renew(s.Highest)
}

// count counts a pod, which step is for.
func (r *round) count(m Member, step *Step) {
	if m.Available {
		r.available++
	}
	switch m.Version {
	case None:
		r.fresh++ // it begins
	case Old:
		r.old = append(r.old, candidate{step, m.Available})
	case New:
		if !m.Available {
			r.fresh++
		}
	}
}

// endExcess ends surge pods beyond most, as far as they are not needed, and returns how many are left.
func (r *round) endExcess(most int, surge []Member, steps []Step) (left int) {
	left = len(surge)
	for i := len(surge) - 1; i >= 0 && left > most; i-- {
		if surge[i].Available {
			if r.available <= r.need {
				continue
			}
			r.available--
		} else if surge[i].Version == New {
			r.fresh--
		}
		steps[i] = End
		left--
	}
	return left
}

// renew gives pods of the old version the new one: those first that are not available anyway.
func (r *round) renew(highest bool) {
	if highest {
		slices.Reverse(r.old)
	}
	slices.SortStableFunc(r.old, func(a, b candidate) int {
		switch {
		case a.available == b.available:
			return 0
		case b.available:
			return -1
		}
		return 1
	})
	for _, c := range r.old {
		if *c.step != Stay {
			continue // a surge pod too many
		}
		if r.fresh >= r.most || c.available && r.available <= r.need {
			return
		}
		if c.available {
			r.available--
		}
		*c.step = Renew
		r.fresh++
	}
}
