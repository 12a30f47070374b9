package cli

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"reflect"
	"text/template"
)

// maxRendered bounds what a template may make of an answer, in bytes: a template can repeat itself without end.
const maxRendered = 256 << 20

// goTemplate is -o go-template=TEMPLATE, with the functions that kubectl adds.
func goTemplate(text string) (func(io.Writer, any) error, error) {
	if text == "" {
		return nil, errors.New("go-template needs a template: go-template='{{range .items}}{{.metadata.name}}{{\"\\n\"}}{{end}}'")
	}
	t, err := template.New("output").Funcs(template.FuncMap{"exists": exists, "base64decode": base64decode}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("go-template: %w", err)
	}
	return func(w io.Writer, v any) error {
		var out bytes.Buffer
		if err := t.Execute(&bounded{&out, maxRendered}, v); err != nil {
			return fmt.Errorf("go-template: %w", err)
		}
		_, err := data(w).Write(out.Bytes())
		return err
	}, nil
}

// bounded takes only so much.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("the template makes more than %d MiB of the answer", maxRendered>>20)
	}
	return b.w.Write(p)
}

// exists says whether keys and indexes lead to something.
func exists(of any, path ...any) bool {
	v := reflect.ValueOf(of)
	for _, step := range path {
		for v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		switch key := step.(type) {
		case string:
			if v.Kind() != reflect.Map {
				return false
			}
			v = v.MapIndex(reflect.ValueOf(key))
		case int:
			if v.Kind() != reflect.Slice || key < 0 || key >= v.Len() {
				return false
			}
			v = v.Index(key)
		default:
			return false
		}
		if !v.IsValid() {
			return false
		}
	}
	return v.IsValid()
}

func base64decode(text string) (string, error) {
	out, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("base64decode: %w", err)
	}
	return string(out), nil
}
