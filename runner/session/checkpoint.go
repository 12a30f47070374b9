package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/runner/archive"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
)

// ErrNoCRIU is returned where containers cannot be checkpointed.
var ErrNoCRIU = errors.New("criu is not installed on this machine, which checkpoints need")

// Checkpoint writes the state of a running container's processes into an archive below <root>/checkpoints, under the kubelet's name
// for it, and returns its path. The container runs on. In the archive are CRIU's images (checkpoint/), its log (work/) and the
// runtime spec (spec.dump). When ctx ends the caller need not wait: the archive is made nevertheless.
func (s *Sessions) Checkpoint(ctx context.Context, ns, pod, container string) (path string, err error) {
	in, err := s.enter(ns, pod, container)
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath("criu"); err != nil {
		return "", fmt.Errorf("%w: apt-get install criu", ErrNoCRIU)
	}
	return within(ctx, checkpointLimit+lookUp, "the checkpoint", func() (string, error) {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkpointLimit)
		defer cancel()
		return s.checkpoint(limited, in)
	})
}

func (s *Sessions) checkpoint(ctx context.Context, in *inside) (path string, err error) {
	dir := s.dirs.Checkpoints()
	if err := os.MkdirAll(dir, 0o700); err != nil { // the memory of processes holds secrets
		return "", err
	}
	tree, err := os.MkdirTemp(dir, unfinished)
	if err != nil {
		return "", err
	}
	defer foreign.RemoveAll(tree) //nolint:errcheck // it is in the archive
	images, work := filepath.Join(tree, "checkpoint"), filepath.Join(tree, "work")
	if err := errors.Join(os.Mkdir(images, 0o700), os.Mkdir(work, 0o700)); err != nil {
		return "", err
	}
	spec, err := s.engine.Checkpoint(ctx, in.id, images, work)
	if err != nil {
		explainCheckpoint(work)
		return "", err
	}
	if err := durable.Replace(filepath.Join(tree, "spec.dump"), spec, 0o600); err != nil {
		return "", err
	}
	name := fmt.Sprintf("checkpoint-%s_%s-%s-%s.tar", in.pod.Name, in.pod.Namespace, in.spec.Name, time.Now().Format(time.RFC3339))
	path = filepath.Join(dir, name)
	return path, pack(tree, path)
}

// unfinished begins the names of what a checkpoint is made of.
const unfinished = ".making-"

// RemoveUnfinished takes away what a crash has left of checkpoints. It is called before the first session.
func (s *Sessions) RemoveUnfinished() {
	dir := s.dirs.Checkpoints()
	left, err := filepath.Glob(filepath.Join(dir, unfinished+"*"))
	for _, path := range left {
		err = errors.Join(err, foreign.RemoveAll(path))
	}
	if err != nil {
		slog.Warn("cannot remove what is left of an unfinished checkpoint", "dir", dir, "err", err)
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

// explained is how much is told of CRIU's log, which can be long.
const explained = 2000

// explainCheckpoint logs the end of what CRIU says of a failure.
func explainCheckpoint(work string) {
	f, err := foreign.Open(filepath.Join(work, "dump.log"))
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(info.Size()-explained, 0), explained))
	if err != nil {
		return
	}
	slog.Warn("criu could not checkpoint a container", "log", string(text))
}
