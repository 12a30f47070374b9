// Package findings collects what is wrong with an object while it is checked.
package findings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/spelling"
)

// maxErrors bounds what is said of one object: looking for what a thousand misspelt names could have meant takes time.
const maxErrors = 100

// Collector collects problems with their field paths; the decoder adds file and position.
type Collector struct {
	Problems manifests.Problems
	errors   int
}

// Full says that enough has been found.
func (out *Collector) Full() bool { return out.errors >= maxErrors }

// Errorf adds an error.
func (out *Collector) Errorf(path, format string, args ...any) {
	if out.Full() {
		return
	}
	out.errors++
	out.Problems = append(out.Problems, manifests.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Warnf adds a warning.
func (out *Collector) Warnf(path, format string, args ...any) {
	out.Problems = append(out.Problems, manifests.Problem{Path: path, Message: fmt.Sprintf(format, args...), Warning: true})
}

// All adds each message of one of apimachinery's validation functions.
func (out *Collector) All(path, value string, messages []string) {
	for _, m := range messages {
		out.Errorf(path, "invalid value %q: %s", value, m)
	}
}

// OneOf adds an error for a value that is not allowed, with what it may have meant.
func OneOf[T ~string](out *Collector, path string, value T, allowed ...T) {
	if out.Full() || slices.Contains(allowed, value) {
		return
	}
	names := make([]string, 0, len(allowed))
	for _, a := range allowed {
		if a != "" { // nothing may be said
			names = append(names, string(a))
		}
	}
	message := fmt.Sprintf("unsupported value %q; choose one of %s", value, strings.Join(names, ", "))
	if near := spelling.Nearest(string(value), names); near != "" {
		message = fmt.Sprintf("unsupported value %q; did you mean %q?", value, near)
	}
	out.Errorf(path, "%s", message)
}
