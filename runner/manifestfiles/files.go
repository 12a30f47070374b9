// Package manifestfiles knows the manifest files as they were told of last, and tells what is new.
package manifestfiles

import (
	"slices"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/event"
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

// Files are the manifest files as they were told of last.
type Files struct {
	events *event.Log

	mu    sync.Mutex
	files []manifests.File
	directory
}

// New makes Files that tell events.
func New(events *event.Log) *Files { return &Files{events: events} }

// Report logs, and makes events of, what is new in the state of the manifest files.
func (m *Files) Report(s manifests.Snapshot) {
	m.mu.Lock()
	before := map[string]manifests.File{}
	for _, f := range m.files {
		before[f.Name] = f
	}
	known, now := m.directory, directory{s.DirectoryError, s.Unwatched}
	m.files, m.directory = s.Files, now
	m.mu.Unlock()

	for _, c := range now.changed(known) {
		m.events.Manifest(".", c.eventType, c.reason, c.message)
	}
	for _, f := range s.Files {
		if old, ok := before[f.Name]; ok && old.Since.Equal(f.Since) {
			continue
		}
		m.reportFile(f, before[f.Name].State)
	}
}

func (m *Files) reportFile(f manifests.File, before string) {
	errors := f.Problems.Errors()
	for _, p := range errors {
		m.events.Manifest(f.Name, v1.EventTypeWarning, "ManifestInvalid", p.Error())
	}
	for _, p := range f.Problems.Warnings() {
		reason := "FieldWithoutEffect"
		switch {
		case strings.HasPrefix(p.Control, "clusterKinds/"):
			reason = "KindWithoutEffect"
		case p.Control != "":
			reason = "PodSecurity"
		}
		m.events.Manifest(f.Name, v1.EventTypeWarning, reason, p.Error())
	}
	if len(errors) > 0 && len(f.Pods) > 0 {
		m.events.Manifest(f.Name, v1.EventTypeWarning, "LastGoodVersionKept",
			"the file cannot be used as it is; unchanged: "+strings.Join(f.Pods, ", "))
	}
	if len(errors) == 0 && before != "" && before != manifests.StateActive {
		m.events.Manifest(f.Name, v1.EventTypeNormal, "ManifestMended", "the file can be used again")
	}
}

// Last returns the manifest files, why the directory as a whole cannot be used, and why its changes are noticed late; the texts are
// empty when all is well.
func (m *Files) Last() (files []manifests.File, problem, unwatched string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.files), m.problem, m.unwatched
}
