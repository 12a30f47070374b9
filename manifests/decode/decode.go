// Package decode reads the text of manifests, strictly: every field is known, implemented or refused, every value has its
// type, and every problem its line and column. What it costs is bounded, whatever the text.
package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode/extent"
	kindsof "github.com/solopod/solopod/manifests/kinds"
	"github.com/solopod/solopod/manifests/validate"
	"github.com/solopod/solopod/manifests/validate/network"
)

// unknownFieldsAnnotation on an object, with the value "warn", turns unknown fields and duplicate keys into warnings.
const unknownFieldsAnnotation = "solopod.io/unknown-fields"

// Options change how strict decoding is.
type Options struct {
	// WarnUnknownFields accepts fields that Kubernetes does not know, and keys that stand twice, with a warning.
	WarnUnknownFields bool
	// RefuseClusterKinds refuses objects of kinds that only a cluster serves, which are left out with a warning otherwise.
	RefuseClusterKinds bool
	// AllowedUnsafeSysctls are sysctls beside the safe set; a name may end with *.
	AllowedUnsafeSysctls []string
	// ClusterDomain ends the full names of pods that have a subdomain; empty where it is not known.
	ClusterDomain string
	// NodePorts are those that Services may name; the zero range has all.
	NodePorts network.PortRange
	// Judge says what of a defaulted pod this machine does not take; nil takes all. JudgeService does so of a Service.
	Judge        func(pod *v1.Pod) manifests.Problems
	JudgeService func(s *v1.Service) manifests.Problems
}

// judge adds to what is wrong with an object what this machine does not take of its pod. prefix is where the pod stands in the object.
func (o Options) judge(found manifests.Problems, prefix string, pod *v1.Pod) manifests.Problems {
	if o.Judge == nil {
		return found
	}
	for _, p := range o.Judge(pod) {
		p.Path = prefix + p.Path
		found = append(found, p)
	}
	return found
}

func (o Options) node() validate.Options {
	return validate.Options{AllowedUnsafeSysctls: o.AllowedUnsafeSysctls, ClusterDomain: o.ClusterDomain}
}

// Decode reads all objects of one file: YAML or JSON, several documents, and v1.List. They are defaulted and valid
// when the problems hold no error; otherwise the contents are empty. file is only used in messages.
func Decode(file string, data []byte, opts Options) (manifests.Contents, manifests.Problems) {
	d := &decoder{file: file, opts: opts}
	if len(data) > MaxFileSize {
		d.errorAt(manifests.Position{}, "", fmt.Sprintf("the file has more than %d bytes, which is what is read of one%s", MaxFileSize, splitIt))
		return manifests.Contents{}, d.problems.sorted(file)
	}
	d.documents(data)
	if d.problems.errors > 0 {
		return manifests.Contents{}, d.problems.sorted(file)
	}
	return d.contents, d.problems.sorted(file)
}

type decoder struct {
	file     string
	opts     Options
	contents manifests.Contents
	// seen: where the objects of the file stand, by kind and name.
	seen     map[string]manifests.Position
	problems problemList
	objects  int
	spent
}

// spent is what the file has cost so far, its aliases expanded.
type spent struct {
	nodes   int
	scalars int // bytes
}

// over: more would cost too much.
func (s spent) over() bool { return s.nodes > maxExpanded || s.scalars > MaxFileSize }

func (d *decoder) errorAt(pos manifests.Position, path, message string) {
	d.problems.add(manifests.Problem{File: d.file, Position: pos, Path: path, Message: message})
}

func (d *decoder) documents(data []byte) {
	data, err := inUTF8(data)
	if err != nil {
		d.syntaxError(err, data)
		return
	}
	if !utf8.Valid(data) {
		d.errorAt(manifests.Position{}, "", "cannot be read as YAML or JSON: it is not text in UTF-8")
		return
	}
	if message := tooLarge(extent.Measure(data)); message != "" {
		d.errorAt(manifests.Position{}, "", message)
		return
	}
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		// JSON allows tabs between tokens, YAML does not; inside JSON strings a bare tab is not allowed.
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	found := false
	yd := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := yd.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			d.syntaxError(err, data)
			return
		}
		if len(doc.Content) == 0 || isNull(doc.Content[0]) {
			continue
		}
		found = true
		if deep := tooDeep(doc.Content[0], maxDepth); deep != nil {
			d.errorAt(at(deep), "", fmt.Sprintf("its lists and objects are nested more than %d deep", maxDepth))
			continue
		}
		d.object(doc.Content[0], "", "", "")
	}
	if !found {
		d.errorAt(manifests.Position{}, "", "the file holds no object; to stop its pods delete the file")
	}
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

