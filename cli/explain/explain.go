package explain

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/solopod/solopod/manifests/decode"
)

// Answer is what there is to say of a field, or of a kind as a whole.
type Answer struct {
	Group, Version, Kind string
	// Field is the field that was asked for; its name is empty where it was a kind.
	Field
	// Fields are those of the field's type, where it has some.
	Fields []Field
}

// Field is one of the Kubernetes API.
type Field struct {
	Name, Type string
	Required   bool
	// Doc is the API's own text.
	Doc string
	// Does is what Solopod does with it, Reason why; of a kind as a whole they are empty.
	Does   decode.Does
	Reason string
	typ    reflect.Type
}

// Look finds a field by its path, as pod.spec.containers.livenessProbe, with or without [0] after a list.
func Look(path string) (*Answer, error) {
	words := strings.Split(strings.TrimSuffix(path, "."), ".")
	k, err := find(words[0])
	if err != nil {
		return nil, err
	}
	a := &Answer{Group: k.group.Group, Version: k.group.Version, Kind: k.name(), Field: Field{typ: k.typ, Doc: docs(k.typ)[""]}}
	for i, word := range words[1:] {
		word, _, _ = strings.Cut(word, "[")
		fields := fieldsOf(a.typ)
		found := false
		for _, f := range fields {
			if f.Name == word {
				a.Field, found = f.below(&a.Field), true
				break
			}
		}
		if !found {
			return nil, noSuchField(strings.Join(words[:i+1], "."), word, a.typ, fields)
		}
	}
	a.Fields = a.inner()
	return a, nil
}

// below is a field as it counts within another one: what lies in a field that is refused or has no effect shares its fate.
func (f Field) below(above *Field) Field {
	if above.Does == decode.Refused || above.Does == decode.WithoutEffect {
		f.Does, f.Reason = above.Does, above.Reason
	}
	return f
}

// inner are the fields of a field, with no word about those that share its fate.
func (f *Field) inner() []Field {
	out := fieldsOf(f.typ)
	if f.Does == decode.Refused || f.Does == decode.WithoutEffect {
		for i := range out {
			out[i].Does, out[i].Reason = "", ""
		}
	}
	return out
}

func noSuchField(of, word string, typ reflect.Type, fields []Field) error {
	if len(fields) == 0 {
		return fmt.Errorf("%s has no fields: it is a %s", of, typeName(typ))
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	if near := meant(word, names); near != "" {
		return fmt.Errorf("%s has no field %q%s", of, word, near)
	}
	return fmt.Errorf("%s has no field %q; it has %s", of, word, strings.Join(names, ", "))
}

// docs are the API's own texts about a type, by field; that of the type has no name.
func docs(t reflect.Type) map[string]string {
	if d, ok := reflect.New(t).Elem().Interface().(interface{ SwaggerDoc() map[string]string }); ok {
		return d.SwaggerDoc()
	}
	return nil
}

// inside is what a list, map or pointer is of, at its innermost.
func inside(t reflect.Type) reflect.Type {
	for {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			t = t.Elem()
		default:
			return t
		}
	}
}

// fieldsOf are the fields of what a type is of, those of types that it embeds in their place.
func fieldsOf(t reflect.Type) []Field {
	t = inside(t)
	if t.Kind() != reflect.Struct || scalar(t) {
		return nil
	}
	var out []Field
	texts := docs(t)
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case name == "":
			if f.Anonymous {
				out = append(out, fieldsOf(f.Type)...)
			}
		default:
			does, reason := decode.DoesWith(t.Name(), name)
			out = append(out, Field{
				Name: name, Type: typeName(f.Type), Doc: texts[name], Does: does, Reason: reason, typ: f.Type,
				Required: !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero"),
			})
		}
	}
	return out
}

// scalar says whether a struct is written as one value.
func scalar(t reflect.Type) bool {
	switch t.Name() {
	case "Quantity", "Time", "MicroTime", "IntOrString", "Duration", "FieldsV1":
		return true
	}
	return false
}

// typeName is how a type is called, as by kubectl.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string"
		}
		return "[]" + typeName(t.Elem())
	case reflect.Map:
		return "map[" + typeName(t.Key()) + "]" + typeName(t.Elem())
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	}
	return t.Name()
}
