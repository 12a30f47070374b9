package watch

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/solopod/solopod/oom/kernel"
	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/oom/total"
)

// Subject is a container that kills are of.
type Subject struct {
	Pod           record.PodName `json:"pod"`
	Container, ID string
	Attempt       int
	// PID is its main process, as the machine counts; zero when that is not known.
	PID int `json:"-"`
	// Limit is its memory limit, in bytes; zero where it has none.
	Limit int64 `json:"limit,omitempty"`
	// Only: its pod has no other container that runs when it does.
	Only bool `json:"only,omitempty"`
	// Request is its memory request, and PodRequest its pod's, in bytes; zero where there is none.
	Request    int64 `json:"request,omitempty"`
	PodRequest int64 `json:"podRequest,omitempty"`
	// Started is when it was started; zero when that is not known.
	Started time.Time `json:"started,omitzero"`
}

// Subjects knows the pods that there are and their containers, of each the present attempt or the last one.
type Subjects interface {
	Container(id string) (Subject, bool)
	// Former is a container of a pod that there is that Container does not know, as the present attempt is another one. Where it is not
	// known which one it was, it has no name.
	Former(uid, id string) (Subject, bool)
	Pod(uid string) (record.PodName, bool)
	// Pods are the UIDs of all; nil when nobody knows yet.
	Pods() map[string]bool
}

// Keeper keeps records. Package store has one. It is called with the join's lock held, and waits for nobody.
type Keeper interface {
	Add(record.Record) // unless it is there
	Remove(id string)
}

const (
	// patience is how long the kernel's log and a counter are waited for, each for the other.
	patience = 2 * time.Second
	// mostLoose bounds the reports that wait for a counter, mostSteps what is remembered of a counter's growth, mostBare how many records
	// a counter alone makes at a time, as it may have been counted while Solopod was away, and of how many it is remembered.
	mostLoose, mostSteps, mostBare = 1000, 64, 50
	// idle is how long what was counted of a container that is gone is remembered: its kills may be told late.
	idle = 10 * time.Minute
	// late is how long a report that was told as no pod's may yet be found to be one of a container's: by a counter that is late.
	late = 15 * time.Second
	// slack is by how much the time of a line may differ from that of what it tells.
	slack = 2 * time.Second
	// mostSeen bounds the containers that are remembered from when they were watched first.
	mostSeen = 2000
	// mostNames bounds the names of killed processes that are remembered of a container.
	mostNames = 8
)

// join makes one record of each kill, whether the kernel's log tells of it, a container's kill counter, or both. It does nothing else:
// the time is handed in, and what is read at once of cgroups too.
type join struct {
	boot string // begins the records' IDs
	root string // of pods' cgroups
	// nested: a container's counter counts its inner cgroups' kills too (cgroup v2).
	nested   bool
	subjects Subjects
	keeper   Keeper

	tallies map[string]*tally // by the container's ID, and of pods as a whole by podKey
	// machine is that of the machine; nil where nothing counts for it.
	machine *tally
	// totals counts each kill once; changed: it has, since that was asked.
	totals  total.Totals
	changed bool
	// loose are reports that do not tell whose the process was; the kernel leaves that out in a storm.
	loose []loose
	// behind: the log has not been read to its end yet. Nothing is due until then: what was counted while nobody looked is told there.
	behind bool
	// until is the first line that has not been read yet, ever: reports of lines before it were taken, but those of pending, by their IDs,
	// were loose, and are read again, where the log still has them.
	until   uint64
	pending map[string]waits
	// seen are containers as they were when they were watched first, for when they are gone, and order those, the oldest first.
	seen  map[string]Subject
	order []string
	// hits are limits that were hit just now.
	hits []hit
}

