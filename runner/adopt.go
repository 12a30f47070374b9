package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/clock"
	"github.com/solopod/solopod/runner/closed"
	"github.com/solopod/solopod/runner/container"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/step"
	"github.com/solopod/solopod/runner/sandbox"
)

// takeover is the beginning of a run: what an earlier one left is looked through, mended and taken up.
type takeover struct{ *Runner }

// prepare makes the directories of ours, and makes sure that nothing is used that a power cut may have damaged.
func (t takeover) prepare(ctx context.Context) error {
	t.inTime(ctx, t.dirs.Records(), func() { t.makeDirectory(t.dirs.Records(), closed.Mode) })
	t.inTime(ctx, t.dirs.Logs, func() {
		t.makeDirectory(t.dirs.LogRoot(), 0o755) // log shippers read below, as a kubelet's
		t.makeDirectory(t.dirs.LinkRoot(), 0o755)
	})
	states := t.dirs.States()
	if err := t.inPlace(states, func() error { return namespace.PrepareDir(states) }); err != nil {
		return err
	}
	t.closeDirectories(ctx)
	t.inTime(ctx, t.dirs.Checkpoints(), t.RemoveUnfinished)
	t.tellOfRoot()
	t.repair(ctx)
	return nil
}

func (t takeover) makeDirectory(dir string, mode os.FileMode) {
	err := t.inPlace(dir, func() error { return os.MkdirAll(dir, mode) })
	if err != nil {
		t.cannotKeep(dir, err)
	}
}

// answerLimit is how long a directory or a record may take to answer. It may lie on a file system of its own, of a network even, which
// does not bar the start: pods are taken up without it.
const answerLimit = 5 * time.Second

// recordLimit is how long a pod's record may take: a disk may be spinning up, and a pod that runs ends when it begins without one.
const recordLimit = 15 * time.Second

// inTime does f to a directory of ours, and goes on without it when the directory does not answer.
func (t takeover) inTime(ctx context.Context, dir string, f func()) {
	ended := make(chan struct{})
	go func() { // left behind when it hangs
		defer close(ended)
		f()
	}()
	select {
	case <-ended:
	case <-time.After(answerLimit):
		t.cannotKeep(dir, errNoAnswer)
	case <-ctx.Done():
	}
}

var errNoAnswer = fmt.Errorf("it has not answered for %s", answerLimit)

// inPlace makes a directory of ours. What is there and is none is set aside: it would bar every start.
func (t takeover) inPlace(dir string, prepare func() error) error {
	err := prepare()
	if errors.Is(err, unix.ENOTDIR) {
		t.damaged(dir, "it is made anew", errNoDirectory)
		err = prepare()
	}
	return err
}

var errNoDirectory = errors.New("it is no directory")

// cannotKeep tells of a directory that cannot be used: what runs goes on.
func (t takeover) cannotKeep(dir string, err error) {
	slog.Error("a directory cannot be used; pods run, and what would be kept there is lost", "dir", dir, "err", err)
	t.events.Node(v1.EventTypeWarning, "CannotKeep", fmt.Sprintf("%s cannot be used: %v; pods run, and what would be kept there is lost", dir, err))
}

// adopt takes up the pods of an earlier run: those that have a record with it, and those of which only something in the kernel
// or in the state directory is left, to be cleared.
func (t takeover) adopt() []manifests.Desired {
	var known []manifests.Desired
	var states []state.State
	recorded, kept := map[string]bool{}, map[string]bool{}
	var places aside.Places
	for uid, s := range t.records(&places) {
		recorded[uid] = true
		states = append(states, s)
		if s.SharedRevision != "" && s.BootID == t.host.BootID {
			t.sandboxes.Keep(s.Applied, s.Grant, s.Network)
			kept[uid] = true
		}
		if s.DeletedAt.IsZero() { // its file is known to be gone otherwise, and not just missing for a moment
			known = append(known, manifests.Desired{Pod: s.Pod, File: s.File})
		}
	}
	withState := t.names(&places, t.dirs.States())
	for _, uid := range withState {
		if !kept[uid] { // its record is lost, or of before its set-up
			t.keepName(&places, uid)
		}
	}
	left := map[string]bool{}
	for _, uid := range append(withState, t.cgroups.Leftover()...) {
		if !recorded[uid] && !left[uid] {
			left[uid] = true
			slog.Info("there is no record of a pod of which something is left; it is removed, and begins anew where a manifest names it", "uid", uid)
			states = append(states, state.Orphan(t.host, clock.Offset(), uid))
		}
	}
	t.owner.Adopt(states)
	return known
}

