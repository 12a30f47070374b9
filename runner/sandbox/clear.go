package sandbox

import (
	"context"
	"errors"
	"log/slog"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/logs/spool"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/tmpfs"
)

// Clear undoes SetUp and Attach, be they complete or not; it can be repeated. No container exists any more.
func (s *Sandboxes) Clear(ctx context.Context, w plan.Clear) state.Cleared {
	uid := string(w.Pod.UID)
	err := s.clearShared(ctx, w)
	if err == nil && w.All {
		err = s.Volumes.TearDown(uid)
	}
	if err != nil {
		if Unknown(w.Pod) { // it has no events
			slog.Warn("cannot remove what is left of a pod; it is tried again", "uid", uid, "err", err)
		}
		return state.Cleared{Problem: state.Problem{Reason: "FailedKillPod", Message: err.Error()}}
	}
	if w.Gone {
		s.removeLogs(w)
	}
	return state.Cleared{All: w.All}
}

// clearShared takes away what a reboot would: it must be gone before anything of the pod is made anew.
func (s *Sandboxes) clearShared(ctx context.Context, w plan.Clear) error {
	uid := string(w.Pod.UID)
	s.limits.Delete(w.Pod.UID)
	errs := []error{s.Network.Detach(ctx, s.networkPod(w.Pod))}
	errs = append(errs, namespace.Unpin(s.Dirs.Namespaces(uid)), tmpfs.Unmount(s.Dirs.SharedMemory(uid)), s.Volumes.Release(uid))
	if mayShowImages(w.Pod) {
		errs = append(errs, s.Engine.ReleaseImages(ctx, uid))
	}
	errs = append(errs, s.Cgroups.Remove(ctx, uid))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := foreign.RemoveAll(s.Dirs.StateDir(uid)); err != nil {
		return err
	}
	if s.Claims.Release(uid) {
		s.Freed()
	}
	return nil
}

// removeLogs: the pod does not come back. What cannot be removed is no reason to keep the pod.
func (s *Sandboxes) removeLogs(w plan.Clear) {
	dir := s.Dirs.LogDir(w.Pod)
	for _, err := range []error{
		spool.Forget(s.Dirs.Unwritten(), dir), // first: what is delivered later would make the directory anew
		foreign.RemoveAll(dir),
		logs.Links{Root: s.Dirs.LinkRoot()}.UnlinkPod(w.Pod.Name, w.Pod.Namespace, dir),
	} {
		if err != nil {
			slog.Warn("cannot remove a pod's logs", "pod", w.Pod.Namespace+"/"+w.Pod.Name, "err", err)
		}
	}
}
