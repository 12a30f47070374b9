package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// Measure finds out whether the pod has written more than it may.
func (s *Sandboxes) Measure(ctx context.Context, w plan.Measure) state.Measured {
	over, err := s.exceeded(ctx, w)
	if errors.Is(err, foreign.ErrTooDeep) { // nobody needs that, and it must not be a way around a limit
		return state.Measured{Over: err.Error()}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it takes too long; has the pod made very many files, or does a disk not answer?")
	}
	if err != nil {
		return state.Measured{Problem: state.Problem{Message: err.Error()}}
	}
	return state.Measured{Over: over}
}

// exceeded says which limit is exceeded, in the kubelet's words (eviction manager, localStorageEviction); "" when none is.
func (s *Sandboxes) exceeded(ctx context.Context, w plan.Measure) (string, error) {
	volumes := s.Volumes.Find(w.Pod)
	total, limits := s.files(w.Pod).usage(), int64(0)
	for i := range w.Pod.Spec.Volumes {
		v := &w.Pod.Spec.Volumes[i]
		if v.EmptyDir == nil || v.EmptyDir.Medium != v1.StorageMediumDefault {
			continue
		}
		used, err := diskUsage(ctx, volumes[v.Name])
		if err != nil {
			return "", err
		}
		total += used
		if limit := amount.SizeLimit(v); limit > 0 && used > limit {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q.", v.Name, v.EmptyDir.SizeLimit), nil
		}
	}
	for _, t := range w.Running {
		c := manifests.ContainerOf(w.Pod, t.Name)
		used, err := s.written(ctx, t)
		if err != nil {
			return "", err
		}
		total += used
		limit := c.Resources.Limits.StorageEphemeral()
		limits = amount.Sum(limits, amount.Whole(*limit))
		if !limit.IsZero() && used > amount.Whole(*limit) {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q.", t.Name, limit), nil
		}
	}
	if limits > 0 && total > limits {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s.", resource.NewQuantity(limits, resource.BinarySI)), nil
	}
	return "", nil
}

// written is what a container has written into its root file system, its logs and its termination message, and what its image's volumes hold.
func (s *Sandboxes) written(ctx context.Context, t plan.Target) (int64, error) {
	used, err := s.Engine.Usage(ctx, t.ID)
	if err != nil {
		return 0, err
	}
	logs, err := diskUsage(ctx, filepath.Dir(s.Dirs.LogFile(t.Pod, t.Name, t.Attempt)))
	if err != nil {
		return 0, err
	}
	volumes, err := diskUsage(ctx, s.Volumes.ImageDirs(string(t.Pod.UID), t.Name, t.Attempt))
	if errors.Is(err, os.ErrNotExist) { // the image declares none
		err = nil
	}
	return used.Bytes + logs + volumes + s.files(t.Pod).messageUsage(t.Name, t.Attempt), err
}

// diskUsage is what a directory takes up that containers write to while it is counted.
func diskUsage(ctx context.Context, path string) (int64, error) {
	dir, err := foreign.OpenDir(path, foreign.NoLinks)
	if err != nil {
		return 0, err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	return dir.Usage(ctx)
}
