package manifests

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Position is a place in a file; both numbers count from 1, zero means unknown. Columns count characters.
type Position struct {
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}

// Problem is one thing that is wrong with, or worth saying about, a manifest.
type Problem struct {
	File     string `json:"file"`
	Position `json:",inline"`
	// Path is the field's path, for instance spec.containers[0].image; empty when the whole file is meant.
	Path string `json:"path,omitempty"`
	// Message says what is wrong and, where it helps, what to do.
	Message string `json:"message"`
	// Control is the setting, and what of it, that forbids the field or warns of it: podSecurity/privileged, policy/hostPaths,
	// clusterKinds/Ingress. It is empty for problems of other kinds.
	Control string `json:"control,omitempty"`
	// Warning: the manifest is used all the same.
	Warning bool `json:"warning,omitempty"`
}

// Error formats the problem the way compilers do: file:line:column: path: message.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(PrintableName(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, max(p.Column, 1))
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// PrintableName is a file's name as it can be shown on one line: what cannot be printed is escaped.
func PrintableName(name string) string {
	for _, r := range name {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(name)
		}
	}
	return name
}

// Problems is a list of problems; the nil list means that nothing is wrong.
type Problems []Problem

// Errors returns the problems that are not warnings.
func (ps Problems) Errors() Problems { return ps.filter(false) }

// Warnings returns the problems that do not keep the manifest from being used.
func (ps Problems) Warnings() Problems { return ps.filter(true) }

func (ps Problems) filter(warning bool) Problems {
	var out Problems
	for _, p := range ps {
		if p.Warning == warning {
			out = append(out, p)
		}
	}
	return out
}

// Error joins the problems with newlines.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Sort orders the problems by their place in the file.
func (ps Problems) Sort() {
	sort.SliceStable(ps, func(i, j int) bool {
		if ps[i].Line != ps[j].Line {
			return ps[i].Line < ps[j].Line
		}
		if ps[i].Column != ps[j].Column {
			return ps[i].Column < ps[j].Column
		}
		return ps[i].Path+ps[i].Message < ps[j].Path+ps[j].Message
	})
}
