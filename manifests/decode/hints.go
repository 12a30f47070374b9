package decode

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/solopod/solopod/manifests/habits"
	"github.com/solopod/solopod/manifests/spelling"
)

// enclosing is an object around a value: what it is to become, and where it stands.
type enclosing struct {
	typ  reflect.Type
	path string
}

// scalarTypes are structs that stand as one value in a manifest.
var scalarTypes = map[reflect.Type]bool{quantityType: true, intOrStringType: true, timeType: true}

// maxPlaces bounds the places that are named for a field that stands in a wrong one: what could belong anywhere is a slip of another kind.
const maxPlaces = 3

func (w *walker) unknownField(key *yaml.Node, path, name string, t reflect.Type) {
	message := "unknown field"
	if !w.warnUnknown || w.problems.warnings < maxProblems { // of more nothing is told
		if hint := w.misplaced(name, t); hint != "" {
			message += "; " + hint
		}
	}
	if w.warnUnknown {
		message += " (it has no effect)"
	}
	w.report(key, path, message, w.warnUnknown)
}

// misplaced says what a field that a type does not have may be meant for: another spelling, a word of another tool, a field of an object
// around this one or in it.
func (w *walker) misplaced(name string, t reflect.Type) string {
	fields := fieldsOf(t)
	known := make([]string, 0, len(fields))
	for k, f := range fields {
		if s := supportOf(f.owner, k); s.kind != refused { // no one is led from one error to the next
			known = append(known, k)
		}
	}
	slices.Sort(known)
	if same := spelling.Same(name, known); same != "" {
		return fmt.Sprintf("did you mean %q?", same)
	}
	if said := habits.Field(t.Name(), name); said != "" {
		return said
	}
	for _, around := range slices.Backward(w.inside[:max(len(w.inside)-1, 0)]) {
		if _, ok := fieldsOf(around.typ)[name]; ok && around.path != "" {
			return "it belongs further out, into " + around.path + ": mind how far the line is indented"
		} else if ok {
			return "it belongs to the object itself, beside kind: mind how far the line is indented"
		}
	}
	if places := within(t, name); len(places) > 0 {
		return "it belongs into " + strings.Join(places, " or ")
	}
	if t == selectorType {
		return "labels go into matchLabels"
	}
	if near := spelling.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// within finds the nearest objects inside of a type that have a field, two steps deep; those that templates take do not count.
func within(t reflect.Type, name string) []string {
	type place struct {
		typ  reflect.Type
		path string
		left int
	}
	level, seen := []place{{t, "", 2}}, map[reflect.Type]bool{t: true}
	for len(level) > 0 {
		var next []place
		var found []string
		for _, p := range level {
			fields := fieldsOf(p.typ)
			for _, child := range slices.Sorted(maps.Keys(fields)) {
				f := fields[child]
				typ, path := f.typ, join(p.path, child)
				for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
					if typ.Kind() == reflect.Slice {
						path += "[]"
					}
					typ = typ.Elem()
				}
				left := p.left - 1
				if child == "template" || child == "spec" || child == "jobTemplate" {
					left++
				}
				if typ.Kind() != reflect.Struct || seen[typ] || clustersOwn[typ] || scalarTypes[typ] || left < 0 || supportOf(f.owner, child).kind != implemented || child == "initContainers" {
					continue
				}
				seen[typ] = true
				if inner, ok := fieldsOf(typ)[name]; ok && supportOf(inner.owner, name).kind != refused {
					found = append(found, path)
				}
				next = append(next, place{typ, path, left})
			}
		}
		if len(found) > 0 {
			switch {
			case slices.Contains(found, "containers[]"):
				return []string{"containers[]"} // also where a volume has such a field
			case len(found) > maxPlaces:
				return nil
			}
			return found
		}
		level = next
	}
	return nil
}

// asObject says how a value that stands in the place of an object is written.
func (w *walker) asObject(node *yaml.Node, t reflect.Type) string {
	if node.Kind == yaml.SequenceNode && t.Name() == "Capabilities" {
		return "; write {add: [...]}, or {drop: [...]}"
	}
	if node.Kind == yaml.SequenceNode && t.Name() == "ExecAction" {
		return "; write {command: [...]}"
	}
	if w.secret || node.Kind != yaml.ScalarNode {
		return ""
	}
	if said := habits.Object(t.Name(), node.Value); said != "" {
		return "; " + said
	}
	return ""
}

// asList says how a value that stands in the place of a list is written.
func (w *walker) asList(node *yaml.Node, item reflect.Type) string {
	text, key := "", ""
	if node.Kind == yaml.ScalarNode {
		text = node.Value
	} else if len(node.Content) > 0 {
		key = node.Content[0].Value
	}
	if said := habits.List(item.Name(), text, key); said != "" && !w.secret {
		return "; " + said
	}
	return `; a list's items start with "- "`
}
