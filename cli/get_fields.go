package cli

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/util/jsonpath"

	"github.com/solopod/solopod/manifests/spelling"
)

// fieldFilter reads --field-selector, for a kind.
func (s *selection) fieldFilter(k *kind) (func(item) bool, error) {
	if s.fields == "" {
		return func(item) bool { return true }, nil
	}
	selector, err := fields.ParseSelector(s.fields)
	if err != nil {
		return nil, fmt.Errorf("--field-selector: %w", err)
	}
	known := append([]string{"metadata.name"}, k.fields...)
	if !k.cluster {
		known = slices.Insert(known, 1, "metadata.namespace")
	}
	for _, r := range selector.Requirements() {
		if slices.Contains(known, r.Field) {
			continue
		}
		if near := spelling.Nearest(r.Field, known); near != "" {
			return nil, fmt.Errorf("--field-selector: %s cannot be selected by %q; did you mean %q?", k.plural, r.Field, near)
		}
		return nil, fmt.Errorf("--field-selector: %s cannot be selected by %q; what they can: %s", k.plural, r.Field, strings.Join(known, ", "))
	}
	return func(i item) bool {
		object, err := plain(i.object)
		if err != nil {
			return false
		}
		for _, r := range selector.Requirements() {
			equal := fieldText(object, r.Field) == r.Value
			if equal == (r.Operator == "!=") {
				return false
			}
		}
		return true
	}, nil
}

// fieldText is the value of a field, as text; what is not there is empty, as the API server has it, and false for what is true or false.
func fieldText(object any, path string) string {
	for _, name := range strings.Split(path, ".") {
		m, ok := object.(map[string]any)
		if !ok {
			return ""
		}
		object = m[name]
	}
	if object == nil {
		if path == "spec.hostNetwork" {
			return "false"
		}
		return ""
	}
	return fmt.Sprint(object)
}

// sort sorts objects by the field of --sort-by, those without it first.
func (s *selection) sort(list []item) error {
	if s.sortBy == "" {
		return nil
	}
	p := jsonpath.New("sort-by").AllowMissingKeys(true)
	if err := p.Parse(bracedPath(s.sortBy)); err != nil {
		return fmt.Errorf("--sort-by: %w", err)
	}
	values := map[any]any{}
	for _, i := range list {
		object, err := plain(i.object)
		if err != nil {
			return err
		}
		results, err := p.FindResults(object)
		if err != nil {
			return fmt.Errorf("--sort-by: %w", err)
		}
		if len(results) > 0 && len(results[0]) > 0 && results[0][0].IsValid() && !nothing(results[0][0]) {
			values[i.object] = results[0][0].Interface()
		}
	}
	if len(list) > 0 && len(values) == 0 {
		return fmt.Errorf("--sort-by: none of the objects has the field %s", s.sortBy)
	}
	for _, v := range values {
		switch v.(type) {
		case string, int64, float64, bool:
		default:
			return errors.New("--sort-by takes a field that holds a text, a number or a time, not " + s.sortBy)
		}
	}
	slices.SortStableFunc(list, func(a, b item) int { return compareValues(values[a.object], values[b.object]) })
	return nil
}

func nothing(v reflect.Value) bool { return v.Kind() == reflect.Interface && v.IsNil() }

// compareValues compares numbers, times and quantities by what they mean, and other texts so that web-9 is before web-10.
func compareValues(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	x, y := fmt.Sprint(a), fmt.Sprint(b)
	if s, err := time.Parse(time.RFC3339, x); err == nil {
		if t, err := time.Parse(time.RFC3339, y); err == nil {
			return s.Compare(t)
		}
	}
	if s, err := resource.ParseQuantity(x); err == nil {
		if t, err := resource.ParseQuantity(y); err == nil {
			return s.Cmp(t)
		}
	}
	return natural(x, y)
}

// natural compares texts, runs of digits in them as numbers.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 {
			m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
			if c := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n)); c != 0 {
				return c
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits is how long the run of digits at the beginning of a text is.
func digits(text string) int {
	return len(text) - len(strings.TrimLeftFunc(text, func(r rune) bool { return r < unicode.MaxASCII && unicode.IsDigit(r) }))
}
