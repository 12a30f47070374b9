package plan

import (
	"iter"
	"maps"
	"slices"

	"github.com/solopod/solopod/runner/pod/state"
)

// sortedContainers walks containers by name, so that a plan is the same for the same input.
func sortedContainers(m map[string]*state.Container) iter.Seq2[string, *state.Container] {
	return func(yield func(string, *state.Container) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}
