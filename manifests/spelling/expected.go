package spelling

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Expected says in plain words what a value should be, where err is encoding/json's of one that is of another type. Other errors it
// returns as they are.
func Expected(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	found, detail, _ := strings.Cut(wrong.Value, " ")
	name, ok := map[string]string{"string": "a text", "number": "a number", "array": "a list", "object": "an object", "bool": "true or false"}[found]
	if !ok {
		return err
	}
	if detail != "" {
		name = "the number " + detail
	}
	want := ""
	switch wrong.Type.Kind() {
	case reflect.Bool:
		want = "true or false, without quotes"
	case reflect.String:
		want = "a text"
		if found == "number" || found == "bool" {
			want += ", in quotes"
		}
	case reflect.Slice, reflect.Array:
		want = "a list like [a, b]"
	case reflect.Map, reflect.Struct:
		want = "an object like {key: value}"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		want = "a whole number, without quotes"
	case reflect.Float32, reflect.Float64:
		want = "a number, without quotes"
	default:
		return err
	}
	return fmt.Errorf("expected %s, found %s", want, name)
}
