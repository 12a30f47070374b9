package runner

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// directory is the state of the manifests directory as a whole; both are empty when all is well.
type directory struct {
	problem   string // why it cannot be used
	unwatched string // why changes are noticed late; how late may differ from one time to the next
}

// change is what an event tells of the directory.
type change struct{ eventType, reason, message string }

// changed finds what is to be told of the directory that was before otherwise.
func (d directory) changed(before directory) (out []change) {
	switch {
	case d.problem == before.problem:
	case d.problem != "":
		out = append(out, change{v1.EventTypeWarning, "ManifestsUnusable", d.problem})
	default:
		out = append(out, change{v1.EventTypeNormal, "ManifestsUsable", "the manifests directory can be used again"})
	}
	switch {
	case (d.unwatched == "") == (before.unwatched == ""):
	case d.unwatched != "":
		out = append(out, change{v1.EventTypeWarning, "ManifestsUnwatched", d.unwatched})
	default:
		out = append(out, change{v1.EventTypeNormal, "ManifestsWatched", "changes of the manifests directory are noticed at once again"})
	}
	return out
}

// reportFiles logs, and makes events of, what is new in the state of the manifest files.
func (r *Runner) reportFiles(s manifests.Snapshot) {
	r.mu.Lock()
	before := map[string]manifests.File{}
	for _, f := range r.files {
		before[f.Name] = f
	}
	known, now := r.directory, directory{s.DirectoryError, s.Unwatched}
	r.files, r.directory = s.Files, now
	r.mu.Unlock()

	for _, c := range now.changed(known) {
		r.events.Manifest(".", c.eventType, c.reason, c.message)
	}
	for _, f := range s.Files {
		if old, ok := before[f.Name]; ok && old.Since.Equal(f.Since) {
			continue
		}
		r.reportFile(f, before[f.Name].State)
	}
}

func (r *Runner) reportFile(f manifests.File, before string) {
	errors := f.Problems.Errors()
	for _, p := range errors {
		r.events.Manifest(f.Name, v1.EventTypeWarning, "ManifestInvalid", p.Error())
	}
	for _, p := range f.Problems.Warnings() {
		r.events.Manifest(f.Name, v1.EventTypeWarning, "FieldWithoutEffect", p.Error())
	}
	if len(errors) > 0 && len(f.Pods) > 0 {
		r.events.Manifest(f.Name, v1.EventTypeWarning, "LastGoodVersionKept",
			"the file cannot be used as it is; unchanged: "+strings.Join(f.Pods, ", "))
	}
	if len(errors) == 0 && before != "" && before != manifests.StateActive {
		r.events.Manifest(f.Name, v1.EventTypeNormal, "ManifestMended", "the file can be used again")
	}
}

// Files returns the manifest files, why the directory as a whole cannot be used, and why its changes are noticed late; the texts are
// empty when all is well.
func (r *Runner) Files() (files []manifests.File, problem, unwatched string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.files), r.directory.problem, r.directory.unwatched
}
