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
var valued = []string{"seccompDefault", "manifestKeyFile", "manifestVersions", "auditLog", "auditLogMaxSize", "podSecurity", "policy"}

// readText takes the settings of a configuration file over.
func (c *config) readText(text []byte) error {
	if err := checkDocuments(text); err != nil {
		return err
	}
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(data, &given); err != nil {
		return errors.New(`expected settings, a line each, like "podSecurity: baseline"`)
	}
	fields, names := map[string]int{}, []string{}
	t := reflect.TypeFor[config]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name], names = i, append(names, name)
	}
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		name := key
		if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, key) }); i >= 0 { // as encoding/json has it
			name = names[i]
		}
		i, known := fields[name]
		if !known {
			return unknownSetting(key, names)
		}
		if other := seen[name]; other != "" {
			return fmt.Errorf("%s is set twice, as %s and as %s", name, other, key)
		}
		seen[name] = key
		if err := set(reflect.ValueOf(c).Elem().Field(i), name, given[key]); err != nil {
			return err
		}
	}
	return nil
}

// checkDocuments refuses what would not be read: YAML has several documents in a file, and a second one is what becomes of a file that
// was appended to this one.
func checkDocuments(text []byte) error {
	documents := yamlv3.NewDecoder(bytes.NewReader(text))
	for n := 0; ; {
		var node yamlv3.Node
		err := documents.Decode(&node)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if node.IsZero() || len(node.Content) == 1 && node.Content[0].Tag == "!!null" { // empty, but for comments
			continue
		}
		if n++; n > 1 {
			return fmt.Errorf("line %d: a second document begins before here (---), which would not be read: put all settings into one", node.Content[0].Line)
		}
	}
}

func set(field reflect.Value, name string, value json.RawMessage) error {
	if string(value) == "null" && slices.Contains(valued, name) {
		return fmt.Errorf("%s has no value; give it one, or leave it away", name)
	}
	err := json.Unmarshal(value, field.Addr().Interface())
	if _, ok := field.Interface().(metav1.Duration); ok && err != nil {
		return fmt.Errorf("%s is a duration like 30s or 1m30s, not %s", name, value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, spelling.Expected(err))
	}
	return nil
}

func unknownSetting(key string, names []string) error {
	if near := spelling.Nearest(key, names); near != "" {
		return fmt.Errorf("unknown field %q; did you mean %q?", key, near)
	}
	return fmt.Errorf("unknown field %q: no setting has such a name", key)
}
