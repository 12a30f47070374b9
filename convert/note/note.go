// Package note holds what a conversion has to say: what it has written otherwise than it was, what it could not keep, and what is left
// to do by hand, each with the place in the file that it is about.
package note

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/solopod/solopod/manifests"
)

// Kind says what became of the thing that a note is about.
type Kind string

// The kinds, as they are printed.
const (
	// Changed: it is written otherwise, and means the same, or what comes nearest.
	Changed Kind = "changed"
	// Lost: it could not be kept.
	Lost Kind = "not kept"
	// Todo: somebody must do something, or what was written does not run.
	Todo Kind = "to do"
	// Failed: what was written is no manifest as it stands, or nothing was written.
	Failed Kind = "error"
)

// Place is where something stands: Line counts from 1, zero means unknown.
type Place struct {
	File string
	Line int
}

// Note is one thing that is said.
type Note struct {
	Place
	Kind Kind
	// Path is the field's, for instance services.web.ports[0]; empty where the whole file is meant.
	Path    string
	Message string
}

// String is the note on one line: file:line: kind: path: message.
func (n Note) String() string {
	var b strings.Builder
	if n.File != "" {
		b.WriteString(manifests.PrintableName(n.File))
		if n.Line > 0 {
			fmt.Fprintf(&b, ":%d", n.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(string(n.Kind) + ": ")
	if n.Path != "" {
		b.WriteString(n.Path + ": ")
	}
	return b.String() + n.Message
}

// maxNotes bounds what is said of one conversion: nobody reads more.
const maxNotes = 2000

// List collects notes. The zero List is ready for use.
type List struct {
	notes  []Note
	beyond int
	failed bool
}

// Addf adds a note.
func (l *List) Addf(at Place, kind Kind, path, format string, args ...any) {
	l.failed = l.failed || kind == Failed
	n := Note{Place: at, Kind: kind, Path: path, Message: fmt.Sprintf(format, args...)}
	if len(l.notes) >= maxNotes {
		l.beyond++
		return
	}
	if !slices.Contains(l.notes[max(0, len(l.notes)-50):], n) {
		l.notes = append(l.notes, n)
	}
}

// Failed says whether a note of this kind was added.
func (l *List) Failed() bool { return l.failed }

// Sorted returns the notes in the order of their places.
func (l *List) Sorted() []Note {
	out := slices.Clone(l.notes)
	slices.SortStableFunc(out, func(a, b Note) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	if l.beyond > 0 {
		out = append(out, Note{Kind: Lost, Message: fmt.Sprintf("%d more notes are left out; convert smaller files", l.beyond)})
	}
	return out
}
