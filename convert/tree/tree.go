// Package tree reads YAML and JSON as a tree whose nodes know where they stand, with aliases and merge keys resolved. What a file can
// cost is bounded.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/solopod/solopod/convert/note"
)

const (
	// MaxFile bounds a file, in bytes.
	MaxFile  = 1 << 20
	maxNodes = 100_000
	maxKeys  = 5_000
	maxDepth = 50
)

// Kind is what a node holds.
type Kind int

// The kinds of nodes.
const (
	Null Kind = iota
	Scalar
	List
	Map
)

// Node is a value of a file. It may be changed by who has it: no node stands in two places.
type Node struct {
	note.Place
	// Dir is what relative paths in the value are relative to.
	Dir  string
	Kind Kind
	// Tag is YAML's short tag of a scalar, or a tag of the file's own, as !reset.
	Tag string
	// Value is a scalar as it was written, without quotes.
	Value   string
	Items   []*Node
	Entries []Entry
}

// Entry is a key of a map and its value.
type Entry struct {
	note.Place
	Key   string
	Value *Node
}

// Parse reads the documents of a file. dir is what relative paths in them are relative to.
func Parse(file, dir string, data []byte) ([]*Node, error) {
	return parse(&parser{file: file, dir: dir}, data)
}

// Look reads a file as Parse does, and lets a key be there twice: it is for who wants to know what the file is, and that it is not too much.
func Look(file string, data []byte) ([]*Node, error) {
	return parse(&parser{file: file, twice: true}, data)
}

func parse(p *parser, data []byte) ([]*Node, error) {
	file := p.file
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%s has more than %d bytes, which is what is read of one file", file, MaxFile)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s cannot be read: it is not text in UTF-8", file)
	}
	var out []*Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read as YAML: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(doc.Content) == 0 {
			continue
		}
		n, err := p.node(doc.Content[0], 0)
		if err != nil {
			return nil, err
		}
		if n.Kind != Null {
			out = append(out, n)
		}
	}
}

type parser struct {
	file, dir string
	nodes     int
	twice     bool
}

func (p *parser) node(y *yaml.Node, depth int) (*Node, error) {
	if p.nodes++; p.nodes > maxNodes || depth > maxDepth {
		return nil, fmt.Errorf("%s:%d: there is too much in it, or it is nested too deep: %d values and a depth of %d are what is read", p.file, y.Line, maxNodes, maxDepth)
	}
	n := &Node{Place: note.Place{File: p.file, Line: y.Line}, Dir: p.dir, Tag: y.ShortTag()}
	switch y.Kind {
	case yaml.AliasNode:
		aliased, err := p.node(y.Alias, depth+1)
		if err == nil {
			aliased.Line = y.Line
		}
		return aliased, err
	case yaml.ScalarNode:
		if y.Tag == "!!null" || y.Tag == "!reset" {
			return n, nil
		}
		n.Kind, n.Value = Scalar, y.Value
	case yaml.SequenceNode:
		n.Kind = List
		for _, item := range y.Content {
			v, err := p.node(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, v)
		}
	case yaml.MappingNode:
		n.Kind = Map
		return n, p.entries(n, y, depth)
	}
	return n, nil
}

// entries fills a map; what it takes over by merge keys (<<) yields to its own keys.
func (p *parser) entries(n *Node, y *yaml.Node, depth int) error {
	if len(y.Content) > 2*maxKeys {
		return fmt.Errorf("%s:%d: more than %d keys in one place are not read", p.file, y.Line, maxKeys)
	}
	var merged []*Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k := y.Content[i]
		if k.Kind != yaml.ScalarNode {
			return fmt.Errorf("%s:%d: a key must be a word", p.file, k.Line)
		}
		v, err := p.node(y.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		switch {
		case k.Tag == "!!merge" && v.Kind == List:
			merged = append(merged, v.Items...)
		case k.Tag == "!!merge":
			merged = append(merged, v)
		case p.twice:
			n.Set(k.Value, v)
		case n.Get(k.Value) != nil:
			return fmt.Errorf("%s:%d: the key %q is there twice", p.file, k.Line, k.Value)
		default:
			n.Entries = append(n.Entries, Entry{note.Place{File: p.file, Line: k.Line}, k.Value, v})
		}
	}
	if len(merged) > 0 {
		n.merge(merged)
	}
	return nil
}

// merge takes over entries of other maps whose keys are not there yet.
func (n *Node) merge(others []*Node) {
	has := make(map[string]bool, len(n.Entries))
	for _, e := range n.Entries {
		has[e.Key] = true
	}
	for _, m := range others {
		for _, e := range m.Entries {
			if !has[e.Key] {
				has[e.Key] = true
				n.Entries = append(n.Entries, e)
			}
		}
	}
}

// Get is the value of a key, nil where there is none.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, e := range n.Entries {
		if e.Key == key {
			return e.Value
		}
	}
	return nil
}

// Set gives a key a value; nil takes the key away.
func (n *Node) Set(key string, v *Node) {
	for i, e := range n.Entries {
		if e.Key != key {
			continue
		}
		if v == nil {
			n.Entries = append(n.Entries[:i], n.Entries[i+1:]...)
		} else {
			n.Entries[i].Value = v
		}
		return
	}
	if v != nil {
		n.Entries = append(n.Entries, Entry{v.Place, key, v})
	}
}

// Text is a scalar's text; empty where there is none.
func (n *Node) Text() string {
	if n == nil || n.Kind != Scalar {
		return ""
	}
	return n.Value
}

// Bool is a scalar as a truth value, as YAML of both versions writes it.
func (n *Node) Bool() bool {
	switch strings.ToLower(n.Text()) {
	case "true", "yes", "on", "y", "1":
		return true
	}
	return false
}

// Int is a scalar as a whole number.
func (n *Node) Int() (int64, bool) {
	v, err := strconv.ParseInt(n.Text(), 0, 64)
	return v, err == nil
}

// Texts are the scalars of a list, or the one that stands for a list of one.
func (n *Node) Texts() (out []string) {
	for _, item := range n.List() {
		if item.Kind == Scalar {
			out = append(out, item.Value)
		}
	}
	return out
}

// List are the items of a list; another value that is not null stands for a list of one.
func (n *Node) List() []*Node {
	switch {
	case n == nil || n.Kind == Null:
		return nil
	case n.Kind == List:
		return n.Items
	}
	return []*Node{n}
}

// Str makes a scalar that stands where n does.
func (n *Node) Str(value string) *Node {
	return &Node{Place: n.Place, Dir: n.Dir, Kind: Scalar, Tag: "!!str", Value: value}
}

// Clone is a copy that shares nothing with n.
func (n *Node) Clone() *Node {
	if n == nil {
		return nil
	}
	c := *n
	c.Items, c.Entries = nil, nil
	for _, item := range n.Items {
		c.Items = append(c.Items, item.Clone())
	}
	for _, e := range n.Entries {
		e.Value = e.Value.Clone()
		c.Entries = append(c.Entries, e)
	}
	return &c
}

// Size is the number of values in n.
func (n *Node) Size() int {
	if n == nil {
		return 0
	}
	size := 1
	for _, item := range n.Items {
		size += item.Size()
	}
	for _, e := range n.Entries {
		size += e.Value.Size()
	}
	return size
}
