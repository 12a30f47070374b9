// Package sealing hides the values of Secrets in containerd's records of containers.
package sealing

import (
	"encoding/json"
	"fmt"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/runner/seal"
)

// Label is on the record of every container, and says what is sealed in its spec; on one without, an earlier version of Solopod made it,
// with all in plain sight. AtStart: something was sealed when the container was made, and its OCI runtime is called through
// solopod-unseal. Later: it was sealed after such a version had made it. Nothing: it has no values of Secrets.
const (
	Label   = "io.solopod.sealed"
	AtStart = "start"
	Later   = "later"
	Nothing = "nothing"
)

// ProcessOf is what a spec's process gets.
func ProcessOf(s *specs.Spec) seal.Process {
	return seal.Process{Env: s.Process.Env, Args: s.Process.Args}
}

// Spec returns a copy of a spec whose process has what is shown, and the rest sealed.
func Spec(s *specs.Spec, shown seal.Process, key *seal.Key) (*specs.Spec, error) {
	spec, process := *s, *s.Process
	var err error
	process.Env, err = key.Seal(ProcessOf(s), shown.Env)
	process.Args, spec.Process = shown.Args, &process
	return &spec, err
}

// Needs says whether a container needs the store's key, and not that of another daemon that uses the same containerd. runtime is the
// name of the OCI runtime that solopod-unseal runs for it; empty where that has no part in it.
func Needs(r containers.Container, store *seal.Store) (runtime string, ok bool) {
	switch r.Labels[Label] {
	case Later:
		return "", true
	case AtStart:
		if r.Runtime.Options == nil {
			return "", false
		}
		options, err := typeurl.UnmarshalAny(r.Runtime.Options)
		if o, runc := options.(*runcoptions.Options); err == nil && runc {
			return store.Calls(o.BinaryName)
		}
	}
	return "", false
}

// Pattern is the process of a container's record, for others that run in the container: in those it is opened, or stays sealed where
// solopod-unseal opens it. Where the key is gone it has what is shown.
func Pattern(r containers.Container, ledger *seal.Ledger) (*specs.Process, error) {
	var s specs.Spec
	if err := json.Unmarshal(r.Spec.GetValue(), &s); err != nil {
		return nil, fmt.Errorf("cannot read the container's spec: %w", err)
	}
	// Where nothing was sealed, a variable of that name is the image's or the manifest's own.
	label := r.Labels[Label]
	if s.Process == nil || label != AtStart && label != Later || !seal.Is(s.Process.Env) {
		return s.Process, nil
	}
	switch plain, ok := ledger.Open(r.ID, s.Process.Env); {
	case !ok:
		s.Process.Env = seal.Shown(s.Process.Env)
	case label != AtStart: // nobody else would open it
		s.Process.Env, s.Process.Args = plain.Env, plain.Args
	}
	return s.Process, nil
}
