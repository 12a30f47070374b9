package decode

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/solopod/solopod/manifests"
)

func at(node *yaml.Node) manifests.Position {
	if node == nil {
		return manifests.Position{}
	}
	return manifests.Position{Line: node.Line, Column: node.Column}
}

// resolve follows YAML aliases. An alias never refers to an alias, so this ends.
func resolve(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode && node.Alias != nil {
		node = node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Tag == "!!null"
}

// isEmpty: a value that asks for nothing: null, false, zero, "" or an empty list. An empty object does ask for
// something: `emptyDir: {}` is a volume.
func isEmpty(node *yaml.Node) bool {
	node = resolve(node)
	switch node.Kind {
	case yaml.ScalarNode:
		return isNull(node) || node.Value == "" || (node.Tag == "!!bool" && strings.EqualFold(node.Value, "false")) ||
			(node.Tag == "!!int" && node.Value == "0")
	case yaml.SequenceNode:
		return len(node.Content) == 0
	}
	return false
}

// isOldBoolean: words that YAML 1.1, and so Kubernetes, reads as true or false when they are not quoted.
func isOldBoolean(s string) bool {
	switch s {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return true
	}
	return false
}

func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		if len(node.Content) > 0 && node.Content[0].Kind == yaml.MappingNode && node.Content[0].Line == node.Line {
			return "an object whose key is an object, like {{ ... }} of a template, which is to be rendered first"
		}
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch {
		case isNull(node):
			return "nothing"
		case node.Tag == "!!int" || node.Tag == "!!float":
			return "the number " + shorten(node.Value)
		case node.Tag == "!!bool", node.Style == 0 && isOldBoolean(node.Value):
			return "the boolean " + node.Value
		}
		return fmt.Sprintf("the string %q", shorten(node.Value))
	}
	return "something else"
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

func child(node *yaml.Node, name string) *yaml.Node {
	node = resolve(node)
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := len(node.Content) - 2; i >= 0; i -= 2 { // of a key that stands twice the last one counts
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

func scalar(node *yaml.Node, name string) string {
	c := child(node, name)
	if c == nil {
		return ""
	}
	if c = resolve(c); c.Kind != yaml.ScalarNode {
		return ""
	}
	return c.Value
}

type pair struct{ key, value *yaml.Node }

// pairs lists a mapping's entries, with YAML's merge key expanded, and reports duplicate and non-string keys.
func (w *walker) pairs(node *yaml.Node, path string) []pair { return w.merge(node, path, maxDepth) }

// merge is pairs for a mapping that may be merged into others, left deep at most: it could be merged into itself.
func (w *walker) merge(node *yaml.Node, path string, left int) []pair {
	var out []pair
	seen := map[string]int{} // where a key stands in out
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Tag == "!!merge":
		case key.Kind != yaml.ScalarNode:
			w.report(key, path, "a key must be a string, found "+describe(resolve(key)), false)
		case len(key.Value) > maxKey:
			w.report(key, path, fmt.Sprintf("a key has more than %d bytes", maxKey), false)
		default:
			if first, twice := seen[key.Value]; twice {
				w.duplicate(key, path, out[first].key.Line)
				out[first] = pair{key, value} // the last one counts, as for the kubelet
				continue
			}
			seen[key.Value] = len(out)
			out = append(out, pair{key, value})
		}
	}
	for _, merged := range merges(node) {
		if !w.spend(merged, path) {
			return out
		}
		if left == 0 {
			w.report(merged, path, fmt.Sprintf("objects are merged more than %d deep, or into themselves", maxDepth), false)
			return out
		}
		if merged.Kind != yaml.MappingNode {
			w.report(merged, path, `"<<" takes an object or a list of objects, found `+describe(merged), false)
			continue
		}
		for _, p := range w.merge(merged, path, left-1) {
			if _, twice := seen[p.key.Value]; !twice {
				seen[p.key.Value] = len(out)
				out = append(out, p)
			}
		}
	}
	return out
}

// duplicate reports a key that stands twice in a mapping, the first time at a line.
func (w *walker) duplicate(key *yaml.Node, path string, line int) {
	switch {
	case w.warnUnknown:
		w.report(key, join(path, key.Value), fmt.Sprintf("duplicate key; the one at line %d has no effect", line), true)
	case path == "" && (key.Value == "apiVersion" || key.Value == "kind"):
		w.report(key, key.Value, fmt.Sprintf("duplicate key; it is already set at line %d: is a line with --- missing between two objects?", line), false)
	default:
		w.report(key, join(path, key.Value), fmt.Sprintf("duplicate key; it is already set at line %d", line), false)
	}
}

func merges(node *yaml.Node) []*yaml.Node {
	var out []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Tag != "!!merge" {
			continue
		}
		value := resolve(node.Content[i+1])
		if value.Kind != yaml.SequenceNode {
			out = append(out, value)
			continue
		}
		for _, item := range value.Content {
			out = append(out, resolve(item))
		}
	}
	return out
}

// field is one JSON field of a Go type.
type field struct {
	name  string
	owner string // the struct type that declares it
	typ   reflect.Type
}

var fieldCache sync.Map // reflect.Type -> map[string]field

// fieldsOf lists a struct's JSON fields by name, those of inlined structs included.
func fieldsOf(t reflect.Type) map[string]field {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.(map[string]field)
	}
	out := map[string]field{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && f.Anonymous:
			for k, v := range fieldsOf(f.Type) {
				out[k] = v
			}
		case name != "":
			out[name] = field{name, t.Name(), f.Type}
		}
	}
	fieldCache.Store(t, out)
	return out
}
