package sealing

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/runner/seal"
)

// encoded is a spec as containerd returns it.
type encoded []byte

func (encoded) GetTypeUrl() string { //nolint:revive // as typeurl.Any names it
	return "types.containerd.io/opencontainers/runtime-spec/1/Spec"
}
func (e encoded) GetValue() []byte { return e }

// record is a container's, called by a runtime.
func record(t *testing.T, label, runtime string, s *specs.Spec) containers.Container {
	t.Helper()
	spec, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	options, err := typeurl.MarshalAny(&runcoptions.Options{BinaryName: runtime})
	if err != nil {
		t.Fatal(err)
	}
	return containers.Container{ID: "id", Labels: map[string]string{Label: label}, Spec: encoded(spec), Runtime: containers.RuntimeInfo{Options: options}}
}

func TestNeeds(t *testing.T) {
	store := seal.NewStore("/run/solopod/seal", "/usr/libexec/solopod/solopod-unseal")
	for name, c := range map[string]struct {
		label, runtime, want string
		ok                   bool
	}{
		"sealed":                       {AtStart, "/run/solopod/seal/runtimes/runc", "runc", true},
		"with a path for a runtime":    {AtStart, "/run/solopod/seal/runtimes/%2Fusr%2Fbin%2Fcrun", "/usr/bin/crun", true},
		"of another daemon":            {AtStart, "/run/other/seal/runtimes/runc", "", false},
		"of an earlier version":        {Later, "runc", "", true},
		"nothing is sealed":            {"", "runc", "", false},
		"of a version that is to come": {"otherwise", "runc", "", false},
	} {
		if runtime, ok := Needs(record(t, c.label, c.runtime, &specs.Spec{}), store); runtime != c.want || ok != c.ok {
			t.Errorf("%s: %q, %t", name, runtime, ok)
		}
	}
	if _, ok := Needs(containers.Container{Labels: map[string]string{Label: AtStart}}, store); ok {
		t.Error("without options")
	}
}

// A further process of a container has what the first has: it is opened where nobody else does that, and sealed where solopod-unseal does.
func TestPattern(t *testing.T) {
	store := seal.NewStore(filepath.Join(t.TempDir(), "seal"), "/nowhere")
	t.Cleanup(func() {
		if err := store.Drop(); err != nil {
			t.Error(err)
		}
	})
	ledger := seal.NewLedger(store)
	key, _, err := ledger.Take("id", "runc")
	if err != nil {
		t.Fatal(err)
	}
	plain := &specs.Spec{Hostname: "kept", Process: &specs.Process{Env: []string{"A=hunter2"}, Args: []string{"hunter2"}, Cwd: "/srv"}}
	sealed, err := Spec(plain, seal.Process{Env: []string{"PATH=/bin"}, Args: []string{"$(A)"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	if plain.Process.Env[0] != "A=hunter2" || sealed.Hostname != "kept" || sealed.Process.Cwd != "/srv" || !slices.Equal(sealed.Process.Args, []string{"$(A)"}) {
		t.Errorf("sealed: %+v of %+v", sealed.Process, plain.Process)
	}
	pattern := func(label string, s *specs.Spec) *specs.Process {
		t.Helper()
		p, err := Pattern(record(t, label, "", s), ledger)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := pattern(AtStart, sealed); !slices.Equal(p.Env, sealed.Process.Env) {
		t.Errorf("sealed at the start: %q", p.Env)
	}
	if p := pattern(Later, sealed); !slices.Equal(p.Env, plain.Process.Env) || !slices.Equal(p.Args, plain.Process.Args) || p.Cwd != "/srv" {
		t.Errorf("sealed later: %+v", p)
	}
	if p := pattern("", plain); !slices.Equal(p.Env, plain.Process.Env) {
		t.Errorf("not sealed: %q", p.Env)
	}
	own := &specs.Spec{Process: &specs.Process{Env: []string{"SOLOPOD_SEALED=the image's", "A=1"}}}
	for _, label := range []string{"", Nothing} {
		if p := pattern(label, own); !slices.Equal(p.Env, own.Process.Env) {
			t.Errorf("an image's own variable, with the label %q: %q", label, p.Env)
		}
	}
	ledger.Forget("id") // and the key with it
	for _, label := range []string{AtStart, Later} {
		if p := pattern(label, sealed); !slices.Equal(p.Env, []string{"PATH=/bin"}) {
			t.Errorf("without the key, %s: %q", label, p.Env)
		}
	}
	if p := pattern("", &specs.Spec{}); p != nil {
		t.Errorf("without a process: %+v", p)
	}
	if _, err := Pattern(containers.Container{Spec: encoded(nil)}, ledger); err == nil {
		t.Error("a record without a spec gives a process")
	}
}
