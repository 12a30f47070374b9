package decode

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/habits"
)

// walker compares a YAML tree with the Go type that it should become. It reports every difference with its place, and
// yields the tree as plain values for encoding/json.
type walker struct {
	file        string
	warnUnknown bool
	// secret: values must not be shown.
	secret    bool
	positions map[string]manifests.Position
	problems  *problemList
	// inside are the objects around the value that is looked at, the outermost first.
	inside []enclosing
	*spent
	began int // what was spent before
}

func newWalker(file string, opts Options, root *yaml.Node) *walker {
	warn := opts.WarnUnknownFields
	if meta := child(root, "metadata"); meta != nil {
		if annotations := child(resolve(meta), "annotations"); annotations != nil {
			warn = warn || scalar(resolve(annotations), unknownFieldsAnnotation) == "warn"
		}
	}
	return &walker{file: file, warnUnknown: warn, positions: map[string]manifests.Position{}}
}

func (w *walker) report(node *yaml.Node, path, message string, warning bool) {
	w.problems.add(manifests.Problem{File: w.file, Position: at(node), Path: path, Message: message, Warning: warning})
}

// position finds the place of a field, or of the nearest parent that stands in the file.
func (w *walker) position(path string) manifests.Position {
	for {
		if pos, ok := w.positions[path]; ok {
			return pos
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut <= 0 {
			return w.positions[""]
		}
		path = path[:cut]
	}
}

var (
	quantityType    = reflect.TypeFor[resource.Quantity]()
	intOrStringType = reflect.TypeFor[intstr.IntOrString]()
	timeType        = reflect.TypeFor[metav1.Time]()
	selectorType    = reflect.TypeFor[metav1.LabelSelector]()
	metaType        = reflect.TypeFor[metav1.ObjectMeta]()
)

// clustersOwn are types whose values are written by a cluster; they say nothing about what should run.
var clustersOwn = map[reflect.Type]bool{
	reflect.TypeFor[v1.PodStatus](): true, reflect.TypeFor[metav1.FieldsV1](): true,
	reflect.TypeFor[v1.PersistentVolumeClaimStatus](): true,
	reflect.TypeFor[appsv1.DeploymentStatus]():        true, reflect.TypeFor[appsv1.ReplicaSetStatus](): true,
	reflect.TypeFor[appsv1.StatefulSetStatus](): true, reflect.TypeFor[appsv1.DaemonSetStatus](): true,
	reflect.TypeFor[v1.ServiceStatus](): true, reflect.TypeFor[v1.NamespaceStatus](): true,
	reflect.TypeFor[batchv1.JobStatus](): true, reflect.TypeFor[batchv1.CronJobStatus](): true,
}

// value checks one node against its type; nil stands for null.
func (w *walker) value(node *yaml.Node, t reflect.Type, path string) any {
	node = resolve(node)
	if _, ok := w.positions[path]; !ok {
		w.positions[path] = at(node)
	}
	if w.problems.full() || !w.spend(node, path) {
		return nil
	}
	if isNull(node) {
		return nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case quantityType:
		return w.quantity(node, path)
	case intOrStringType:
		if node.Kind == yaml.ScalarNode && node.Tag == "!!int" {
			return w.integer(node, 32, path)
		}
		return w.text(node, path)
	case timeType:
		return w.time(node, path)
	}
	if clustersOwn[t] {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return w.object(node, t, path)
	case reflect.Map:
		return w.dictionary(node, t, path)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return w.bytes(node, path)
		}
		return w.list(node, t, path)
	case reflect.String:
		return w.text(node, path)
	case reflect.Bool:
		return w.boolean(node, path)
	case reflect.Int32:
		return w.integer(node, 32, path)
	case reflect.Int, reflect.Int64:
		return w.integer(node, 64, path)
	default:
		w.report(node, path, "a field of type "+t.String()+" is not supported", false)
		return nil
	}
}

