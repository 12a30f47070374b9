package watch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/solopod/solopod/oom/record"
)

// What lies above containers counts as well: with cgroup v2 the cgroup of their pod, which has the kills of containers whose own counter is
// gone before anybody has read it; and the machine as a whole, of which the kills are that nobody else tells of.

const (
	// podPatience is how long a pod's count is waited with for what tells of the same kill: its containers' counters, which are read at
	// their ends at the latest, and the log.
	podPatience = 8 * time.Second
	// machinePatience is how long the machine's is: until a pod's has been told.
	machinePatience = late + podPatience
)

func (t *tally) patience() time.Duration {
	switch {
	case t.Whole:
		return podPatience
	case t.Subject.ID == "":
		return machinePatience
	}
	return patience
}

// podKey is where the tally of a pod is.
func podKey(uid string) string { return "pod/" + uid }

// name12 is what the IDs of its records have of it.
func (t *tally) name12() string {
	switch {
	case t.Whole:
		return fmt.Sprintf("pod-%s-%d", t.Subject.Pod.UID, t.Cgroup)
	case t.Subject.ID == "":
		return "machine"
	}
	return t.Subject.ID[:min(len(t.Subject.ID), 12)]
}

// all are all tallies; machine may be nil.
func all(tallies map[string]*tally, machine *tally) []*tally {
	out := slices.Collect(maps.Values(tallies))
	if machine != nil {
		out = append(out, machine)
	}
	return out
}

// pod is the tally of a pod; nil where pods have no counters.
func (j *join) pod(uid string, now time.Time) *tally {
	if !j.nested || uid == "" {
		return nil
	}
	t := j.tallies[podKey(uid)]
	if t == nil {
		t = &tally{Whole: true, Subject: Subject{Pod: record.PodName{UID: uid}}}
		j.tallies[podKey(uid)] = t
	}
	if t.Subject.Pod.Name == "" {
		if name, ok := j.subjects.Pod(uid); ok {
			t.Subject.Pod = name
		}
	}
	t.Changed = now
	return t
}

// podCounted takes a pod's kill count; cgroup tells its cgroup from others that have had, or will have, the same name. more: there are some
// that were not known.
func (j *join) podCounted(uid string, count, cgroup uint64, now time.Time) (more bool) {
	t := j.pod(uid, now)
	if t == nil {
		return false
	}
	if t.Cgroup != 0 && t.Cgroup != cgroup {
		if n := t.missing(t.Counted); n > 0 { // nothing can come of the former one any more
			j.bare(t, n, 0, step{t.Counted, now, j.behind}, now)
		}
		t.Counted, t.Told, t.Again, t.Bare, t.Rest, t.steps = 0, 0, 0, nil, 0, nil
	}
	t.Cgroup = cgroup
	return count > 0 && t.grown(count, now, j.behind)
}

// machineCounted takes the machine's kill count.
func (j *join) machineCounted(count uint64, now time.Time) (more bool) {
	if j.machine == nil {
		return false
	}
	return j.machine.grown(count, now, j.behind)
}

// learned tells those above of a kill that the log tells, of a pod's or, without one, of another; before: the machine's tally knows it. was: one
// of them had told it.
func (j *join) learned(uid string, before bool, at, now time.Time) (was bool) {
	if j.knownToPod(uid, at, now) {
		return true // and the machine's tally knew it from that one
	}
	return !before && j.machine.knownTo(j.keeper, at)
}

func (j *join) knownToPod(uid string, at, now time.Time) (was bool) {
	if t := j.pod(uid, now); t != nil {
		return t.tells(j.keeper, at)
	}
	return false
}

// knownTo tells the machine's tally, which may be nil.
func (t *tally) knownTo(k Keeper, at time.Time) (was bool) {
	if t == nil || !at.IsZero() && at.Before(t.Since) {
		return false
	}
	return t.tells(k, at)
}

// counts tells those above of a kill that only a counter tells; the machine's tally may know it, from a loose report. was: one of them had
// told it.
func (j *join) counts(t *tally, loose bool, now time.Time) (was bool) {
	if !t.Whole && j.knownToPod(t.Subject.Pod.UID, time.Time{}, now) {
		return true
	}
	return !loose && j.machine.knownTo(j.keeper, time.Time{})
}

// again tells those above of a kill that was counted twice.
func (j *join) again(uid string, now time.Time) {
	if t := j.pod(uid, now); t != nil {
		t.Again++
	}
	if j.machine != nil {
		j.machine.Again++
	}
}

// mistaken: the kill that a loose report tells of was told before, from a counter alone, as the log was late: there are more kills known than
// the machine has counted. The report then takes the place of that record, where there is only one whose it can be.
func mistaken(k Keeper, m *tally, tallies map[string]*tally, l *loose) bool {
	may := m.maybeTold(tallies, l)
	if len(may) != 1 {
		return false
	}
	t := may[0]
	k.Remove(t.Bare[0].ID)
	t.Bare, t.Told = t.Bare[1:], t.Told+1
	m.Told--
	if l.kept {
		k.Remove(l.record.ID)
	}
	k.Add(of(t.Subject, l.record))
	return true
}

// maybeTold are those who may have told a loose report's kill from a counter alone: none where no more kills are known than the machine has
// counted.
func (t *tally) maybeTold(tallies map[string]*tally, l *loose) (may []*tally) {
	if t == nil || t.Counted == 0 || t.known() <= t.Counted {
		return nil
	}
	for _, of := range tallies {
		if len(of.Bare) > 0 && !l.record.Time.After(of.Bare[0].At) && !l.record.Time.Before(of.Subject.Started.Add(-slack)) {
			may = append(may, of)
		}
	}
	return may
}

// twice: the kill that a loose report tells of was told before, as in mistaken, by one of several: whose it was nobody knows, but it is none
// beside those that were counted.
func twice(k Keeper, m *tally, tallies map[string]*tally, l *loose) bool {
	if len(m.maybeTold(tallies, l)) == 0 {
		return false
	}
	m.Told--
	if l.kept {
		k.Remove(l.record.ID)
	}
	return true
}

// overrun has reports go on to wait that had waited when Solopod ended, and that the log does not have any more. They were known before to
// those above, and a container may have counted them, or be going to.
func (j *join) overrun(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(j.pending)) {
		j.wait(loose{record: j.pending[id].record(), first: math.MaxUint64, arrived: now, kept: true})
	}
	j.pending = nil
}
