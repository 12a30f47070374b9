// Package watch makes records of kills for memory: it joins what the kernel's log says of each with the kill counters of containers, so
// that one kill is one record, whichever of them tells it, and in whatever order.
package watch

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/solopod/solopod/oom/kernel"
	"github.com/solopod/solopod/oom/kmsg"
	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/oom/store"
	"github.com/solopod/solopod/oom/total"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/clock"
)

// Config is what a Watcher works with.
type Config struct {
	// Boot is this boot's id.
	Boot string
	// Root is the cgroup of all pods.
	Root     string
	Subjects Subjects
	// Store keeps the records; Mark is the last mark that was found there.
	Store *store.Store
	Mark  json.RawMessage
	// Keeper, where there is one, gets records in the store's stead, and gives them to it.
	Keeper Keeper
	// Machine counts the machine's kills since the boot; ok is false where nothing does. Without it the kernel is asked.
	Machine func() (kills uint64, ok bool)
}

// Watcher is safe for concurrent use.
type Watcher struct {
	boot  string
	store *store.Store
	// parser, cgroups, those of processes that were killed just now, and last, the last entry's position, are loop's.
	parser  *kernel.Parser
	cgroups map[int]string
	last    kmsg.Position
	wake    chan struct{}
	// numbers: the log's numbers of processes are those that they have here.
	numbers bool
	// counter counts kills of pods; nil until Heard was called, before Run. machine counts the machine's, and cgroupID tells cgroups apart.
	counter  Counter
	machine  func() (kills uint64, ok bool)
	cgroupID func(cgroupPath string) uint64
	limits   follows
	// begun is when it was made.
	begun time.Time

	mu   sync.Mutex
	join join
	// said is closed, and another takes its place, when the log has told something.
	said chan struct{}
	// position is that of the first line that no report was made of.
	position kmsg.Position
	offset   time.Duration // of the clock
	first    bool          // Solopod is on the machine for the first time, and has not counted all of the log
}

// mark is how far the log and the counters were followed.
type mark struct {
	Boot     string        `json:"boot"`
	Position kmsg.Position `json:"position"`
	// Until is where lines begin that were not read, and Waiting are the reports of lines before it that wait.
	Until   uint64            `json:"until,omitempty"`
	Waiting []waits           `json:"waiting,omitempty"`
	Offset  time.Duration     `json:"offset"`
	Tallies map[string]*tally `json:"tallies,omitempty"`
	Machine *tally            `json:"machine,omitempty"`
	Totals  total.Kept        `json:"totals,omitzero"` // over all boots
}

// New goes on where the mark says. Nothing is followed before Run, but what is counted is taken.
func New(c Config) *Watcher {
	w := &Watcher{
		boot: c.Boot, store: c.Store, parser: kernel.New(os.Getpagesize()), cgroups: map[int]string{}, wake: make(chan struct{}, 1), said: make(chan struct{}), offset: clock.Offset(), numbers: SeesAll(),
		join: join{boot: c.Boot[:min(len(c.Boot), 8)], root: c.Root, nested: cgroup.Unified(), subjects: c.Subjects, keeper: c.Store, tallies: map[string]*tally{}, behind: true},
	}
	if c.Keeper != nil {
		w.join.keeper = c.Keeper
	}
	w.machine, w.cgroupID, w.begun = c.Machine, cgroupInode, time.Now()
	if w.machine == nil {
		w.machine = machineKills
	}
	var m mark
	known := c.Mark != nil && json.Unmarshal(c.Mark, &m) == nil
	w.first = !known
	if known {
		w.join.totals = total.Of(m.Totals)
	}
	w.join.machine = w.machineOf(m, known)
	if !known || m.Boot != c.Boot {
		return w // numbers and counters have begun anew with the boot
	}
	w.position, w.last = m.Position, m.Position
	resume(&w.join, m.Tallies, m.Until, m.Waiting, w.begun)
	if moved := clock.Moved(m.Offset); moved != 0 { // while nobody looked
		w.store.Move(moved, w.ofBoot)
	}
	return w
}

// machineOf is what is known of the machine's kills. Those from before Solopod was here first are none that it missed; of a boot that it was
// here before it has to find all.
func (w *Watcher) machineOf(m mark, known bool) *tally {
	count, ok := w.machine()
	switch {
	case !ok:
		return nil
	case known && m.Boot != w.boot:
		return &tally{}
	case known && m.Machine != nil && m.Machine.Counted <= count:
		return m.Machine
	}
	return &tally{Counted: count, Told: count, Since: w.begun}
}

// ofBoot: the record is of this boot, and its time is by this boot's clock.
func (w *Watcher) ofBoot(r record.Record) bool { return strings.HasPrefix(r.ID, w.join.boot+"-") }

// Begin begins to write down what is counted. Run does so too, and ends it; it may be needed before.
func (w *Watcher) Begin() { w.store.Begin(w.mark, w.join.subjects.Pods) }

