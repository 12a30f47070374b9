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

// manifestsImports: what each package below manifests may import of ours.
var manifestsImports = map[string][]string{
	"manifests":          nil,
	"manifests/spelling": nil,
	"manifests/validate": {"manifests", "manifests/spelling"},
	"manifests/decode":   {"manifests", "manifests/spelling", "manifests/validate"},
	"manifests/source":   {"manifests", "manifests/decode"},
}

func TestManifestsImportDownwards(t *testing.T) {
	all, found := load(t), 0
	for path, p := range all {
		name := strings.TrimPrefix(path, module)
		if name != "manifests" && !strings.HasPrefix(name, "manifests/") {
			continue
		}
		found++
		for _, i := range p.Imports {
			if of, ours := strings.CutPrefix(i, module); ours && !slices.Contains(manifestsImports[name], of) {
				t.Errorf("%s imports %s", name, of)
			}
		}
	}
	if found != len(manifestsImports) {
		t.Errorf("%d packages below manifests, %d have rules", found, len(manifestsImports))
	}
}

// doesIO are packages that a pure one does not import.
var doesIO = []string{
	"context", "io", "io/fs", "log", "log/slog", "net", "net/http", "os", "os/exec", "syscall",
	"github.com/fsnotify/fsnotify", "golang.org/x/sys/unix",
}

// The types and rules of the desired state are pure: they open no file and speak to nobody.
func TestManifestsDoNoIO(t *testing.T) {
	all := load(t)
	for _, name := range []string{"manifests", "manifests/spelling"} {
		if len(all[module+name].Imports) == 0 {
			t.Errorf("%s was not found", name)
		}
		for _, i := range all[module+name].Imports {
			if slices.Contains(doesIO, i) {
				t.Errorf("%s imports %s", name, i)
			}
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