// keepName lets no other pod of its name begin before what is left of this one is gone.
func (t takeover) keepName(places *aside.Places, uid string) {
	_, err := aside.Do(t.ctx, places, t.dirs.States(), answerLimit, func() (struct{}, error) { return struct{}{}, sandbox.KeepName(t.dirs, t.sandboxes.Claims, uid) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		slog.Warn("the name of a pod of which something is left is not known; another one of its name does not wait for it", "uid", uid, "err", err)
	}
}

// names are the entries of a directory; none if it cannot be read. As for records, the end of the daemon does not cut it short: what was
// not waited for would count as not there.
func (t takeover) names(places *aside.Places, dir string) []string {
	entries, err := aside.Do(t.ctx, places, dir, answerLimit, func() ([]os.DirEntry, error) { return os.ReadDir(dir) })
	switch {
	case errors.Is(err, aside.ErrHangs):
		t.cannotKeep(dir, errNoAnswer)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		slog.Error("cannot look for what an earlier run has left; its pods begin anew", "dir", dir, "err", err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// readersOfRecords is how many records are read at a time: one that does not answer holds up no other one.
const readersOfRecords = 8

// records yields the states of pods that have a record, by UID, in its order. All are read before.
func (t takeover) records(places *aside.Places) iter.Seq2[string, state.State] {
	type record struct {
		state state.State
		err   error
	}
	uids := slices.DeleteFunc(t.names(places, t.dirs.Records()), func(uid string) bool { return strings.HasSuffix(uid, durable.AsideSuffix) })
	list := make([]record, len(uids))
	var group errgroup.Group
	group.SetLimit(readersOfRecords)
	for i, uid := range uids {
		group.Go(func() error {
			list[i].state, list[i].err = aside.Do(t.ctx, places, t.dirs.RecordDir(uid), recordLimit, func() (state.State, error) { return t.readRecord(uid) })
			return nil
		})
	}
	group.Wait() //nolint:errcheck // each has its own
	return func(yield func(string, state.State) bool) {
		for i, uid := range uids {
			if t.useful(uid, list[i].err) && !yield(uid, list[i].state) {
				return
			}
		}
	}
}

// useful says whether a record was read. A damaged one is set aside, and its pod starts from its manifest; so does the pod of one that
// does not answer.
func (t takeover) useful(uid string, err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, aside.ErrHangs):
		t.cannotKeep(t.dirs.RecordDir(uid), fmt.Errorf("it has not answered for %s, and its pod starts from its manifest", recordLimit))
	case errors.Is(err, errNoDirectory): // no record could ever be written there
		t.damaged(t.dirs.RecordDir(uid), "the pod starts from its manifest", err)
	case !errors.Is(err, fs.ErrNotExist):
		t.damaged(t.dirs.RecordPath(uid), "the pod starts from its manifest", err)
	}
	return false
}

// mostOfRecord bounds what is read of a record: the pod twice, each from a manifest of a few MiB at most, and histories.
const mostOfRecord = 16 << 20

// readRecord restores a pod's state. It changes no record: it may be left behind, and return when a new one is there.
func (t takeover) readRecord(uid string) (s state.State, err error) {
	data, err := durable.ReadFile(t.dirs.RecordPath(uid), mostOfRecord)
	switch {
	case errors.Is(err, unix.ENOTDIR):
		err = errNoDirectory
	case errors.Is(err, fs.ErrNotExist): // a kill came between the directory and its record: nobody else would remove it
		err = errors.Join(err, durable.RemoveUnfinished(t.dirs.RecordPath(uid)))
	}
	if err == nil {
		s, err = state.Decode(data, uid, t.host, false)
	}
	if err != nil {
		return state.State{}, err
	}
	if s.BootID != t.host.BootID {
		s.ClockOffset = clock.Offset()
	} else if moved := clock.Moved(s.ClockOffset); moved != 0 { // it was set meanwhile
		s = step.Step(s, state.ClockMoved{Moved: moved, Booted: clock.Booted(s.ClockOffset)})
	}
	return s, nil
}

// damaged sets a file of our own aside and tells of it.
func (t takeover) damaged(path, so string, why error) {
	message, err := durable.SetAside(path, why)
	if err != nil {
		message = fmt.Sprintf("%s is damaged (%v), and cannot be set aside: %v", path, why, err)
	}
	message += "; " + so
	slog.Error(message)
	t.events.Node(v1.EventTypeWarning, "StateDamaged", message)
}

// lister lists this daemon's containers.
type lister struct {
	engine  Containerd
	silence *container.Silence
	root    string
}

// List implements owner.Lister.
func (l lister) List(ctx context.Context) (map[string][]state.Found, error) {
	list, err := l.engine.List(ctx)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(c engine.Container) bool { return c.Labels[container.LabelRoot] != l.root })
	l.silence.Judge(list)
	out := map[string][]state.Found{}
	for _, c := range list {
		uid := c.Labels[container.LabelPodUID]
		out[uid] = append(out[uid], container.Found(c))
	}
	return out, nil
}

// listener hears what containerd tells.
type listener struct{ r *Runner }

// Exited implements engine.Listener.
func (l listener) Exited(e engine.Exit) {
	l.r.owner.Exited(state.Exited{ID: e.ID, Code: int32(e.Code), When: e.At})
}

// Resync implements engine.Listener: exits may have been missed.
func (l listener) Resync() { l.r.owner.Resync() }

// tidyUp lets go, once all that an earlier run left was taken up, of what nobody has taken: pipes that the keeper holds, and an
// own bridge without pods. It asks at growing intervals: something that hangs may be taken up late.
func (t takeover) tidyUp(ctx context.Context) {
	pause := 100 * time.Millisecond
	for !t.takenUp() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, 10*time.Second)
	}
	t.config.Keeper.Only()
	if err := t.network.Sweep(); err != nil {
		slog.Warn("cannot remove an unused bridge", "err", err)
	}
}

// takenUp: nothing of an earlier run is left that this one does not know.
func (t takeover) takenUp() bool {
	for _, s := range t.owner.Snapshots() {
		if s.State.Adoption != (state.Adoption{}) {
			return false
		}
		for _, c := range s.State.Containers {
			if c.Running && !c.Now.Attached {
				return false
			}
		}
		for _, l := range s.State.Leftovers {
			if l.Drain {
				return false
			}
		}
	}
	return true
}

// watchClock moves the times that were kept along when the clock is set. So back-off, uptime and what is shown of them
// stay right on a machine that learns the time after its pods have started.
func (r *Runner) watchClock(ctx context.Context) {
	err := clock.Watch(ctx, func(moved time.Duration) {
		slog.Info("the clock was set; what was noted since the boot is moved along", "by", moved)
		r.events.Move(moved)
		r.owner.Broadcast(state.ClockMoved{Moved: moved, Booted: clock.Booted(clock.Offset() - moved)})
	})
	if err != nil {
		slog.Warn("when the clock is set, times and back-off of what runs will be off", "err", err)
	}
}
