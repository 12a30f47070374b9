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
func (t takeover) tellOfRoot() {
	if t.config.SetAside != "" {
		t.events.Node(v1.EventTypeWarning, "StateDamaged", t.config.SetAside)
	}
	if t.config.ReadOnly != "" {
		t.events.Node(v1.EventTypeWarning, "RootReadOnly", t.config.ReadOnly)
	}
}

// repair makes sure, once in each boot, that nothing is used that a power cut may have damaged.
func (t takeover) repair(ctx context.Context) {
	path := filepath.Join(t.config.Root, "boot-id")
	const most = 1 << 10
	last, err := durable.ReadFile(path, most)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.damaged(path, "images are looked at as after a boot", err)
	}
	if string(last) == t.host.BootID {
		return
	}
	running, err := t.anythingRuns(ctx)
	if err != nil {
		slog.Error("cannot look whether a power cut has damaged images; the next start does", "err", err)
		return
	}
	if running { // No process outlives a boot: the file was lost, or a version that did not write it has started the pods.
		t.noteLook(path)
		return
	}
	removed, err := t.engine.Repair(ctx)
	if err != nil {
		// What could not be removed is not ready, and no pod gets it.
		slog.Error("cannot remove everything that a power cut may have damaged", "err", err)
		return
	}
	if len(removed) > 0 {
		t.events.Node(v1.EventTypeWarning, "ImageRemoved", "these images were not known to be on the disk when the power went, "+
			"and are imported or pulled anew: "+strings.Join(removed, ", "))
	}
	t.noteLook(path)
}

func (t takeover) noteLook(path string) {
	if err := durable.WriteFile(path, []byte(t.host.BootID), 0o600); err != nil {
		t.cannotKeep(filepath.Dir(path), err)
	}
}

// anythingRuns: a process of a container is alive, or may be.
func (t takeover) anythingRuns(ctx context.Context) (bool, error) {
	list, err := t.engine.List(ctx)
	return slices.ContainsFunc(list, func(c engine.Container) bool {
		return c.State == engine.Running || c.State == engine.Unanswered
	}), err
}
