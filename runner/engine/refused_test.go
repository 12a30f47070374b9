package engine

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What an OCI runtime says of a container is told from what is wrong with the machine, in the words of runc and crun.
func TestRefused(t *testing.T) {
	const create, begin = "failed to create shim task: OCI runtime create failed: ", "OCI runtime start failed: "
	const runc = "runc create failed: unable to start container process: "
	for says, want := range map[string]bool{
		create + runc + `error during container init: exec: "/no/such": stat /no/such: no such file or directory`:                true,
		create + runc + `error during container init: exec: "/etc/passwd": permission denied`:                                    true,
		create + runc + `exec: "no-such": executable file not found in $PATH: unknown`:                                           true,
		create + runc + `error during container init: mkdir /bin/sh: not a directory`:                                            true,
		create + runc + `container init was OOM-killed (memory limit too low?)`:                                                  true,
		create + "executable file `/no/such` not found: No such file or directory: unknown":                                      true,
		create + runc + `error during container init: exec: "/no space left on device": stat /x: no such file or directory`:      true,
		begin + "exec user process: exec format error":                                                                           true,
		create + runc + "error during container init: error mounting \"/v\": mkdirat v: no space left on device: unknown":        false,
		create + runc + "unable to apply cgroup configuration: mkdir /sys/fs/cgroup/x: file exists":                              false,
		create + runc + "can't get final child's PID from pipe: EOF":                                                             false,
		create + runc + "fork/exec /proc/self/exe: resource temporarily unavailable":                                             false,
		create + "creating cgroup: Cannot allocate memory":                                                                       false,
		create + `unable to retrieve OCI runtime error (open /run/log.json: no such file or directory): exec: "runc": not found`: false,
		create + `solopod-unseal: cannot run runc: exec: "runc": executable file not found in $PATH: unknown`:                    false,
		create + "solopod-unseal: cannot run runc: the key to the values of Secrets is gone with the state directory: unknown":   false,
		create + runc + `exec: "solopod-unseal: ": executable file not found in $PATH`:                                           true,
		create + "exit status 1: unknown":                                          false,
		create + "signal: killed":                                                  false,
		begin + "cannot start a container that has stopped: unknown":               false,
		"failed to mount rootfs component: no such file or directory":              false,
		"failed to start shim: fork/exec /usr/bin/shim: no such file or directory": false,
		"transport is closing":                                                     false,
	} {
		for _, err := range []error{native(status.Error(codes.Unknown, says)), fmt.Errorf("cannot create it: %w", native(status.Error(codes.Unknown, says)))} {
			got := refused(err)
			if errors.Is(got, ErrRefused) != want || got.Error() != err.Error() {
				t.Errorf("%s: refused: %v, it says %v", says, errors.Is(got, ErrRefused), got)
			}
		}
		if err := fmt.Errorf("%s: %w", says, ErrUnanswered); errors.Is(refused(err), ErrRefused) {
			t.Errorf("%s: what was not answered in time counts", says)
		}
	}
	if refused(nil) != nil {
		t.Error("nothing is refused")
	}
}
