package runner

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine"
)

// tellOfRoot tells what was found wrong with the root directory before there were events.
func (r *Runner) tellOfRoot() {
	if r.config.SetAside != "" {
		r.events.Node(v1.EventTypeWarning, "StateDamaged", r.config.SetAside)
	}
	if r.config.ReadOnly != "" {
		r.events.Node(v1.EventTypeWarning, "RootReadOnly", r.config.ReadOnly)
	}
}

// repair makes sure, once in each boot, that nothing is used that a power cut may have damaged.
func (r *Runner) repair(ctx context.Context) {
	path := filepath.Join(r.config.Root, "boot-id")
	const most = 1 << 10
	last, err := durable.ReadFile(path, most)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.damaged(path, "images are looked at as after a boot", err)
	}
	if string(last) == r.host.BootID {
		return
	}
	running, err := r.anythingRuns(ctx)
	if err != nil {
		slog.Error("cannot look whether a power cut has damaged images; the next start does", "err", err)
		return
	}
	if running { // No process outlives a boot: the file was lost, or a version that did not write it has started the pods.
		r.noteLook(path)
		return
	}
	removed, err := r.engine.Repair(ctx)
	if err != nil {
		// What could not be removed is not ready, and no pod gets it.
		slog.Error("cannot remove everything that a power cut may have damaged", "err", err)
		return
	}
	if len(removed) > 0 {
		r.events.Node(v1.EventTypeWarning, "ImageRemoved", "these images were not known to be on the disk when the power went, "+
			"and are imported or pulled anew: "+strings.Join(removed, ", "))
	}
	r.noteLook(path)
}

func (r *Runner) noteLook(path string) {
	if err := durable.WriteFile(path, []byte(r.host.BootID), 0o600); err != nil {
		r.cannotKeep(filepath.Dir(path), err)
	}
}

// anythingRuns: a process of a container is alive, or may be.
func (r *Runner) anythingRuns(ctx context.Context) (bool, error) {
	list, err := r.engine.List(ctx)
	return slices.ContainsFunc(list, func(c engine.Container) bool {
		return c.State == engine.Running || c.State == engine.Unanswered
	}), err
}
