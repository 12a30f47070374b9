package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
	v1 "k8s.io/api/core/v1"
)

// maxFileSize bounds what is read from one manifest; etcd's limit for one object is 1.5 MiB.
const maxFileSize = 4 << 20

// unknownFieldsAnnotation on a pod, with the value "warn", turns unknown fields into warnings.
const unknownFieldsAnnotation = "solopod.io/unknown-fields"

// OOMGroupAnnotation on a pod says whether a container ends as a whole when one of its processes is killed for memory:
// "true" or "false". It has an effect with cgroup v2.
const OOMGroupAnnotation = "solopod.io/oom-group"

// Options change how strict decoding is.
type Options struct {
	// WarnUnknownFields accepts fields that Kubernetes does not know, with a warning.
	WarnUnknownFields bool
}

// Decode reads all pods of one file: YAML or JSON, several documents, and v1.List. The pods are defaulted and valid
// when the problems hold no error; otherwise no pods are returned. file is only used in messages.
func Decode(file string, data []byte, opts Options) ([]*v1.Pod, Problems) {
	d := &decoder{file: file, opts: opts}
	if len(data) > maxFileSize {
		d.errorAt(Position{}, "", fmt.Sprintf("the file has %d bytes; at most %d are read", len(data), maxFileSize))
		return nil, d.problems
	}
	d.documents(data)
	d.rejectTwins()
	d.problems.sort()
	if len(d.problems.Errors()) > 0 {
		return nil, d.problems
	}
	pods := make([]*v1.Pod, len(d.pods))
	for i, p := range d.pods {
		pods[i] = p.pod
	}
	return pods, d.problems
}

type decodedPod struct {
	pod      *v1.Pod
	position Position
}

type decoder struct {
	file     string
	opts     Options
	pods     []decodedPod
	problems Problems
	nodes    int
}

func (d *decoder) errorAt(pos Position, path, message string) {
	d.problems = append(d.problems, Problem{File: d.file, Position: pos, Path: path, Message: message})
}

func (d *decoder) documents(data []byte) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
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
			d.syntaxError(err)
			return
		}
		if len(doc.Content) == 0 || isNull(doc.Content[0]) {
			continue
		}
		found = true
		d.object(doc.Content[0], "")
	}
	if !found {
		d.errorAt(Position{}, "", "the file holds no object; to stop its pods delete the file")
	}
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

func (d *decoder) syntaxError(err error) {
	pos := Position{}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		pos.Line, _ = strconv.Atoi(m[1])
		pos.Column = 1
	}
	d.errorAt(pos, "", "cannot be read as YAML or JSON: "+err.Error())
}

// object decodes one document or one item of a List. path is where it stands inside the document.
func (d *decoder) object(node *yaml.Node, path string) {
	node = resolve(node)
	if node.Kind != yaml.MappingNode {
		d.errorAt(at(node), path, "expected an object with apiVersion and kind, found "+describe(node))
		return
	}
	apiVersion, kind := scalar(node, "apiVersion"), scalar(node, "kind")
	switch {
	case apiVersion == "v1" && kind == "Pod":
		d.decodePod(node, path)
	case apiVersion == "v1" && (kind == "List" || kind == "PodList") && path != "":
		d.errorAt(at(node), path, "a List cannot stand inside a List")
	case apiVersion == "v1" && (kind == "List" || kind == "PodList"):
		d.decodeList(node, path)
	case apiVersion == "" || kind == "":
		d.errorAt(at(node), path, `apiVersion and kind are required; a pod has "apiVersion: v1" and "kind: Pod"`)
	case apiVersion == "v1" && nearest(kind, []string{"Pod", "List"}) != "" && !isOtherKind(kind):
		d.errorAt(at(child(node, "kind")), join(path, "kind"),
			fmt.Sprintf("unknown kind %q; did you mean %q?", kind, nearest(kind, []string{"Pod", "List"})))
	default:
		d.errorAt(at(child(node, "kind")), join(path, "kind"),
			fmt.Sprintf("%s/%s is not implemented by this version of Solopod; v1/Pod and v1/List are", apiVersion, kind))
	}
}

func isOtherKind(kind string) bool {
	switch kind {
	case "ConfigMap", "Secret", "Node", "Job", "Role", "Event":
		return true
	}
	return false
}

func (d *decoder) decodeList(node *yaml.Node, path string) {
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
				d.object(item, fmt.Sprintf("%s[%d]", join(path, "items"), j))
			}
		default:
			d.errorAt(at(key), join(path, key.Value), `unknown field in a List; it has "items"`)
		}
	}
}

func (d *decoder) decodePod(node *yaml.Node, path string) {
	w := newWalker(d.file, d.opts, node)
	w.nodes = d.nodes // the bound holds for the whole file
	defer func() { d.nodes = w.nodes }()
	tree := w.value(node, reflect.TypeFor[v1.Pod](), path)
	d.problems = append(d.problems, w.problems...)
	if len(w.problems.Errors()) > 0 {
		return
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		d.errorAt(at(node), path, err.Error())
		return
	}
	pod := &v1.Pod{}
	if err := json.Unmarshal(raw, pod); err != nil {
		d.errorAt(at(node), path, "cannot be read as a v1.Pod: "+err.Error())
		return
	}
	pod.Status = v1.PodStatus{}
	setDefaults(pod)
	found := validatePod(pod)
	for i := range found {
		found[i].File = d.file
		found[i].Position = w.position(join(path, found[i].Path))
		found[i].Path = join(path, found[i].Path)
	}
	d.problems = append(d.problems, found...)
	d.pods = append(d.pods, decodedPod{pod, at(node)})
}

// rejectTwins reports two pods of one name in the file.
func (d *decoder) rejectTwins() {
	seen := map[string]Position{}
	for _, p := range d.pods {
		key := Key(p.pod)
		if first, ok := seen[key]; ok {
			d.errorAt(p.position, "metadata.name", fmt.Sprintf("pod %s is already defined at line %d", key, first.Line))
			continue
		}
		seen[key] = p.position
	}
}

// Key names a pod as users do: namespace/name.
func Key(pod *v1.Pod) string { return pod.Namespace + "/" + pod.Name }

func join(path, field string) string {
	if path == "" || field == "" {
		return path + field
	}
	if field[0] == '[' {
		return path + field
	}
	return path + "." + field
}
