// Package shim holds what Solopod changes in containerd's shim, which is otherwise built as it is. module.sh puts this
// file into a copy of containerd's pkg/shim and lets its loop range over Rests.
package shim

import "time"

// Rests says when the shim gives memory back that it does not use: half a minute after its start, and then ever more
// rarely. containerd's own does so every 30 seconds, with a garbage collection each time: 50 idle shims take more than 1 %
// of a core for it.
func Rests(yield func() bool) {
	for pause := 30 * time.Second; ; pause *= 20 {
		time.Sleep(pause) //nolint:forbidigo // a pause is its purpose
		if !yield() {
			return
		}
	}
}
