package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/closed"
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

// closeDirectories keeps the machine's other users out of what is Solopod's own, whoever has opened it: an earlier version, or somebody's
// chmod -R. It tells once of all.
func (t takeover) closeDirectories(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	d := t.dirs
	ofState := closed.Repair(limited,
		closed.Dir{Path: d.State, Passed: true}, // the API's socket lies there
		closed.Dir{Path: d.States(), Levels: 2}, // a pod's, and what holds its volumes, namespaces and the like
		closed.Dir{Path: d.Unwritten()}, closed.Dir{Path: d.Temporary()},
	)
	answer := make(chan closed.Report, 1)
	t.inTime(ctx, d.Root, func() {
		answer <- closed.Repair(limited,
			closed.Dir{Path: d.Root, Passed: true},
			closed.Dir{Path: d.Records(), Levels: 2}, // a pod's, and those that hold its volumes
			closed.Dir{Path: d.Claims(), Levels: 2},  // a namespace's, and a claim's
			closed.Dir{Path: d.Checkpoints()}, closed.Dir{Path: filepath.Join(d.Root, "tls")},
		)
	})
	var ofRoot closed.Report
	select {
	case ofRoot = <-answer:
	default: // it does not answer, which has been told
	}
	t.tellOfOpen(ofRoot, ofState)
}

func (t takeover) tellOfOpen(reports ...closed.Report) {
	var repaired, failed []string
	for _, r := range reports {
		repaired = append(repaired, r.Repaired...)
		for _, err := range r.Failed {
			failed = append(failed, err.Error())
		}
	}
	if len(repaired) > 0 {
		t.events.Node(v1.EventTypeWarning, "DirectoriesClosed", "others than root could enter or change directories of Solopod's; they are closed now: "+shorten(repaired))
	}
	if len(failed) > 0 {
		t.events.Node(v1.EventTypeWarning, "DirectoriesOpen", "directories of Solopod's are open to others than root: "+shorten(failed))
	}
}

// shorten lists the first of many.
func shorten(list []string) string {
	const most = 20
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s, and %d more", strings.Join(list[:most], ", "), len(list)-most)
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
