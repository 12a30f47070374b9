package watch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// alone tells the process that runs the tests that it has its own mount namespace.
const alone = "WATCH_TEST_ALONE"

// TestMain runs the tests in a mount namespace of their own: the kernel tells of every mount of a namespace, and a watcher of links looks
// again with each. What other tests of the machine mount would so count as looks. Who is not root has to do without.
func TestMain(m *testing.M) {
	if os.Getuid() != 0 || os.Getenv(alone) != "" {
		os.Exit(m.Run())
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), alone+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose death Pdeathsig is about
	err := c.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot run the tests in a mount namespace of their own:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
