// Package refusal tells what an OCI runtime has against a container from faults of the machine, by the text of the error. It does no I/O.
package refusal

import (
	"errors"
	"regexp"
	"strings"
)

// Err says that the OCI runtime cannot run the container as it is asked to: there is no such command, it is not executable, its
// working directory is a file. Another try would end the same way.
var Err = errors.New("the OCI runtime cannot run it")

// refused is an error that is Err, and says no more than it did.
type refused struct{ error }

func (r refused) Is(target error) bool { return target == Err }
func (r refused) Unwrap() error        { return r.error }

// reported is what the runc shim makes of an OCI runtime's own words (containerd, cmd/containerd-shim-runc-v2/process,
// runtimeError). They come as text through the shim and containerd, which know no kinds of them.
var reported = regexp.MustCompile(`OCI runtime (?:create|start) failed: ((?s:.+))`)

// silent is what the shim says of an OCI runtime that has left no words: it could not be executed, was killed, or ended. solopod-unseal,
// which calls it where something is sealed, has words of its own for that.
var silent = regexp.MustCompile(`^(solopod-unseal: |unable to retrieve OCI runtime error|exit status \d+|signal: |fork/exec |context |exec: "[^"]*": executable file not found)`)

// machines are faults of the machine in the words of a runtime: the errors of system calls at the end, which a name in a manifest
// cannot bring about there, and the runtime's own about its processes and the container's cgroup.
var machines = regexp.MustCompile(`(?i)(: (no space left on device|disk quota exceeded|cannot allocate memory|resource temporarily unavailable|` +
	`too many open files( in system)?|input/output error|device or resource busy|stale (nfs )?file handle|structure needs cleaning|` +
	`connection reset by peer|connection refused|broken pipe|unexpected EOF|EOF|interrupted system call|timed out|i/o timeout|signal: killed)|` +
	`cannot start a container that has (been )?stopped|container .*is not in .*created.* state)$`)

// Mark makes of an error of containerd's one that is Err, if the OCI runtime says that of the container; what is a fault of the
// machine stays as it is, and so does nil.
func Mark(err error) error {
	if err == nil {
		return nil
	}
	found := reported.FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	words := strings.TrimSuffix(strings.TrimSpace(found[1]), ": unknown") // gRPC's kind of the error
	switch {
	case silent.MatchString(words), machines.MatchString(words), strings.Contains(words, "unable to apply cgroup configuration"):
		return err
	}
	return refused{err}
}
