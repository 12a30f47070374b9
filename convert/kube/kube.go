// Package kube mends Kubernetes files that were written for others: what podman generate kube and kompose write, files for podman kube
// play, and manifests of former API versions. The text is changed where it must be; comments and order stay.
package kube

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/solopod/solopod/convert/note"
	"github.com/solopod/solopod/convert/tree"
	"github.com/solopod/solopod/manifests/decode"
)

const (
	maxDepth     = 60
	maxDocuments = 1000
)

// Document is one object, as it is to be written.
type Document struct {
	*yaml.Node
	Kind, Name string
}

// doc is a document on its way.
type doc struct {
	file, dir string
	kind      string
	root      *yaml.Node
	notes     *note.List
	depth     int
}

func (d *doc) say(n *yaml.Node, kind note.Kind, path, format string, args ...any) {
	at := note.Place{File: d.file}
	if n != nil {
		at.Line = n.Line
	}
	d.notes.Addf(at, kind, path, format, args...)
}

// Convert mends the documents of a file. dir is what relative paths in it are relative to.
func Convert(file, dir string, data []byte, notes *note.List) ([]Document, error) {
	if len(data) > tree.MaxFile {
		return nil, fmt.Errorf("%s has more than %d bytes, which is what is read of one file", file, tree.MaxFile)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s cannot be read: it is not text in UTF-8", file)
	}
	// What aliases make of it is bounded there.
	if _, err := tree.Look(file, data); err != nil {
		return nil, err
	}
	var out []Document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read as YAML: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(n.Content) == 0 || n.Content[0].Tag == "!!null" {
			continue
		}
		roots := []*yaml.Node{n.Content[0]}
		if kind := text(get(roots[0], "kind")); strings.HasSuffix(kind, "List") && get(roots[0], "items") != nil {
			roots = items(get(roots[0], "items"))
			notes.Addf(note.Place{File: file, Line: n.Line}, note.Changed, "items", "each object of the list is a document of its own")
		}
		for _, root := range roots {
			if len(out) >= maxDocuments {
				return nil, fmt.Errorf("%s has more than %d objects", file, maxDocuments)
			}
			d := &doc{file: file, dir: dir, root: flat(root), notes: notes}
			d.single(d.root)
			if d.mend() {
				out = append(out, Document{d.root, d.kind, text(get(d.root, "metadata", "name"))})
			}
		}
	}
}

// flat is a copy of n without anchors and aliases, whose parts can be changed one by one. tree.Look has bounded what it becomes.
func flat(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return flat(n.Alias)
	}
	c := *n
	c.Anchor = ""
	c.Content = nil
	var merged []*yaml.Node
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Tag == "!!merge" {
			continue
		}
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Tag == "!!merge" {
			m := flat(n.Content[i+1])
			if m.Kind == yaml.SequenceNode {
				merged = append(merged, m.Content...)
			} else {
				merged = append(merged, m)
			}
			continue
		}
		c.Content = append(c.Content, flat(child))
	}
	if len(merged) > 0 {
		merge(&c, merged)
	}
	return &c
}

// merge takes over keys of other maps that are not there yet.
func merge(n *yaml.Node, others []*yaml.Node) {
	has := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		has[n.Content[i].Value] = true
	}
	for _, m := range others {
		for i := 0; m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
			if key := m.Content[i]; !has[key.Value] {
				has[key.Value] = true
				n.Content = append(n.Content, key, m.Content[i+1])
			}
		}
	}
}

// mend brings the document into a form that is taken; false when it is left out.
func (d *doc) mend() bool {
	if d.root.Kind != yaml.MappingNode {
		d.say(d.root, note.Failed, "", "an object with apiVersion and kind is expected")
		return false
	}
	if !d.version() {
		return false
	}
	d.metadata(get(d.root, "metadata"), "metadata")
	switch d.kind {
	case "ConfigMap", "Secret":
		for _, key := range []string{"data", "stringData"} {
			d.strings(get(d.root, key), key, d.kind == "Secret")
		}
		return true
	case "PersistentVolumeClaim":
		d.claim()
	}
	d.walk(get(d.root, "spec"), "spec")
	path := []string{"spec"}
	switch d.kind {
	case "Pod":
	case "CronJob":
		path = []string{"spec", "jobTemplate", "spec", "template", "spec"}
	case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job":
		path = []string{"spec", "template", "spec"}
	case "Service":
		d.service()
		return true
	default:
		return true
	}
	d.pod(get(d.root, path...), strings.Join(path, "."))
	if d.kind == "Deployment" || d.kind == "ReplicaSet" || d.kind == "DaemonSet" || d.kind == "StatefulSet" {
		d.replicated()
	}
	return true
}

// version finds the kind, and gives a former one the apiVersion of today; false for kinds that are not taken.
func (d *doc) version() bool {
	k, v := get(d.root, "kind"), get(d.root, "apiVersion")
	d.kind = text(k)
	for known := range taken {
		if strings.EqualFold(known, d.kind) && known != d.kind {
			d.say(k, note.Changed, "kind", "it is written %s", known)
			d.kind = known
			set(d.root, "kind", word(k, "!!str", known))
		}
	}
	if d.kind == "ReplicationController" && text(v) == "v1" {
		d.kind = "Deployment"
		d.say(k, note.Changed, "kind", "it is a Deployment, which has taken its place")
		set(d.root, "kind", word(k, "!!str", d.kind))
		set(d.root, "apiVersion", word(v, "!!str", "apps/v1"))
		if s := get(d.root, "spec", "selector"); s != nil {
			set(get(d.root, "spec"), "selector", &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: s.Line, Content: []*yaml.Node{word(s, "!!str", "matchLabels"), s}})
		}
		return true
	}
	today, known := taken[d.kind]
	switch {
	case known && text(v) == today:
		return true
	case known && former[text(v)]:
		d.say(d.root, note.Changed, "apiVersion", "it is %s: Kubernetes has removed %q", today, text(v))
		at := v
		if at == nil {
			at = k
		}
		set(d.root, "apiVersion", word(at, "!!str", today))
		return true
	}
	if d.kind == "" {
		d.say(d.root, note.Failed, "", "it has no kind; it is left out")
		return false
	}
	return d.foreign()
}

// foreign says of a kind that is not taken what check would say; false when it is left out, as what only a cluster serves.
func (d *doc) foreign() bool {
	text, err := yaml.Marshal(d.root)
	if err != nil {
		d.say(d.root, note.Failed, "", "%v", err)
		return false
	}
	_, problems := decode.Decode(d.file, text, decode.Options{})
	for _, p := range problems {
		if strings.HasPrefix(p.Control, "clusterKinds/") {
			d.say(d.root, note.Lost, "", "%s", p.Message)
			return false
		}
	}
	return true // what is wrong with it is said with the result
}

// single leaves one of keys that are there twice: the last one, as it counts for others.
func (d *doc) single(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		for _, item := range n.Content {
			d.single(item)
		}
		return
	}
	last := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		last[n.Content[i].Value] = i
	}
	var kept []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if last[key.Value] != i {
			d.say(key, note.Changed, "", "%s is there twice; the one of line %d counts", key.Value, n.Content[last[key.Value]].Line)
			continue
		}
		d.single(value)
		kept = append(kept, key, value)
	}
	n.Content = kept
}