// tally compares what was counted of a container's kills with what was told; or of a pod's (Whole), or the machine's: what is known of a
// container's kills was told for those too.
type tally struct {
	Subject Subject `json:"subject"`
	Whole   bool    `json:"whole,omitempty"`
	// Cgroup tells the pod's cgroup from another of its name, which begins to count anew.
	Cgroup uint64 `json:"cgroup,omitempty"`
	// Since: what the log tells of earlier times had been counted when nobody compared yet.
	Since   time.Time `json:"since,omitzero"`
	Counted uint64    `json:"counted"`
	Told    uint64    `json:"told"`
	Bare    []bare    `json:"bare,omitempty"` // the last records that were made of the counter alone
	// Rest are those that the counter alone told before them, by their number: without a log there is no end of them.
	Rest uint64 `json:"rest,omitempty"`
	// Again is how many kills were counted, and said, twice: of a group that is killed the kernel may take one process twice.
	Again   uint64    `json:"again,omitempty"`
	Changed time.Time `json:"changed"`
	// Names are those of killed processes.
	Names []string `json:"names,omitempty"`

	steps []step
	// path is its cgroup's; empty where that is not known.
	path string
}

type bare struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// step is when a counter had grown to a count.
type step struct {
	count uint64
	at    time.Time
	// away: the kills may have been long before.
	away bool
}

type loose struct {
	record  record.Record
	first   uint64 // of its lines
	arrived time.Time
	// told: there is a record of it that is no pod's; kept: there may be.
	told, kept bool
}

// waits is what is known of a loose report when Solopod ends: the log may not have it any more when the next one begins.
type waits struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Process string    `json:"process,omitempty"`
	PID     int       `json:"pid,omitempty"`
}

func waitsOf(r record.Record) waits { return waits{r.ID, r.Time, r.Process, r.PID} }

// record is what there is to say without the log.
func (w waits) record() record.Record {
	return record.Record{ID: w.ID, Time: w.Time, Process: w.Process, PID: w.PID, Owner: record.Unknown, Source: record.Log}
}

// known is how many kills are, however they were told.
func (t *tally) known() uint64 { return t.Told + t.bares() + t.Again }

// bares is how many kills the counter alone has told.
func (t *tally) bares() uint64 { return t.Rest + uint64(len(t.Bare)) }

// missing is how many kills of a count have no record.
func (t *tally) missing(count uint64) int {
	known := t.known()
	return int(min(count-min(count, known), math.MaxInt32)) //nolint:gosec // it fits
}

// due is what was counted so long ago that others have told it by now, if they do, and when that count was reached.
func (t *tally) due(now time.Time) (due step) {
	for _, s := range t.steps {
		if now.Sub(s.at) >= t.patience() {
			due = s
		}
	}
	return due
}

// countAt is what had been counted by a time, of what is not settled; zero when all is.
func (t *tally) countAt(at time.Time) (count uint64) {
	for _, s := range t.steps {
		if !s.at.After(at) {
			count = s.count
		}
	}
	return count
}

// grown takes a count. more: there are some that were not known.
func (t *tally) grown(count uint64, now time.Time, away bool) (more bool) {
	if count <= t.Counted && (len(t.steps) > 0 || t.missing(t.Counted) == 0) {
		return false
	}
	if len(t.steps) >= mostSteps {
		t.steps = slices.Delete(t.steps, len(t.steps)-1, len(t.steps)) // the last two are one, as of now
	}
	t.Counted = max(t.Counted, count)
	t.steps = append(t.steps, step{t.Counted, now, away})
	return true
}

// tells notes a kill that others tell of, of a time; zero is not known. was: it had been told from the counter alone. The record of that, where
// it is remembered, is let go of.
func (t *tally) tells(k Keeper, at time.Time) (was bool) {
	t.Told++
	switch {
	case t.bares() == 0 || t.known() <= t.Counted || len(t.Bare) > 0 && at.After(t.Bare[0].At):
		return false
	case len(t.Bare) > 0:
		k.Remove(t.Bare[0].ID)
		t.Bare = t.Bare[1:]
	default:
		t.Rest--
	}
	return true
}

// name remembers the name of a process that was killed.
func (t *tally) name(process string) {
	if process != "" && !slices.Contains(t.Names, process) && len(t.Names) < mostNames {
		t.Names = append(t.Names, process)
	}
}

// tallyOf is that of a container.
func (j *join) tallyOf(s Subject, now time.Time) *tally {
	t := j.tallies[s.ID]
	if t == nil {
		t = &tally{}
		j.tallies[s.ID] = t
	}
	if t.Subject.Container == "" {
		t.Subject = s
	}
	t.Changed = now
	return t
}