// Run follows the kernel's log and makes records, until ctx ends. Where the log cannot be followed counters alone are told.
func (w *Watcher) Run(ctx context.Context) error {
	from := w.position // before there is a loop, which moves it on
	w.Begin()
	defer w.store.Close()
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() {
		if err := clock.Watch(ctx, w.moved); err != nil {
			slog.Warn("the clock is not watched; times of kills for memory may be wrong after it is set", "err", err)
		}
	})
	entries, dry := make(chan kmsg.Entry), make(chan struct{})
	others.Go(func() { follow(ctx, from, entries, sync.OnceFunc(func() { close(dry) })) })
	w.loop(ctx, entries, dry)
	return nil
}

// How long to wait before the log is tried anew after an error: the first time, and at most.
const retry, mostRetry = time.Second, time.Minute

// backOff is how long to wait when the log had been followed for some time; before is how long that was the last time, zero at first.
func backOff(before, followed time.Duration) time.Duration {
	if followed > mostRetry { // it is another error
		return retry
	}
	return min(max(2*before, retry), mostRetry)
}

// follow follows the log from where it was left, and anew after errors. Where it cannot be opened that is told, and all there is.
func follow(ctx context.Context, from kmsg.Position, entries chan<- kmsg.Entry, dry func()) {
	say := func(e kmsg.Entry) {
		select {
		case entries <- e:
			from = e.Position
		case <-ctx.Done():
		}
	}
	for wait := time.Duration(0); ; {
		begun := time.Now()
		err := kmsg.Follow(ctx, from, say, dry)
		dry() // or nothing would ever be due
		if ctx.Err() != nil {
			return
		}
		slog.Warn("the kernel's log is not followed: kills for memory are counted, and nothing is known of the processes", "err", err)
		if !errors.Is(err, kmsg.ErrBroken) {
			return
		}
		wait = backOff(wait, time.Since(begun))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// backlog is how long the log may take to be read to its end before what is counted is told without it.
const backlog = 30 * time.Second

// loop takes what is told until ctx ends. dry says that the log has been read to its end.
func (w *Watcher) loop(ctx context.Context, entries <-chan kmsg.Entry, dry <-chan struct{}) {
	quiet, settle, limit := stopped(), stopped(), time.NewTimer(backlog)
	defer quiet.Stop()
	defer settle.Stop()
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			w.report(w.parser.Flush())
			w.mu.Lock()
			w.join.end()
			w.mu.Unlock()
			return
		case e := <-entries:
			held, _ := w.parser.Held()
			w.take(e)
			now, waits := w.parser.Held()
			if !waits {
				quiet.Stop()
			} else if now != held { // others' lines make its time no longer
				quiet.Reset(kernel.Quiet)
			}
		case <-quiet.C:
			w.report(w.parser.Flush())
		case <-w.wake:
		case <-settle.C:
		case <-dry:
			dry = nil
			if _, held := w.parser.Held(); !held { // a report that is held comes before what is due
				w.overrun()
			}
			w.lookAbove()
			w.caughtUp()
		case <-limit.C:
			w.lookAbove()
			w.caughtUp()
			if dry == nil { // all of the log was read that can be
				w.overrun()
			}
		}
		w.mu.Lock()
		next := w.join.settle(time.Now())
		changed := w.join.changed
		w.join.changed = false
		w.mu.Unlock()
		if changed {
			w.store.Touch()
		}
		if settle.Stop(); !next.IsZero() {
			settle.Reset(time.Until(next))
		}
	}
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (w *Watcher) overrun() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.join.overrun(time.Now())
}

func (w *Watcher) caughtUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.join.caughtUp(time.Now())
	w.tell()
}

// fresh is how old a line of the log may be, by a clock that may be off by a second, for what is there now to belong to it.
const fresh = 2 * time.Second

// take takes an entry of the kernel's log.
func (w *Watcher) take(e kmsg.Entry) {
	if pid, ok := kernel.Killed(e.Text); ok && w.numbers && time.Since(e.Time) < fresh && len(w.cgroups) < mostLoose {
		w.cgroups[pid] = cgroupOf(pid)
	}
	var reports []kernel.Report
	if e.Lost > 0 {
		reports = w.parser.Lost()
	}
	reports = append(reports, w.parser.Line(kernel.Line{Sequence: e.Sequence, Time: e.Time, Text: e.Text, Caller: e.Caller, Continued: e.Continued})...)
	w.last = e.Position
	w.report(reports)
}

