package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/solopod/solopod/manifests/spelling"
)

// strictly reads an object into a struct, to is a pointer to it. Unknown keys are errors, and so are keys without a value: who leaves
// all of a list away means none, and would get no limit.
func strictly(data []byte, to any) error {
	if string(data) == "null" {
		return errors.New("a setting has no value; leave it away for no limit")
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(data, &given); err != nil {
		return fmt.Errorf("expected an object, found %s", data)
	}
	t := reflect.TypeOf(to).Elem()
	fields := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = i
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		i, known := fields[key]
		if !known {
			return unknownKey(key, slices.Sorted(maps.Keys(fields)))
		}
		if text := string(given[key]); text == "null" || text == `""` {
			return fmt.Errorf("%s has no value; write [] or {} for none, or leave it away for no limit", key)
		}
		if err := json.Unmarshal(given[key], reflect.ValueOf(to).Elem().Field(i).Addr().Interface()); err != nil {
			return fmt.Errorf("%s: %w", key, spelling.Expected(err))
		}
	}
	return nil
}

func unknownKey(key string, known []string) error {
	if near := spelling.Nearest(key, known); near != "" {
		return fmt.Errorf("unknown field %q; did you mean %q?", key, near)
	}
	return fmt.Errorf("unknown field %q; there are %s", key, strings.Join(known, ", "))
}
