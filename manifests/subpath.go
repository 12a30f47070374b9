package manifests

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// CheckSubPath says what is wrong with a path that must stay inside its volume.
func CheckSubPath(p string) error {
	switch {
	case path.IsAbs(p):
		return errors.New("it must be relative")
	case slices.Contains(strings.Split(p, "/"), ".."):
		return errors.New("it must not contain '..'")
	}
	return nil
}
