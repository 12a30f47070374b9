// Package imports holds the rules of who may import whom, as a test.
package imports

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/solopod/solopod/"

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

func load(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps,Standard", module+"...")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(out); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}

// layers, from the top down: a package imports only what lies below it, except where allowed names it.
var layers = []string{"cli", "api", "workload", "monitor", "oom", "runner", "runner/"}

func layer(path string) int {
	name := strings.TrimPrefix(path, module)
	for i := len(layers) - 1; i >= 0; i-- {
		l := layers[i]
		if name == l || strings.HasSuffix(l, "/") && strings.HasPrefix(name, l) {
			return i
		}
	}
	return -1
}

func TestImportsRunDownwards(t *testing.T) {
	all := load(t)
	if len(all) < 100 {
		t.Fatalf("only %d packages", len(all))
	}
	for path, p := range all {
		if !strings.HasPrefix(path, module) || layer(path) < 0 {
			continue
		}
		for _, i := range p.Imports {
			if l := layer(i); strings.HasPrefix(i, module) && l >= 0 && l < layer(path) {
				t.Errorf("%s imports %s, which lies above it", path, i)
			}
		}
	}
}

func TestManifestsImportsNothingOfOurs(t *testing.T) {
	for _, d := range load(t)[module+"manifests"].Deps {
		if strings.HasPrefix(d, module) {
			t.Errorf("manifests depends on %s", d)
		}
	}
}

// The plan is pure: it opens no file, starts no process and speaks to nobody.
func TestPlanDoesNoIO(t *testing.T) {
	p := load(t)[module+"runner/plan"]
	for _, i := range p.Imports {
		if strings.HasPrefix(i, module) || slices.Contains([]string{"os", "os/exec", "net", "net/http", "io", "log", "log/slog", "syscall", "context"}, i) {
			t.Errorf("runner/plan imports %s", i)
		}
	}
	if len(p.Imports) == 0 {
		t.Error("runner/plan was not found")
	}
}

// Only the engine knows containerd. Its error kinds and log are packages of their own; contrib holds tables (the default
// seccomp profile), no client.
func TestOnlyTheEngineKnowsContainerd(t *testing.T) {
	for path, p := range load(t) {
		if !strings.HasPrefix(path, module) || strings.HasPrefix(path, module+"runner/engine") {
			continue
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "github.com/containerd/containerd/") && !strings.Contains(i, "/contrib/") {
				t.Errorf("%s imports %s", path, i)
			}
		}
	}
}
