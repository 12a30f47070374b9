package cli

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/solopod/solopod/manifests/spelling"
)

// unknownKey is how encoding/json tells of a key that a struct does not have.
var unknownKey = regexp.MustCompile(`unknown field "([^"]*)"$`)

// advised adds to an error about the configuration's text which key may have been meant.
func advised(err error) error {
	found := unknownKey.FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	t := reflect.TypeFor[config]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	if near := spelling.Nearest(found[1], names); near != "" {
		return fmt.Errorf("%w; did you mean %q?", err, near)
	}
	return err
}