// object walks a struct's fields, those of embedded structs included.
func (w *walker) object(node *yaml.Node, t reflect.Type, path string) any {
	if node.Kind != yaml.MappingNode {
		w.report(node, path, "expected an object, found "+w.describe(node)+w.asObject(node, t), false)
		return nil
	}
	fields := fieldsOf(t)
	out := map[string]any{}
	w.inside = append(w.inside, enclosing{t, path})
	defer func() { w.inside = w.inside[:len(w.inside)-1] }()
	for _, pair := range w.pairs(node, path) {
		if w.problems.full() {
			return nil
		}
		name := pair.key.Value
		fieldPath := join(path, name)
		f, ok := fields[name]
		if !ok {
			w.unknownField(pair.key, fieldPath, name, t)
			continue
		}
		w.positions[fieldPath] = at(pair.key)
		if !w.admitted(pair.key, pair.value, f, fieldPath) {
			continue
		}
		if v := w.value(pair.value, f.typ, fieldPath); v != nil {
			out[name] = v
		}
	}
	if from := child(node, "generateName"); t == metaType && path == "metadata" && from != nil && !isEmpty(from) && out["name"] == nil {
		w.report(from, "metadata.generateName", "an object of a manifest needs a name of its own: set metadata.name", false)
	}
	return out
}

// spend counts a value, and reports the one that is too much.
func (w *walker) spend(node *yaml.Node, path string) bool {
	if w.over() {
		return false
	}
	w.nodes++
	w.scalars += len(node.Value)
	if w.over() {
		w.report(node, path, expanding, false)
		return false
	}
	return true
}

// admitted applies the table of supported fields. A refused field that holds an empty value says nothing and passes.
func (w *walker) admitted(key, value *yaml.Node, f field, path string) bool {
	s := supportOf(f.owner, f.name)
	switch s.kind {
	case implemented:
		return true
	case withoutEffect:
		if s.reason != "" && !isEmpty(value) {
			w.report(key, path, "accepted without effect: "+s.reason, true)
		}
		return true
	default:
		if isEmpty(value) {
			return false
		}
		w.report(key, path, s.reason, false)
		return false
	}
}

func (w *walker) dictionary(node *yaml.Node, t reflect.Type, path string) any {
	if node.Kind != yaml.MappingNode {
		w.report(node, path, "expected a map, found "+w.describe(node), false)
		return nil
	}
	out := map[string]any{}
	for _, pair := range w.pairs(node, path) {
		entry := join(path, pair.key.Value)
		w.positions[entry] = at(pair.key)
		if name := pair.key.Value; (name == "matchLabels" || name == "matchExpressions") && t.Elem().Kind() == reflect.String && resolve(pair.value).Kind != yaml.ScalarNode {
			w.report(pair.key, entry, "labels stand here themselves, without "+name, false)
			continue
		}
		v := w.value(pair.value, t.Elem(), entry)
		if v == nil && t.Elem().Kind() == reflect.String {
			v = ""
		}
		if v != nil {
			out[pair.key.Value] = v
		}
	}
	return out
}

func (w *walker) list(node *yaml.Node, t reflect.Type, path string) any {
	if node.Kind != yaml.SequenceNode {
		w.report(node, path, "expected a list, found "+w.describe(node)+w.asList(node, t.Elem()), false)
		return nil
	}
	out := make([]any, 0, len(node.Content))
	for i, item := range node.Content {
		entry := fmt.Sprintf("%s[%d]", path, i)
		v := w.value(item, t.Elem(), entry)
		if v == nil && isNull(resolve(item)) {
			w.report(item, entry, "the item is empty", false)
			continue
		}
		out = append(out, v)
	}
	return out
}

// bytes are written in base64, which may be broken into lines.
func (w *walker) bytes(node *yaml.Node, path string) any {
	if node.Kind != yaml.ScalarNode {
		w.report(node, path, "expected a string in base64, found "+w.describe(node), false)
		return nil
	}
	text := strings.Join(strings.Fields(node.Value), "")
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		message := "its value is not base64"
		if w.secret {
			message += "; a Secret's plain text goes into stringData"
		}
		w.report(node, path, message, false)
		return nil
	}
	return text
}

