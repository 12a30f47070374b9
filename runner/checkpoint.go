package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/runner/archive"
	"github.com/solopod/solopod/runner/durable"
)

// ErrNoCRIU is returned where containers cannot be checkpointed.
var ErrNoCRIU = errors.New("criu is not installed on this machine, which checkpoints need")

// Checkpoint writes the state of a running container's processes into an archive below <root>/checkpoints, under the kubelet's name
// for it, and returns its path. The container runs on. In the archive are CRIU's images (checkpoint/), its log (work/) and the
// runtime spec (spec.dump).
func (r *Runner) Checkpoint(ctx context.Context, ns, pod, container string) (path string, err error) {
	in, err := r.enter(ns, pod, container)
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath("criu"); err != nil {
		return "", fmt.Errorf("%w: apt-get install criu", ErrNoCRIU)
	}
	dir := r.checkpoints()
	if err := os.MkdirAll(dir, 0o700); err != nil { // the memory of processes holds secrets
		return "", err
	}
	tree, err := os.MkdirTemp(dir, unfinished)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tree) //nolint:errcheck // it is in the archive
	images, work := filepath.Join(tree, "checkpoint"), filepath.Join(tree, "work")
	if err := errors.Join(os.Mkdir(images, 0o700), os.Mkdir(work, 0o700)); err != nil {
		return "", err
	}
	spec, err := r.engine.Checkpoint(context.WithoutCancel(ctx), in.id, images, work)
	if err != nil {
		r.explainCheckpoint(work)
		return "", err
	}
	if err := os.WriteFile(filepath.Join(tree, "spec.dump"), spec, 0o600); err != nil { //nolint:forbidigo // it is in the archive
		return "", err
	}
	name := fmt.Sprintf("checkpoint-%s_%s-%s-%s.tar", in.pod.Name, in.pod.Namespace, in.spec.Name, time.Now().Format(time.RFC3339))
	path = filepath.Join(dir, name)
	return path, pack(tree, path)
}

func (r *Runner) checkpoints() string { return filepath.Join(r.config.Root, "checkpoints") }

// unfinished begins the names of what a checkpoint is made of.
const unfinished = ".making-"

// removeUnfinished takes away what a crash has left of checkpoints.
func (r *Runner) removeUnfinished() {
	left, err := filepath.Glob(filepath.Join(r.checkpoints(), unfinished+"*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		slog.Warn("cannot remove what is left of an unfinished checkpoint", "dir", r.checkpoints(), "err", err)
	}
}

// pack writes the archive under a name of its own until it is whole.
func pack(tree, path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(archive.Pack(f, tree, "."), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// explainCheckpoint logs the end of what CRIU says of a failure.
func (r *Runner) explainCheckpoint(work string) {
	text, err := os.ReadFile(filepath.Join(work, "dump.log"))
	if err != nil {
		return
	}
	slog.Warn("criu could not checkpoint a container", "log", string(text[max(len(text)-2000, 0):]))
}
