package runner

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// reportFiles logs, and makes events of, what is new in the state of the manifest files.
func (r *Runner) reportFiles(s manifests.Snapshot) {
	r.mu.Lock()
	before := map[string]manifests.File{}
	for _, f := range r.files {
		before[f.Name] = f
	}
	dirError := r.dirError
	r.files, r.dirError = s.Files, s.DirectoryError
	r.mu.Unlock()

	if s.DirectoryError != dirError {
		if s.DirectoryError != "" {
			r.events.Manifest(".", v1.EventTypeWarning, "ManifestsUnusable", s.DirectoryError)
		} else {
			r.events.Manifest(".", v1.EventTypeNormal, "ManifestsUsable", "the manifests directory can be used again")
		}
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

// Files returns the manifest files and what is wrong with the directory as a whole.
func (r *Runner) Files() ([]manifests.File, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.files), r.dirError
}