// counted takes a container's kill count. more: there are some that were not known.
func (j *join) counted(s Subject, count uint64, now time.Time) (more bool) {
	if count == 0 {
		return false
	}
	return j.tallyOf(s, now).grown(count, now, j.behind)
}

// caughtUp: the log has been read to its end. What was waiting for that waits from now on as ever.
func (j *join) caughtUp(now time.Time) {
	if !j.behind {
		return
	}
	j.behind = false
	for _, t := range all(j.tallies, j.machine) {
		for i := range t.steps {
			t.steps[i].at = now
		}
	}
	for i := range j.loose {
		j.loose[i].arrived = now
	}
}

// watched remembers a container for when it is gone.
func (j *join) watched(s Subject) {
	if _, ok := j.seen[s.ID]; !ok {
		j.order = append(j.order, s.ID)
	}
	if j.seen == nil {
		j.seen = map[string]Subject{}
	}
	j.seen[s.ID] = s
	if len(j.order) > mostSeen {
		delete(j.seen, j.order[0])
		j.order = slices.Delete(j.order, 0, 1)
	}
}

// subject finds whose a cgroup is. The owner is who has the cgroup's limit; ok is false when it is none of a pod's.
func (j *join) subject(cgroup string) (s Subject, at place, ok bool) {
	for i, p := range placesOf(j.root, cgroup) {
		if p.uid == "" {
			if i == 0 && kernel.Below(cgroup, j.root) {
				at = p
			}
			continue
		}
		if known, found := j.known(p); found {
			return known, p, true
		}
		if i == 0 && kernel.Below(cgroup, j.root) {
			s, at, ok = Subject{Pod: record.PodName{UID: p.uid}, ID: p.id}, p, true
		}
	}
	if at.level == "" {
		at.level = record.Ancestor
	}
	return s, at, ok
}

func (j *join) known(p place) (Subject, bool) {
	if p.id != "" {
		if s, ok := j.subjects.Container(p.id); ok && s.Pod.UID == p.uid {
			return s, true
		}
		if t := j.tallies[p.id]; t != nil && t.Subject.Container != "" {
			return t.Subject, true
		}
		if s, ok := j.seen[p.id]; ok && s.Pod.UID == p.uid {
			return s, true
		}
	}
	if p.id != "" {
		if s, ok := j.subjects.Former(p.uid, p.id); ok {
			return s, true
		}
	}
	name, ok := j.subjects.Pod(p.uid)
	for _, s := range j.seen {
		if !ok && s.Pod.UID == p.uid {
			name, ok = s.Pod, true
		}
	}
	return Subject{Pod: name, ID: p.id}, ok
}

// tallied is a container of which kills were counted before; at is whether the cgroup is a container's.
func (j *join) tallied(cgroup string) (s Subject, ok bool) {
	for _, p := range placesOf(j.root, cgroup) {
		if t := j.tallies[p.id]; t != nil && p.id != "" && !p.inner && t.Subject.Container != "" && t.Subject.Pod.UID == p.uid {
			return t.Subject, true
		}
	}
	return s, false
}

// reported takes what the log tells of a kill, with what was read beside it.
func (j *join) reported(r kernel.Report, beside beside, now time.Time) {
	if beside.cgroup != "" && r.GroupCgroup != "" && !strings.Contains(beside.cgroup+"/", "/"+path.Base(r.GroupCgroup)+"/") { // it may be seen from another root
		r = r.Alone()
	}
	out := recordOf(r, beside)
	out.ID = fmt.Sprintf("%s-%d-%d", j.boot, r.First, r.PID)
	_, pending := j.pending[out.ID]
	if r.Last < j.until && !pending {
		return // it was taken before
	}
	delete(j.pending, out.ID)
	out.Owner = j.owner(r)
	cgroup := cmp.Or(r.TaskCgroup, beside.cgroup, r.GroupCgroup)
	s, at, ok := j.subject(cgroup)
	switch {
	case r.Again:
		if ok && at.level == record.Container {
			j.tallyOf(s, now).Again++
		}
		j.again(s.Pod.UID, now)
	case cgroup == "":
		j.learned("", pending, r.Time, now)
		j.wait(loose{record: out, first: r.First, arrived: now, kept: pending})
	case !ok:
		j.add(out, j.learned("", pending, r.Time, now))
	default:
		was := at.level == record.Container && (!at.inner || j.nested) && j.tallyOf(s, now).told(j.keeper, r)
		j.add(of(s, out), was || j.learned(s.Pod.UID, pending, r.Time, now))
	}
}

