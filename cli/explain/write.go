package explain

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/solopod/solopod/manifests/decode"
)

const (
	// width is how many columns text has.
	width = 80
	// deepest bounds a tree; the API's types do not contain themselves.
	deepest = 16
)

// Write prints the answer as kubectl explain does, and what Solopod does with each field. With tree it is all fields below, by name.
func (a *Answer) Write(w io.Writer, tree bool) error {
	var b strings.Builder
	if a.Group != "" {
		fmt.Fprintf(&b, "GROUP:      %s\n", a.Group)
	}
	fmt.Fprintf(&b, "KIND:       %s\nVERSION:    %s\n\n", a.Kind, a.Version)
	if a.Name != "" {
		fmt.Fprintf(&b, "FIELD: %s\n", a.head())
		b.WriteString("SOLOPOD:\n")
		fill(&b, a.verdict(), "    ")
		b.WriteString("\n")
	}
	b.WriteString("DESCRIPTION:\n")
	fill(&b, a.Doc, "    ")
	b.WriteString("\n")
	if len(a.Fields) > 0 {
		b.WriteString("FIELDS:\n")
		if tree {
			branches(&b, a.Fields, "  ", nil)
		} else {
			for _, f := range sorted(a.Fields) {
				fmt.Fprintf(&b, "  %s\n", f.head())
				if f.Does != decode.Implemented && f.Does != "" {
					fill(&b, "(in Solopod "+f.verdict()+")", "    ")
				}
				fill(&b, f.Doc, "    ")
				b.WriteString("\n")
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// head is a field's name with its type.
func (f *Field) head() string {
	out := f.Name + "\t<" + f.Type + ">"
	if f.Required {
		out += " -required-"
	}
	return out
}

func (f *Field) verdict() string {
	if f.Reason == "" {
		return string(f.Does)
	}
	return string(f.Does) + ": " + f.Reason
}

func sorted(fields []Field) []Field {
	out := slices.Clone(fields)
	slices.SortFunc(out, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// branches are fields with those below them.
func branches(b *strings.Builder, fields []Field, indent string, above []reflect.Type) {
	for _, f := range sorted(fields) {
		mark := ""
		if f.Does != decode.Implemented && f.Does != "" {
			mark = " (" + string(f.Does) + ")"
		}
		fmt.Fprintf(b, "%s%s%s\n", indent, f.head(), mark)
		if t := inside(f.typ); len(above) < deepest && !slices.Contains(above, t) && f.Does != decode.Refused {
			branches(b, f.inner(), indent+"  ", append(above[:len(above):len(above)], t))
		}
	}
}

// fill writes text with lines that fit, its own paragraphs and lists kept.
func fill(b *strings.Builder, text, indent string) {
	if text == "" {
		text = "<no description>"
	}
	for _, paragraph := range strings.Split(text, "\n") {
		column := 0
		for _, word := range strings.Fields(paragraph) {
			switch {
			case column == 0:
				b.WriteString(indent + word)
				column = len(indent) + len(word)
			case column+1+len(word) > width:
				b.WriteString("\n" + indent + word)
				column = len(indent) + len(word)
			default:
				b.WriteString(" " + word)
				column += 1 + len(word)
			}
		}
		b.WriteString("\n")
	}
}

// Complete are the paths that go on from one that may be cut in its last word.
func Complete(path string) []string {
	before, _, deeper := cutLast(path)
	if !deeper {
		return Words()
	}
	a, err := Look(before)
	if err != nil {
		return nil
	}
	var out []string
	for _, f := range a.Fields {
		out = append(out, before+"."+f.Name)
	}
	return out
}

func cutLast(path string) (before, after string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}