// report makes records of reports, and notes how far the log was followed: both at once, as a mark has both.
func (w *Watcher) report(reports []kernel.Report) {
	now, seen := time.Now(), make([]beside, len(reports))
	for i, r := range reports {
		if now.Sub(r.Time) < fresh {
			seen[i] = look(r.Cgroup)
			seen[i].cgroup = w.cgroups[r.PID]
		}
	}
	if len(reports) > 0 { // after their lines were read: their kills are counted in it
		w.lookAbove(podsOf(w.join.root, reports, seen)...)
	}
	position := w.last
	if first, ok := w.parser.Begun(); ok { // it is read again after a restart
		position.Next = first
	} else {
		clear(w.cgroups)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, r := range reports {
		w.join.reported(r, seen[i], now)
	}
	w.position = position
	if position.Next >= w.join.until {
		w.join.overrun(now) // what did not come is no more in the log
	}
	if len(reports) > 0 {
		w.tell()
	}
}

// counted takes a kill count of a container's cgroup.
func (w *Watcher) counted(cgroupPath string, kills uint64) {
	if kills == 0 {
		return
	}
	s, ok := w.containerOf(cgroupPath)
	if !ok {
		return
	}
	w.lookAbove(path.Dir(cgroupPath))
	w.mu.Lock()
	more := w.join.counted(s, kills, time.Now())
	placed(&w.join, s.ID, cgroupPath)
	w.mu.Unlock()
	w.rouse(more)
}

// rouse has settled what there is more of.
func (w *Watcher) rouse(more bool) {
	if !more {
		return
	}
	w.store.Touch()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// containerOf is the container whose cgroup that is, found without the lock where others have to be asked.
func (w *Watcher) containerOf(cgroupPath string) (Subject, bool) {
	w.mu.Lock()
	s, ok := w.join.tallied(cgroupPath)
	w.mu.Unlock()
	if ok {
		return s, true
	}
	for i, p := range placesOf(w.join.root, cgroupPath) {
		if p.level != record.Container || p.inner {
			continue
		}
		if s, ok := w.join.subjects.Container(p.id); ok && s.Pod.UID == p.uid {
			return s, true
		}
		if name, ok := w.join.subjects.Pod(p.uid); ok || i == 0 && kernel.Below(cgroupPath, w.join.root) {
			name.UID = p.uid
			return Subject{Pod: name, ID: p.id}, true
		}
	}
	return Subject{}, false
}

// watched has a container remembered that is going to be watched.
func (w *Watcher) watched(cgroupPath string) {
	s, ok := w.containerOf(cgroupPath)
	if !ok || s.Container == "" {
		return
	}
	w.mu.Lock()
	w.join.watched(s)
	w.mu.Unlock()
}

// moved has the times of this boot's records follow a clock that was set.
func (w *Watcher) moved(by time.Duration) {
	w.mu.Lock()
	w.offset += by
	w.mu.Unlock()
	w.store.Move(by, w.ofBoot)
}

// mark is what the store is to find again.
func (w *Watcher) mark() any {
	there := w.join.subjects.Pods()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.join.forget(time.Now())
	w.join.totals.Keep(there, time.Since(w.begun) > idle)
	m := mark{Boot: w.boot, Position: w.position, Until: max(w.position.Next, w.join.until), Offset: w.offset, Tallies: map[string]*tally{}, Totals: w.join.totals.Kept()}
	m.Waiting, m.Position.Next = w.join.waiting(w.position.Next)
	for id, t := range w.join.tallies {
		copied := *t
		m.Tallies[id] = &copied
	}
	if w.join.machine != nil {
		copied := *w.join.machine
		m.Machine = &copied
	}
	return m
}

// Counter counts kills of a container, by its cgroup's path. Package oom has one.
type Counter interface {
	Watch(cgroupPath string, report func(kills uint64)) (stop func(), err error)
	Kills(cgroupPath string) (uint64, error)
	// WatchLimit calls hit when the cgroup's limit was hit, or with cgroup v1 one above it.
	WatchLimit(cgroupPath string, hit func()) (stop func(), err error)
}

// Heard is a counter that the watcher hears: what it tells others of kills is known here too.
func (w *Watcher) Heard(c Counter) Counter {
	w.counter = c
	return heard{c, w}
}

type heard struct {
	Counter
	w *Watcher
}

// Watch implements Counter. The pod of the container is watched as well, by the same Counter, where pods have counters.
func (h heard) Watch(cgroupPath string, report func(kills uint64)) (stop func(), err error) {
	below, pod := h.w.followLimits(cgroupPath), h.w.watchPod(path.Dir(cgroupPath)) // first: what is told before the kill is of it
	leave := func() {
		below()
		pod()
	}
	end, err := h.Counter.Watch(cgroupPath, func(kills uint64) {
		report(kills)
		h.w.counted(cgroupPath, kills)
	})
	h.w.watched(cgroupPath) // afterwards: the container may not live for long
	if err != nil {
		leave()
		return nil, err
	}
	return func() {
		end()
		leave()
	}, nil
}

// Kills implements Counter.
func (h heard) Kills(cgroupPath string) (uint64, error) {
	kills, err := h.Counter.Kills(cgroupPath)
	if err == nil && kills > 0 {
		h.w.counted(cgroupPath, kills)
		h.w.store.Flush() // who asks may be going to remove the cgroup: what it has counted would be known to nobody after a crash
	} else {
		h.w.lookAbove(path.Dir(cgroupPath)) // the container's may be gone already
	}
	return kills, err
}
