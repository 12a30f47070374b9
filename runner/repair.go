package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine"
)

// repair makes sure, once in each boot, that nothing is used that a power cut may have damaged.
func (r *Runner) repair(ctx context.Context) error {
	if r.config.SetAside != "" {
		r.events.Node(v1.EventTypeWarning, "StateDamaged", r.config.SetAside)
	}
	path := filepath.Join(r.config.Root, "boot-id")
	last, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot read when images were looked at last: %w", err)
	}
	if string(last) == r.boot {
		return nil
	}
	if running, err := r.anythingRuns(ctx); err != nil || running {
		// No process outlives a boot: the file was lost, or a version that did not write it has started the pods.
		return errors.Join(err, r.noteLook(path))
	}
	removed, err := r.engine.Repair(ctx)
	if err != nil {
		// What could not be removed is not ready, and no pod gets it.
		slog.Error("cannot remove everything that a power cut may have damaged", "err", err)
		return nil
	}
	if len(removed) > 0 {
		r.events.Node(v1.EventTypeWarning, "ImageRemoved", "these images were not known to be on the disk when the power went, "+
			"and are imported or pulled anew: "+strings.Join(removed, ", "))
	}
	return r.noteLook(path)
}

func (r *Runner) noteLook(path string) error {
	if err := durable.WriteFile(path, []byte(r.boot), 0o600); err != nil {
		return fmt.Errorf("cannot write down that images were looked at: %w", err)
	}
	return nil
}

func (r *Runner) anythingRuns(ctx context.Context) (bool, error) {
	list, err := r.engine.List(ctx)
	return slices.ContainsFunc(list, func(c engine.Container) bool { return c.State == engine.Running }), err
}