// describe names a value for a message; a Secret's is not shown.
func (w *walker) describe(node *yaml.Node) string {
	if !w.secret || node.Kind != yaml.ScalarNode || isNull(node) {
		return describe(node)
	}
	switch node.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	}
	if node.Style == 0 && isOldBoolean(node.Value) {
		return "a boolean"
	}
	return "a string"
}

func (w *walker) text(node *yaml.Node, path string) any {
	if node.Kind != yaml.ScalarNode {
		w.report(node, path, "expected a string, found "+w.describe(node), false)
		return nil
	}
	switch {
	case node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return node.Value
	case node.Tag == "!!int", node.Tag == "!!float", node.Tag == "!!bool", isOldBoolean(node.Value):
		hint := fmt.Sprintf("; quote it: %q", node.Value)
		if w.secret {
			hint = "; quote it"
		}
		w.report(node, path, "expected a string, found "+w.describe(node)+hint, false)
		return nil
	}
	return node.Value
}

func (w *walker) boolean(node *yaml.Node, path string) any {
	if node.Kind == yaml.ScalarNode && node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0 {
		switch strings.ToLower(node.Value) {
		case "true", "yes", "on", "y":
			return true
		case "false", "no", "off", "n":
			return false
		}
	}
	message := "expected true or false, found " + w.describe(node)
	if node.Kind == yaml.ScalarNode && node.Style != 0 && (node.Value == "true" || node.Value == "false") {
		message += "; write it without quotes"
	}
	w.report(node, path, message, false)
	return nil
}

func (w *walker) integer(node *yaml.Node, bits int, path string) any {
	var n int64
	if node.Kind != yaml.ScalarNode || node.Tag != "!!int" || node.Decode(&n) != nil {
		message := "expected a whole number, found " + w.describe(node)
		if hint := habits.Number(node.Value); hint != "" && node.Kind == yaml.ScalarNode {
			message += "; " + hint
		}
		w.report(node, path, message, false)
		return nil
	}
	if bits == 32 && (n > math.MaxInt32 || n < math.MinInt32) {
		w.report(node, path, "the number "+strconv.FormatInt(n, 10)+" does not fit into 32 bits", false)
		return nil
	}
	return n
}

func (w *walker) quantity(node *yaml.Node, path string) any {
	if node.Kind != yaml.ScalarNode {
		w.report(node, path, "expected a quantity like 100m or 64Mi, found "+w.describe(node), false)
		return nil
	}
	if _, err := resource.ParseQuantity(node.Value); err != nil {
		message := fmt.Sprintf("invalid quantity %q", node.Value)
		if n, ok := strings.CutSuffix(strings.ToLower(node.Value), "mi"); ok && strings.HasSuffix(path, ".cpu") {
			message += "; did you mean " + strconv.Quote(n+"m") + "?"
		} else if hint := quantityHint(node.Value); hint != "" {
			message += "; did you mean " + strconv.Quote(hint) + "?"
		} else {
			message += "; write a number with an optional suffix: m, k, M, G, Ki, Mi, Gi"
		}
		w.report(node, path, message, false)
		return nil
	}
	return node.Value
}

// quantityHint mends the common slips: 64MB, 64mi, 64 Mi.
func quantityHint(s string) string {
	fixed := strings.ReplaceAll(s, " ", "")
	for _, try := range []string{fixed, strings.TrimSuffix(strings.TrimSuffix(fixed, "B"), "b")} {
		for from, to := range map[string]string{"": "", "mi": "Mi", "gi": "Gi", "ki": "Ki", "MI": "Mi", "GI": "Gi", "KI": "Ki", "g": "G", "K": "k"} {
			if strings.HasSuffix(try, from) {
				candidate := strings.TrimSuffix(try, from) + to
				if _, err := resource.ParseQuantity(candidate); err == nil && candidate != s {
					return candidate
				}
			}
		}
	}
	return ""
}

func (w *walker) time(node *yaml.Node, path string) any {
	if node.Kind == yaml.ScalarNode {
		if _, err := time.Parse(time.RFC3339, node.Value); err == nil {
			return node.Value
		}
	}
	w.report(node, path, "expected a time like 2026-01-31T12:00:00Z, found "+w.describe(node), false)
	return nil
}
