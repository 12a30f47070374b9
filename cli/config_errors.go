package cli

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/solopod/solopod/manifests"
)

// settingError is what is wrong with a setting, or with the file of them.
type settingError struct {
	// key is the setting's name; empty where the file is meant.
	key string
	// at is where it stands in the file; nil where that is not known, as of flags.
	at   *yamlv3.Node
	line int // where there is no node
	err  error
}

// Error is the message without a place.
func (e settingError) Error() string {
	if e.key == "" || strings.HasPrefix(e.err.Error(), e.key) { // policy.images[0] has its place within the setting
		return e.err.Error()
	}
	return e.key + ": " + e.err.Error()
}

// settingErrors is what is wrong with settings, one line each.
type settingErrors []settingError

// in are the errors as lines file:line:column: setting: message, without a place where there is no file; nil where there are none.
func (es settingErrors) in(file string) error {
	slices.SortStableFunc(es, func(a, b settingError) int { return a.position().Line - b.position().Line })
	var all []error
	for _, e := range es {
		if file == "" {
			all = append(all, e)
			continue
		}
		all = append(all, manifests.Problem{File: file, Position: e.position(), Message: e.Error()})
	}
	return errors.Join(all...)
}

func (e settingError) position() manifests.Position {
	if e.at == nil {
		return manifests.Position{Line: e.line}
	}
	at := e.at
	for below := at; below != nil; below = e.below(below) {
		at = below
	}
	return manifests.Position{Line: at.Line, Column: at.Column}
}

// below is what of a value the message names: the key that it begins with, or has in quotes; the item that it has the number of.
func (e settingError) below(value *yamlv3.Node) *yamlv3.Node {
	message := e.err.Error()
	switch value.Kind {
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(value.Content); i += 2 {
			key := value.Content[i]
			if regexp.MustCompile(`(^|[ .])` + regexp.QuoteMeta(key.Value) + `[:.\[ ]`).MatchString(message) {
				return value.Content[i+1]
			}
			if strings.Contains(message, strconv.Quote(key.Value)) {
				return &yamlv3.Node{Line: key.Line, Column: key.Column}
			}
		}
	case yamlv3.SequenceNode:
		for i, item := range value.Content {
			if strings.Contains(message, "["+strconv.Itoa(i)+"]") || item.Kind == yamlv3.ScalarNode && strings.Contains(message, strconv.Quote(item.Value)) {
				return item
			}
		}
	}
	return nil
}

// yamlPlace is how the YAML library tells where something is wrong.
var yamlPlace = regexp.MustCompile(`(?:^|\s)line (\d+): `)

// textError is what makes a text no YAML, with its line apart.
func textError(err error) settingError {
	if e, ok := err.(settingError); ok { //nolint:errorlint // it is never wrapped
		return e
	}
	message := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "yaml: ")
	out := settingError{}
	if at := yamlPlace.FindStringSubmatch(message); at != nil {
		out.line, _ = strconv.Atoi(at[1])
		message = strings.TrimSpace(strings.TrimPrefix(strings.Replace(message, strings.TrimSpace(at[0]), "", 1), "unmarshal errors:"))
	}
	message = strings.TrimPrefix(message, "json: ")
	out.err = fmt.Errorf("cannot be read as YAML: %s", strings.Join(strings.Fields(message), " "))
	return out
}

// found is the error with its line, where the YAML library does not tell it: the first that has read fail so when the text ends after it.
func (e settingError) found(text []byte, err error, read func([]byte) error) settingError {
	if e.at != nil || e.line > 0 {
		return e
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	i := sort.Search(len(lines), func(i int) bool {
		cut := read(bytes.Join(lines[:i+1], nil))
		return cut != nil && cut.Error() == err.Error()
	})
	if i < len(lines) {
		e.line = i + 1
	}
	return e
}
