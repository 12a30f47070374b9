// Package thread runs code that changes what belongs to a thread: its namespaces, or the ids that it uses files with.
package thread

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/rescue"
)

// Own runs f on a thread of its own, which ends with it (runtime.LockOSThread), and returns what f does. It is never the main
// thread: that would stay, changed, and as it stands for the whole process in /proc/PID all who look there would see the change.
func Own(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread() // held until then, so that it is not taken again
			result <- Own(f)
			return
		}
		result <- rescue.Do("work on a thread of its own", f)
	}()
	return <-result
}
