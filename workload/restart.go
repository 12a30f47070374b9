package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// ErrNotFound is returned for an object that no manifest has.
var ErrNotFound = errors.New("not found")

// restart is one that was asked for; with an empty key somebody waits for the next look alone.
type restart struct {
	key  string
	done chan struct{} // closed when it has begun
}

// RestartPods has the pods of a Deployment, StatefulSet, DaemonSet or ReplicaSet replaced by ones of the same template, as its strategy
// says. It returns when that was decided and, unless the disk is slow, written down: it goes on after a crash. A restart that was asked
// for before and has not ended begins anew, from where it is.
func (c *Controller) RestartPods(ctx context.Context, kind, namespace, name string) error {
	r := restart{ownerKey(kind, namespace, name), make(chan struct{})}
	c.mu.Lock()
	there := slices.ContainsFunc(c.status, func(s Status) bool {
		return s.Replicas != nil && s.Kind == kind && s.Namespace == namespace && s.Name == name
	})
	if there {
		c.restarts = append(c.restarts, r)
	}
	c.mu.Unlock()
	if !there {
		return fmt.Errorf("%s %s/%s: %w; it must be a Deployment, StatefulSet, DaemonSet or ReplicaSet of a manifest", kind, namespace, name, ErrNotFound)
	}
	return awaited(ctx, c, r)
}

// Renewed returns when what the history was asked for was decided about and, unless the disk is slow, written down.
func Renewed(ctx context.Context, c *Controller) error {
	r := restart{done: make(chan struct{})}
	c.mu.Lock()
	c.restarts = append(c.restarts, r)
	c.mu.Unlock()
	return awaited(ctx, c, r)
}

func awaited(ctx context.Context, c *Controller, r restart) error {
	c.wakeUp()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wakeUp has Run look at what was handed over.
func (c *Controller) wakeUp() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// restarting notes when pods were asked to begin anew. Moments are whole seconds, as kubectl's, and each is a later one.
func (st *record) restarting(asked []restart, now time.Time) {
	for _, r := range asked {
		if r.key == "" {
			continue
		}
		at := now.UTC().Truncate(time.Second)
		if last := st.Restarted[r.key]; !at.After(last) {
			at = last.Add(time.Second)
		}
		if st.Restarted == nil {
			st.Restarted = map[string]time.Time{}
		}
		st.Restarted[r.key] = at
	}
}

// restartedAt is a pod of an object whose pods were asked to begin anew at a moment. A later one that the manifest gives counts instead.
func restartedAt(pod *v1.Pod, at time.Time) *v1.Pod {
	if given, err := time.Parse(time.RFC3339, pod.Annotations[manifests.RestartedAnnotation]); at.IsZero() || err == nil && given.After(at) {
		return pod
	}
	pod = pod.DeepCopy()
	pod.Annotations[manifests.RestartedAnnotation] = at.Format(time.RFC3339) // PodOf has made the map
	return pod
}

// restartedSlot is a slot's pod as it is to be after what was asked for.
func restartedSlot(d manifests.Desired, at time.Time) manifests.Desired {
	d.Pod = restartedAt(d.Pod, at)
	return d
}