func (d *decoder) syntaxError(err error, data []byte) {
	pos := manifests.Position{}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		pos.Line, _ = strconv.Atoi(m[1])
		pos.Column = 1
	}
	message := "cannot be read as YAML or JSON: " + err.Error()
	if hint := kindsof.Templated(data); hint != "" {
		message += "; " + hint
	}
	d.errorAt(pos, "", message)
}

// object decodes one document or one item of a List. path is where it stands inside the document; apiVersion and kind are those of a list's
// items, which need not say them.
func (d *decoder) object(node *yaml.Node, path, apiVersion, kind string) {
	node = resolve(node)
	if d.objects++; d.objects > maxObjects || d.over() || d.problems.full() {
		if d.objects == maxObjects+1 {
			d.errorAt(at(node), path, fmt.Sprintf("the file has more than %d objects%s", maxObjects, splitIt))
		}
		return
	}
	if node.Kind != yaml.MappingNode {
		d.errorAt(at(node), path, "expected an object with apiVersion and kind, found "+describe(node))
		return
	}
	if said, name := scalar(node, "apiVersion"), scalar(node, "kind"); said != "" || name != "" {
		apiVersion, kind = said, name
	} else if kind != "" {
		word := func(s string) *yaml.Node {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Line: node.Line, Column: node.Column}
		}
		node.Content = append([]*yaml.Node{word("apiVersion"), word(apiVersion), word("kind"), word(kind)}, node.Content...)
	}
	item, list := strings.CutSuffix(kind, "List")
	list = list && (apiVersion == "v1" && item == "" || kinds[apiVersion+"/"+item] != nil)
	switch {
	case kinds[apiVersion+"/"+kind] != nil:
		kinds[apiVersion+"/"+kind](d, node, path)
	case list && path != "":
		d.errorAt(at(node), path, "a List cannot stand inside a List")
	case list && item == "":
		d.decodeList(node, path, "", "")
	case list:
		d.decodeList(node, path, apiVersion, item)
	case apiVersion == "" || kind == "":
		d.errorAt(at(node), path, missing(node, apiVersion, kind))
	default:
		d.otherKind(node, path, apiVersion, kind)
	}
}

func (d *decoder) decodeList(node *yaml.Node, path, apiVersion, kind string) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], resolve(node.Content[i+1])
		switch key.Value {
		case "apiVersion", "kind", "metadata":
		case "items":
			if value.Kind != yaml.SequenceNode {
				d.errorAt(at(value), join(path, "items"), "expected a list, found "+describe(value))
				continue
			}
			for j, item := range value.Content {
				d.object(item, fmt.Sprintf("%s[%d]", join(path, "items"), j), apiVersion, kind)
			}
		default:
			d.errorAt(at(key), join(path, key.Value), `unknown field in a List; it has "items"`)
		}
	}
}

// walker makes one for an object of the file. The bounds hold for the whole file.
func (d *decoder) walker(node *yaml.Node) *walker {
	w := newWalker(d.file, d.opts, node)
	w.problems, w.spent, w.began = &d.problems, &d.spent, d.nodes
	return w
}

// decodeInto walks the node as the type of object, a pointer to a struct, and fills that. It returns nil when there are
// errors, which it reports, and otherwise the walker, which knows where fields stand.
func (d *decoder) decodeInto(node *yaml.Node, path string, object any) *walker {
	w := d.walker(node)
	_, w.secret = object.(*v1.Secret)
	before := d.problems.errors
	tree := w.value(node, reflect.TypeOf(object).Elem(), path)
	if d.problems.errors > before {
		return nil
	}
	raw, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(raw, object)
	}
	if err != nil {
		d.errorAt(at(node), path, fmt.Sprintf("cannot be read as a %T: %v", object, err))
		return nil
	}
	return w
}

// report takes over what validation found, with its places.
func (d *decoder) report(w *walker, path string, found manifests.Problems) {
	for _, p := range found {
		p.File, p.Path = d.file, join(path, p.Path)
		p.Position = w.position(p.Path)
		d.problems.add(p)
	}
}

// unique reports a second object of the same kind and name in the file.
func (d *decoder) unique(kind string, object metav1.Object, node *yaml.Node) bool {
	key := kind + " " + strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/")
	if first, ok := d.seen[key]; ok {
		d.errorAt(at(node), "metadata.name", fmt.Sprintf("%s%s is already defined at line %d", strings.ToLower(key[:1]), key[1:], first.Line))
		return false
	}
	if d.seen == nil {
		d.seen = map[string]manifests.Position{}
	}
	d.seen[key] = at(node)
	return true
}

func join(path, field string) string {
	if path == "" || field == "" {
		return path + field
	}
	if field[0] == '[' {
		return path + field
	}
	return path + "." + field
}
