package manifests

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

func at(node *yaml.Node) Position {
	if node == nil {
		return Position{}
	}
	return Position{Line: node.Line, Column: node.Column}
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
	case "yes", "Yes", "YES", "on", "On", "ON", "no", "No", "NO", "off", "Off", "OFF":
		return true
	}
	return false
}

func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
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
	for i := 0; i+1 < len(node.Content); i += 2 {
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
func (w *walker) pairs(node *yaml.Node, path string) []pair {
	var out []pair
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Tag == "!!merge":
		case key.Kind != yaml.ScalarNode:
			w.report(key, path, "a key must be a string, found "+describe(resolve(key)), false)
		case seen[key.Value] > 0:
			w.report(key, join(path, key.Value), fmt.Sprintf("duplicate key; it is already set at line %d", seen[key.Value]), false)
		default:
			seen[key.Value] = max(key.Line, 1)
			out = append(out, pair{key, value})
		}
	}
	for _, merged := range merges(node) {
		if w.nodes++; w.nodes > maxNodes {
			return out
		}
		if merged.Kind != yaml.MappingNode {
			w.report(merged, path, `"<<" takes an object or a list of objects, found `+describe(merged), false)
			continue
		}
		for _, p := range w.pairs(merged, path) {
			if seen[p.key.Value] == 0 {
				seen[p.key.Value] = max(p.key.Line, 1)
				out = append(out, p)
			}
		}
	}
	return out
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

// nearest returns the candidate most like name, or "" when none is near enough to be a slip.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+2
	for _, c := range candidates {
		if strings.EqualFold(c, name) {
			return c
		}
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDistance || d == bestDistance && c < best {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is Levenshtein's, with the swap of two neighbours counted as one step.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
