package plan

import (
	"iter"
	"maps"
	"slices"
)

// sorted walks containers by name, so that a plan is the same for the same input.
func sorted[T any](m map[string]T) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}
