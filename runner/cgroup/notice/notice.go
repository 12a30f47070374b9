// Package notice has the kernel tell of what happens in a cgroup of version 1, by eventfds
// (Documentation/admin-guide/cgroup-v1/memory.rst).
package notice

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// Register makes an eventfd that becomes readable when what a file of the cgroup tells of happens: memory.oom_control that its limit was hit,
// memory.usage_in_bytes that a threshold was passed, which is the argument. The kernel also writes when the cgroup is removed, and forgets the
// eventfd when it is closed, which is the caller's.
func Register(dir, file string, args ...string) (*os.File, error) {
	of, err := foreign.OpenKernel(filepath.Join(dir, file), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer of.Close() //nolint:errcheck // the kernel holds on to it
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot make an eventfd: %w", err)
	}
	event := os.NewFile(uintptr(fd), "eventfd of "+file)
	line := strings.Join(append([]string{fmt.Sprint(fd), fmt.Sprint(of.Fd())}, args...), " ")
	if err := foreign.WriteKernel(filepath.Join(dir, "cgroup.event_control"), line); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot watch %s of the cgroup: %w", file, err), event.Close())
	}
	return event, nil
}