// add keeps a record, and counts its kill, unless that was.
func (j *join) add(r record.Record, was bool) {
	j.keeper.Add(r)
	if !was {
		j.total(r, 1)
	}
}

func (j *join) total(r record.Record, n uint64) {
	j.totals.Add(r, n)
	j.changed = true
}

// of is a record of a container's, or of its pod's where the container is not known.
func of(s Subject, r record.Record) record.Record {
	r.Pod, r.Container, r.ContainerID, r.Attempt = s.Pod, s.Container, s.ID, s.Attempt
	if r.Owner == record.Pod && s.Only && r.Limit != nil && s.Limit > 0 && *r.Limit >= s.Limit-nearly && *r.Limit <= s.Limit+nearly {
		r.Owner = record.Container // the pod has as much as its only container, and both have come to their limits
	}
	if s.Container != "" {
		r.Request, r.PodRequest = &s.Request, &s.PodRequest
	}
	if s.PID != 0 && r.PID != 0 {
		main := s.PID == r.PID
		r.Main = &main
	}
	return r
}

// nearly is by how much limits may differ that are one: the kernel rounds them to pages.
const nearly = 64 << 10

// told counts a report of a container's. was: the kill had been told from its counter alone.
func (t *tally) told(k Keeper, r kernel.Report) (was bool) {
	t.name(r.Process)
	return t.tells(k, r.Time)
}

// wait has a report wait for a counter that tells of the same kill.
func (j *join) wait(l loose) {
	if len(j.loose) >= mostLoose {
		j.add(j.loose[0].record, false)
		j.loose = j.loose[1:]
	}
	j.loose = append(j.loose, l)
}

// end tells what waits: nobody may look again before the machine is off. Who does look finds it to be whose it is.
func (j *join) end() {
	for _, l := range j.loose {
		j.keeper.Add(l.record)
	}
}

// waiting are the reports that wait, and the first of their lines: who reads the log later has to begin there.
func (j *join) waiting(from uint64) (all []waits, first uint64) {
	all, first = slices.Collect(maps.Values(j.pending)), from
	for _, l := range j.loose { // also those of which there is a record: whose they are is not settled yet
		all, first = append(all, waitsOf(l.record)), min(first, l.first)
	}
	return all, first
}

// resume goes on with what an earlier Solopod has left: what was counted and not told is due as ever, also where nobody will count again, as
// the cgroup is gone.
func resume(j *join, tallies map[string]*tally, until uint64, pending []waits, now time.Time) {
	j.until, j.pending = until, map[string]waits{}
	for _, w := range pending {
		j.pending[w.ID] = w
	}
	for id, t := range tallies {
		if t == nil {
			continue
		}
		j.tallies[id] = t
		if t.missing(t.Counted) > 0 {
			t.steps = []step{{t.Counted, now, true}}
		}
	}
}

// settle makes records of kills that one side alone has told, and returns when it is to be called again; zero is never.
func (j *join) settle(now time.Time) (next time.Time) {
	if j.behind {
		return next
	}
	for _, whole := range []bool{false, true} { // pods after their containers
		lack := slices.DeleteFunc(lacking(j.tallies), func(t *tally) bool { return t.Whole != whole })
		for _, t := range lack {
			if due := t.due(now); t.missing(due.count) > 0 {
				j.complete(t, t.missing(due.count), due, lack, now)
			}
		}
	}
	j.settleLoose(now)
	if m := j.machine; m != nil {
		if due := m.due(now); m.missing(due.count) > 0 {
			j.bare(m, m.missing(due.count), 0, due, now)
		}
	}
	return j.next(now)
}

