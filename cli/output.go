package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/cli/visible"
)

// outputHelp lists the forms that print knows.
const outputHelp = "wide, json, yaml, name, jsonpath=TEMPLATE or custom-columns=NAME:PATH,..."

// print writes an answer in the chosen form. JSON is the same with w's escapes as without; of the other forms for programs only what
// goes to a terminal is escaped.
func (s *selection) print(w io.Writer, v any, t table, names ...string) error {
	form, argument, _ := strings.Cut(s.output, "=")
	switch form {
	case "", "wide":
		return t.write(w)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "    ")
		return e.Encode(v)
	case "yaml":
		text, err := toYAML(v)
		if err != nil {
			return err
		}
		_, err = data(w).Write(text)
		return err
	case "name":
		for _, name := range names {
			if _, err := fmt.Fprintln(data(w), name); err != nil {
				return err
			}
		}
		return nil
	case "jsonpath":
		object, err := plain(v)
		if err != nil {
			return err
		}
		text, err := byPath(argument, object)
		if err != nil {
			return err
		}
		_, err = io.WriteString(data(w), text)
		return err
	case "custom-columns":
		return customColumns(w, argument, v)
	}
	return fmt.Errorf("-o takes %s, not %q", outputHelp, s.output)
}

// beyondYAML are characters, beside the controls, that JSON may hold as they are and YAML may not.
var beyondYAML = strings.NewReplacer("\uFFFE", `\ufffe`, "\uFFFF", `\uffff`)

// toYAML is an object as YAML. yaml.Marshal goes by JSON as well, and fails with a message of a container that holds such characters.
func toYAML(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML([]byte(beyondYAML.Replace(visible.Text(string(text)))))
}

// plain turns an object into what JSON is made of, which is what paths lead through.
func plain(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	return out, json.Unmarshal(data, &out)
}

// byPath evaluates a template of kubectl's: {.metadata.name}, {range .items[*]}...{end}.
func byPath(template string, data any) (string, error) {
	p := jsonpath.New("output").AllowMissingKeys(true)
	if err := p.Parse(template); err != nil {
		return "", fmt.Errorf("jsonpath: %w", err)
	}
	var out bytes.Buffer
	if err := p.Execute(&out, data); err != nil {
		return "", fmt.Errorf("jsonpath: %w", err)
	}
	return out.String(), nil
}

// customColumns prints a table of paths, one row for each item.
func customColumns(w io.Writer, columns string, v any) error {
	if columns == "" {
		return errors.New("custom-columns needs columns: custom-columns=NAME:.metadata.name,NODE:.spec.nodeName")
	}
	t := table{}
	var paths []string
	for _, column := range strings.Split(columns, ",") {
		name, path, ok := strings.Cut(column, ":")
		if !ok {
			return fmt.Errorf("custom-columns: %q is no NAME:PATH", column)
		}
		if !strings.HasPrefix(path, "{") {
			path = "{" + path + "}"
		}
		t.header, paths = append(t.header, name), append(paths, path)
	}
	data, err := plain(v)
	if err != nil {
		return err
	}
	for _, item := range items(data) {
		var row []string
		for _, path := range paths {
			text, err := byPath(path, item)
			if err != nil {
				return err
			}
			row = append(row, orNone(text))
		}
		t.rows = append(t.rows, row)
	}
	return t.write(w)
}

// items are those of a list, whatever it calls them, or the one object.
func items(data any) []any {
	object, ok := data.(map[string]any)
	if !ok {
		return []any{data}
	}
	for _, key := range []string{"items", "images", "files", "containers"} {
		if list, ok := object[key].([]any); ok {
			return list
		}
	}
	return []any{data}
}
