package decode

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode/extent"
)

// What a file may cost. A file at any of these bounds is decoded with less than 64 MiB (TestMemory); a kubeadm manifest has
// some 150 values.
const (
	// MaxFileSize bounds what is read from one manifest, in bytes; etcd's limit for one object is 1.5 MiB.
	MaxFileSize = 4 << 20
	// maxValues bounds how many values a file may have, and maxExpanded how many with its YAML aliases expanded and its
	// templates multiplied.
	maxValues   = 100_000
	maxExpanded = 200_000
	// maxObjects bounds the objects of a file.
	maxObjects = 4096
	// maxDepth bounds how deep values are nested; a pod's are some twenty deep.
	maxDepth = 100
	// maxKey bounds a key, in bytes. Keys of labels and annotations have 317 at most, those of a ConfigMap 253.
	maxKey = 1024
	// maxProblems bounds how many errors, and how many warnings, are told of one file; maxText each one's text, in bytes.
	maxProblems = 100
	maxText     = 2048
)

const (
	splitIt   = "; put the objects into several files"
	expanding = "the file is too large once its YAML aliases are expanded"
)

// tooLarge says why a text is not given to the parser; empty when it is.
func tooLarge(e extent.Extent) string {
	switch {
	case e.Documents > maxObjects:
		return fmt.Sprintf("the file has more than %d documents%s", maxObjects, splitIt)
	case e.Depth > maxDepth:
		return fmt.Sprintf("its lists and objects are nested more than %d deep", maxDepth)
	case e.Values > maxValues:
		return fmt.Sprintf("the file has more than %d values%s", maxValues, splitIt)
	}
	return ""
}

// tooDeep finds a value that is nested more than left deep, if there is one. Aliases are not followed: what is inside of them
// stands elsewhere in the tree.
func tooDeep(node *yaml.Node, left int) *yaml.Node {
	if left < 0 {
		return node
	}
	for _, c := range node.Content {
		if found := tooDeep(c, left-1); found != nil {
			return found
		}
	}
	return nil
}

// problemList holds what is told of a file. Errors are never crowded out by warnings.
type problemList struct {
	list             manifests.Problems
	errors, warnings int
}

func (l *problemList) add(p manifests.Problem) {
	count := &l.errors
	if p.Warning {
		count = &l.warnings
	}
	if *count++; *count <= maxProblems {
		p.Path, p.Message = cut(p.Path), cut(p.Message)
		l.list = append(l.list, p)
	}
}

// full: more errors would not be told.
func (l *problemList) full() bool { return l.errors >= maxProblems }

// sorted returns the problems in their order, with a word about those that are left out.
func (l *problemList) sorted(file string) manifests.Problems {
	l.list.Sort()
	if rest := max(l.errors-maxProblems, 0) + max(l.warnings-maxProblems, 0); rest > 0 || l.full() {
		l.list = append(l.list, manifests.Problem{File: file, Warning: true, Message: "there may be more problems; these are the first ones"})
	}
	return l.list
}

// cut shortens a text, between two characters.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// inUTF8 turns UTF-16 with a byte order mark, which YAML allows, into UTF-8 and takes the mark away.
func inUTF8(data []byte) ([]byte, error) {
	high := 0
	switch {
	case len(data) >= 3 && data[0] == 0xef && data[1] == 0xbb && data[2] == 0xbf:
		return data[3:], nil
	case len(data) >= 2 && data[0] == 0xfe && data[1] == 0xff:
	case len(data) >= 2 && data[0] == 0xff && data[1] == 0xfe:
		high = 1
	default:
		return data, nil
	}
	if len(data)%2 != 0 {
		return nil, errors.New("the last UTF-16 character is incomplete")
	}
	out := make([]byte, 0, len(data))
	for i := 2; i+1 < len(data); i += 2 {
		r := rune(data[i+high])<<8 | rune(data[i+1-high])
		if utf16.IsSurrogate(r) && i+3 < len(data) {
			if pair := utf16.DecodeRune(r, rune(data[i+2+high])<<8|rune(data[i+3-high])); pair != utf8.RuneError {
				r, i = pair, i+2
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}
