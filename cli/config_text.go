package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/manifests/spelling"
)

// valued are settings that are worth nothing without a value, and whose loss nobody would notice: what they demand would just not be so.
var valued = []string{"seccompDefault", "manifestKeyFile", "manifestVersions", "bundleKeyFile", "auditLog", "auditLogMaxSize", "podSecurity", "policy", "systemReserved", "kubeReserved"}

// given are the settings of a configuration file: where the value of each stands, by the setting's name.
type given map[string]*yamlv3.Node

// readText takes the settings of a configuration file over. It returns where they stand, also when something is wrong with some.
func (c *config) readText(text []byte) (given, settingErrors) {
	document, err := onlyDocument(text)
	if err != nil {
		return nil, settingErrors{textError(err).found(text, err, func(text []byte) error {
			_, err := onlyDocument(text)
			return err
		})}
	}
	places := given{}
	if document == nil {
		return places, nil
	}
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, settingErrors{textError(err).found(text, err, func(text []byte) error {
			_, err := yaml.YAMLToJSONStrict(text)
			return err
		})}
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, settingErrors{{at: document, err: errors.New(`expected settings, a line each, like "podSecurity: baseline"`)}}
	}
	fields, names := settingFields()
	keys := keysOf(document)
	var wrong settingErrors
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := key
		if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, key) }); i >= 0 { // as encoding/json has it
			name = names[i]
		}
		field, known := fields[name]
		_, twice := places[name]
		switch {
		case !known:
			wrong = append(wrong, settingError{at: keys[key].key, err: unknownSetting(key, names)})
		case twice:
			wrong = append(wrong, settingError{at: keys[key].key, err: fmt.Errorf("%s is set twice, also by another spelling", name)})
		default:
			places[name] = keys[key].value
			if err := set(reflect.ValueOf(c).Elem().Field(field), name, values[key]); err != nil {
				wrong = append(wrong, settingError{key: name, at: keys[key].value, err: err})
			}
		}
	}
	return places, wrong
}

// pair is where a setting stands in a file.
type pair struct{ key, value *yamlv3.Node }

// keysOf are the keys of a mapping, with those that are merged into it (<<), which may be a list of mappings.
func keysOf(mapping *yamlv3.Node) map[string]pair {
	out := map[string]pair{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		if key.Tag != "!!merge" {
			out[key.Value] = pair{key, value}
			continue
		}
		merged := []*yamlv3.Node{value}
		if value.Kind == yamlv3.SequenceNode {
			merged = value.Content
		}
		for _, from := range merged {
			if from.Kind == yamlv3.AliasNode {
				from = from.Alias
			}
			if from.Kind != yamlv3.MappingNode {
				continue
			}
			for j := 0; j+1 < len(from.Content); j += 2 { // one level will do: others have places, or none
				if _, own := out[from.Content[j].Value]; !own {
					out[from.Content[j].Value] = pair{from.Content[j], from.Content[j+1]}
				}
			}
		}
	}
	return out
}

// settingFields are the settings' names, in their order, and which field of the configuration each is.
func settingFields() (fields map[string]int, names []string) {
	fields = map[string]int{}
	t := reflect.TypeFor[config]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name], names = i, append(names, name)
	}
	return fields, names
}

// onlyDocument is the file's one document, nil where it has none. What would not be read is refused: YAML has several documents in a file,
// and a second one is what becomes of a file that was appended to this one.
func onlyDocument(text []byte) (*yamlv3.Node, error) {
	var first *yamlv3.Node
	for documents := yamlv3.NewDecoder(bytes.NewReader(text)); ; {
		var node yamlv3.Node
		err := documents.Decode(&node)
		if errors.Is(err, io.EOF) {
			return first, nil
		}
		if err != nil {
			return nil, err
		}
		if node.IsZero() || len(node.Content) == 1 && node.Content[0].Tag == "!!null" { // empty, but for comments
			continue
		}
		if first != nil {
			return nil, settingError{at: node.Content[0], err: errors.New("a second document begins before here (---), which would not be read: put all settings into one")}
		}
		first = node.Content[0]
	}
}

// set gives a setting its value.
func set(field reflect.Value, name string, data json.RawMessage) error {
	if string(data) == "null" && slices.Contains(valued, name) {
		return fmt.Errorf("has no value; give it one (%s), or leave it away", settingForms[name])
	}
	if field.Kind() == reflect.Map { // what is given replaces the default as a whole
		field.SetZero()
	}
	err := json.Unmarshal(data, field.Addr().Interface())
	if err == nil {
		return nil
	}
	if _, ok := field.Interface().(metav1.Duration); ok {
		return fmt.Errorf("%s is no duration; it is %s", data, settingForms[name])
	}
	wrong := spelling.Expected(err)
	if !strings.HasPrefix(wrong.Error(), "expected") { // it says what is wanted
		return wrong
	}
	return fmt.Errorf("%w; it is %s", wrong, settingForms[name])
}

func unknownSetting(key string, names []string) error {
	if near := spelling.Nearest(key, names); near != "" {
		return fmt.Errorf("unknown setting %q; did you mean %q?", key, near)
	}
	return fmt.Errorf("unknown setting %q: no setting has such a name", key)
}