// settleLoose tells reports whose nobody knows, and lets go of those that nobody will know of any more.
func (j *join) settleLoose(now time.Time) {
	j.loose = slices.DeleteFunc(j.loose, func(l loose) bool {
		return !l.told && now.Sub(l.arrived) >= 2*patience && mistaken(j.keeper, j.machine, j.tallies, &l)
	})
	for i := range j.loose {
		if l := &j.loose[i]; !l.told && now.Sub(l.arrived) >= 2*patience { // a counter is read some time after its kill
			j.keeper.Add(l.record)
			l.told, l.kept = true, true
		}
	}
	lack := lacking(j.tallies)
	j.loose = slices.DeleteFunc(j.loose, func(l loose) bool {
		over := now.Sub(l.arrived) >= late && !slices.ContainsFunc(lack, func(t *tally) bool { return t.mayBe(l, t.steps[len(t.steps)-1].at) })
		if over && !twice(j.keeper, j.machine, j.tallies, &l) {
			j.total(l.record, 1)
		}
		return over
	})
}

// lacking are the containers and pods that lack kills: in a storm that is known later of some of them than of others.
func lacking(tallies map[string]*tally) (out []*tally) {
	for _, t := range tallies {
		if t.missing(t.Counted) > 0 && len(t.steps) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// next forgets what is settled, and says when something is due.
func (j *join) next(now time.Time) (next time.Time) {
	soonest := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, t := range all(j.tallies, j.machine) {
		t.steps = slices.DeleteFunc(t.steps, func(s step) bool { return now.Sub(s.at) >= t.patience() || t.missing(s.count) == 0 })
		if len(t.steps) > 0 {
			soonest(t.steps[0].at.Add(t.patience()))
		}
	}
	for i := range j.loose {
		if over := j.loose[i].arrived.Add(late); i == 0 && over.After(now) {
			soonest(over)
		} else if i == 0 { // it waits for those that lack some
			soonest(now.Add(patience))
		}
		if !j.loose[i].told {
			soonest(j.loose[i].arrived.Add(2 * patience))
			break
		}
	}
	return next
}

// complete makes records of n kills that were counted of a container, or a pod, until a time, of loose reports where it is certain that they
// are of this one: no other lacks any and this one lacks as many, or their processes have names that of those that lack some only this
// one's had. What is counted and not told in words is told all the same, without them.
func (j *join) complete(t *tally, n int, due step, lacking []*tally, now time.Time) {
	if s, ok := j.subjects.Container(t.Subject.ID); ok && !t.Whole { // it may not have been known before
		t.Subject = s
	}
	until := due.at.Add(patience / 2)
	for _, told := range []bool{false, true} {
		alone := len(lacking) == 1 && t.fit(j.loose, n, told)
		taken := j.take(n, until, func(l loose) bool {
			return l.told == told && t.mayBe(l, due.at) && (alone || isOf(t, l.record.Process, lacking))
		})
		for _, l := range taken {
			t.Told++
			t.name(l.record.Process)
			if l.kept {
				j.keeper.Remove(l.record.ID) // of no pod's
			}
			j.add(of(t.Subject, l.record), !t.Whole && j.knownToPod(t.Subject.Pod.UID, l.record.Time, now))
		}
		n -= len(taken)
	}
	j.bare(t, n, len(j.same(t, n, until, due)), due, now)
}

// same takes loose reports of the same kills as n that were counted: where the machine counts, as many as it did not have by then beside those
// that are known; where it does not, of those that are not told. What is taken too many the machine's tally tells later, what is taken too few
// would be told twice.
func (j *join) same(t *tally, n int, until time.Time, due step) (taken []loose) {
	m := j.machine
	if m != nil && m.Counted > 0 {
		n -= min(n, m.missing(m.countAt(until)))
	}
	taken = j.take(n, until, func(l loose) bool { return !l.told && t.mayBe(l, due.at) })
	if m != nil && m.Counted > 0 {
		taken = append(taken, j.take(n-len(taken), until, func(l loose) bool { return t.mayBe(l, due.at) })...)
	}
	for _, l := range taken {
		if l.kept {
			j.keeper.Remove(l.record.ID)
		}
	}
	return taken
}

// bare tells n kills without words; the machine's tally knows same of them.
func (j *join) bare(t *tally, n, same int, due step, now time.Time) {
	r := of(t.Subject, atLimit(j, t, due, record.Record{Time: now, Owner: record.Unknown, Source: record.Counter, Before: due.away}))
	fresh := uint64(0)
	for i := range n {
		if t == j.machine || !j.counts(t, i < same, now) {
			fresh++
		}
	}
	for range min(n, mostBare) {
		r.ID = fmt.Sprintf("%s-%s-%d", j.boot, t.name12(), t.Told+t.bares()+1)
		t.Bare = append(t.Bare, bare{r.ID, now})
		j.keeper.Add(r)
	}
	t.Rest += uint64(max(n-mostBare, 0)) //nolint:gosec // not negative: more of them would say nothing more
	if old := len(t.Bare) - mostBare; old > 0 {
		t.Rest += uint64(old)
		t.Bare = slices.Clone(t.Bare[old:]) // a mark that is being written has the former ones
	}
	if fresh > 0 {
		j.total(r, fresh)
	}
}

// mayBe: the report is of a time at which the container was there, and before its kills had been counted.
func (t *tally) mayBe(l loose, counted time.Time) bool {
	return !l.record.Time.Before(t.Subject.Started.Add(-slack)) && !l.record.Time.After(counted.Add(slack))
}

// fit: there are no more loose reports than kills that a container lacks; or a few more, but all of processes of one name: the log is ahead
// of the counter by a moment. told are those that were told as no pod's, of which there must be as many.
func (t *tally) fit(all []loose, lacks int, told bool) bool {
	n, names, last := 0, map[string]bool{}, t.steps[len(t.steps)-1].at
	for _, l := range all {
		if l.told == told && !l.arrived.After(last) && t.mayBe(l, last) {
			n++
			names[l.record.Process] = true
		}
	}
	if told {
		return n <= lacks
	}
	lacks = t.missing(t.Counted)
	return n <= lacks || n <= lacks+inFlight && len(names) == 1
}

// inFlight is how many kills of a storm the log may be ahead of the counter.
const inFlight = 3

// take takes at most n reports out of those that wait and had arrived until a time.
func (j *join) take(n int, until time.Time, wanted func(loose) bool) (taken []loose) {
	j.loose = slices.DeleteFunc(j.loose, func(l loose) bool {
		if len(taken) == n || l.arrived.After(until) || !wanted(l) {
			return false
		}
		taken = append(taken, l)
		return true
	})
	return taken
}

// isOf: of the containers that lack kills only this one had a process of that name killed before.
func isOf(t *tally, name string, lacking []*tally) bool {
	for _, other := range lacking {
		if (other == t) != slices.Contains(other.Names, name) {
			return false
		}
	}
	return name != ""
}

// forget lets go of what was counted of containers and pods that are gone for a while.
func (j *join) forget(now time.Time) {
	for id, t := range j.tallies {
		if now.Sub(t.Changed) < idle {
			continue
		}
		there := false
		if t.Whole {
			_, there = j.subjects.Pod(t.Subject.Pod.UID)
		} else {
			_, there = j.subjects.Container(id)
		}
		if !there {
			delete(j.tallies, id)
		}
	}
}

// owner is whose limit was hit.
func (j *join) owner(r kernel.Report) record.Owner {
	switch {
	case r.Constraint == kernel.None || r.Constraint == kernel.Cpuset || r.Constraint == kernel.Policy:
		return record.Machine
	case r.Cgroup == "":
		return record.Unknown
	}
	_, at, _ := j.subject(r.Cgroup)
	return at.level
}

// recordOf is what a report says by itself.
func recordOf(r kernel.Report, b beside) record.Record {
	return record.Record{
		Time: r.Time, Process: r.Process, PID: r.PID, UID: r.UID, Cgroup: r.Cgroup, Limit: r.Limit, Usage: r.Usage, Peak: b.peak,
		Split: r.Split, Largest: r.Largest, Group: r.Group, Invoker: r.Invoker, Victim: r.Victim, Pressure: b.pressure, Source: record.Log,
		Part: r.Constraint == kernel.Cpuset || r.Constraint == kernel.Policy,
	}
}
