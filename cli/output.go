package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests/spelling"
	"github.com/solopod/solopod/runner/foreign"
)

// outputHelp lists the forms of output, but for those that are no more than other ways to give a template.
const outputHelp = "wide, json, yaml, name, jsonpath=TEMPLATE, go-template=TEMPLATE or custom-columns=NAME:PATH,..."

// output is a form that answers are printed in.
type output struct {
	name string
	// render writes objects in one of the forms with a template.
	render func(w io.Writer, v any) error
}

// table says whether it is a table of kinds' own columns, which is for people.
func (o output) table() bool { return o.name == "" || o.name == "wide" }

// forPeople says whether nothing can be told as a sentence: programs take an empty list.
func (o output) forPeople() bool { return o.table() || o.name == "name" }

// maxTemplate is the longest file of a template, in bytes.
const maxTemplate = 1 << 20

// form reads -o, with --template.
func (s *selection) form() (output, error) {
	name, argument, given := strings.Cut(s.output, "=")
	if !given && s.template != "" {
		if name == "" {
			name = "go-template" // as kubectl
		}
		argument = s.template
	}
	fromFile := false
	switch name {
	case "jsonpath-file", "go-template-file", "custom-columns-file":
		name, fromFile = strings.TrimSuffix(name, "-file"), true
	case "template":
		name = "go-template"
	case "templatefile":
		name, fromFile = "go-template", true
	}
	o := output{name: name}
	if fromFile {
		text, err := foreign.ReadFile(argument, maxTemplate)
		if err != nil {
			return o, fmt.Errorf("cannot read the template of -o: %w", err)
		}
		argument = string(text)
		if name == "custom-columns" {
			argument = columnsOfFile(argument)
		}
	}
	var err error
	switch name {
	case "", "wide", "json", "yaml", "name":
		if given {
			return o, fmt.Errorf("-o %s takes nothing behind it", name)
		}
	case "jsonpath":
		o.render, err = jsonPathForm(argument)
	case "jsonpath-as-json":
		o.render, err = jsonPathAsJSON(argument)
	case "go-template":
		o.render, err = goTemplate(argument)
	case "custom-columns":
		o.render, err = customColumns(argument, s.noHeaders)
	default:
		forms := []string{"wide", "json", "yaml", "name", "jsonpath", "jsonpath-file", "jsonpath-as-json", "go-template", "go-template-file", "custom-columns", "custom-columns-file"}
		near := ""
		if n := spelling.Nearest(name, forms); n != "" {
			near = fmt.Sprintf("; did you mean %q?", n)
		}
		return o, fmt.Errorf("-o takes %s, not %q%s", outputHelp, s.output, near)
	}
	return o, err
}

// print writes an answer in the form that was chosen, or as a table.
func (s *selection) print(w io.Writer, v any, t table, names ...string) error {
	form, err := s.form()
	if err != nil {
		return err
	}
	if form.table() {
		if s.noHeaders {
			t.header = nil
		}
		return t.write(w)
	}
	return form.print(w, v, names)
}

// print writes an answer that is no table. JSON is the same with w's escapes as without; of the other forms for programs only what goes to
// a terminal is escaped.
func (o output) print(w io.Writer, v any, names []string) error {
	switch o.name {
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
	}
	object, err := plain(v)
	if err != nil {
		return err
	}
	return o.render(w, object)
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
	return out, utiljson.Unmarshal(data, &out) // whole numbers stay whole: 5242880, not 5.24288e+06
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

// jsonPathForm is -o jsonpath=TEMPLATE.
func jsonPathForm(template string) (func(io.Writer, any) error, error) {
	if template == "" {
		return nil, errors.New("jsonpath needs a template: jsonpath='{.items[*].metadata.name}'")
	}
	if err := jsonpath.New("output").Parse(template); err != nil {
		return nil, fmt.Errorf("jsonpath: %w", err)
	}
	return func(w io.Writer, v any) error {
		text, err := byPath(template, v)
		if err != nil {
			return err
		}
		_, err = io.WriteString(data(w), text)
		return err
	}, nil
}

// jsonPathAsJSON prints what a path leads to as a list in JSON, as kubectl.
func jsonPathAsJSON(template string) (func(io.Writer, any) error, error) {
	p := jsonpath.New("output").AllowMissingKeys(true)
	if err := p.Parse(template); err != nil {
		return nil, fmt.Errorf("jsonpath: %w", err)
	}
	return func(w io.Writer, v any) error {
		results, err := p.FindResults(v)
		if err != nil {
			return fmt.Errorf("jsonpath: %w", err)
		}
		list := []any{}
		for _, result := range results {
			for _, value := range result {
				list = append(list, value.Interface())
			}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "    ")
		return e.Encode(list)
	}, nil
}

// customColumns is -o custom-columns: a table of paths, one row for each item.
func customColumns(columns string, noHeaders bool) (func(io.Writer, any) error, error) {
	if columns == "" {
		return nil, errors.New("custom-columns needs columns: custom-columns=NAME:.metadata.name,NODE:.spec.nodeName")
	}
	header, paths := []string{}, []string{}
	for _, column := range strings.Split(columns, ",") {
		name, path, ok := strings.Cut(column, ":")
		if !ok {
			return nil, fmt.Errorf("custom-columns: %q is no NAME:PATH", column)
		}
		path = bracedPath(path)
		if err := jsonpath.New("output").Parse(path); err != nil {
			return nil, fmt.Errorf("custom-columns: %s: %w", name, err)
		}
		header, paths = append(header, name), append(paths, path)
	}
	return func(w io.Writer, v any) error {
		t := table{header: header}
		if noHeaders {
			t.header = nil
		}
		for _, item := range items(v) {
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
	}, nil
}

// columnsOfFile reads a file of custom columns: a line of names, and one of paths below them.
func columnsOfFile(text string) string {
	names, paths, _ := strings.Cut(strings.TrimSpace(text), "\n")
	var out []string
	below := strings.Fields(paths)
	for i, name := range strings.Fields(names) {
		if i < len(below) {
			name += ":" + below[i]
		}
		out = append(out, name)
	}
	return strings.Join(out, ",")
}

// bracedPath is a path as a template: kubectl takes metadata.name, .metadata.name and {.metadata.name}.
func bracedPath(path string) string {
	if strings.HasPrefix(path, "{") {
		return path
	}
	if !strings.HasPrefix(path, ".") && !strings.HasPrefix(path, "[") {
		path = "." + path
	}
	return "{" + path + "}"
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
