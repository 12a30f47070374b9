// Package imports holds the walls of the house, as tests: who may import whom, what a pure package may not do, how large a
// package and a type may become, what has to have a limit, and who opens what. Each rule says what to do when it is broken. A
// new exception is an entry with a reason in the rule's own table.
package imports

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/solopod/solopod/"

// pkg is what go list tells of a package.
type pkg struct {
	Dir        string
	ImportPath string
	Imports    []string
	GoFiles    []string // without tests
	Standard   bool

	TestImports []string
}

// name is the package's path in the module; ours is false for packages of others.
func (p pkg) name() (name string, ours bool) { return strings.CutPrefix(p.ImportPath, module) }

var load = sync.OnceValues(func() (map[string]pkg, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=Dir,ImportPath,Imports,GoFiles,Standard,TestImports", module+"...")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(out); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
	return all, cmd.Wait()
})

// ours are the packages of this module, by their path in it.
func ours(t *testing.T) map[string]pkg {
	t.Helper()
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]pkg{}
	for _, p := range all {
		if name, ok := p.name(); ok {
			out[name] = p
		}
	}
	if len(out) < 50 {
		t.Fatalf("only %d packages were found", len(out))
	}
	return out
}

// ourImports are the packages of this module that p imports, by their path in it.
func (p pkg) ourImports() []string {
	var out []string
	for _, i := range p.Imports {
		if name, ok := strings.CutPrefix(i, module); ok {
			out = append(out, name)
		}
	}
	return out
}

// code is a package's source, without tests.
type code struct {
	pkg   pkg
	set   *token.FileSet
	files map[string]*ast.File // by the path in the module
}

// at names a place in the source.
func (c code) at(p token.Pos) string {
	where := c.set.Position(p)
	where.Filename = inModule(where.Filename)
	where.Column = 0
	return where.String()
}

func inModule(file string) string {
	root, err := filepath.Abs("../..")
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(root, file); err == nil {
		return rel
	}
	return file
}

var parsed = sync.OnceValues(func() (map[string]code, error) {
	all, err := load()
	if err != nil {
		return nil, err
	}
	out := map[string]code{}
	for _, p := range all {
		name, ok := p.name()
		if !ok {
			continue
		}
		c := code{pkg: p, set: token.NewFileSet(), files: map[string]*ast.File{}}
		for _, f := range p.GoFiles {
			path := filepath.Join(p.Dir, f)
			file, err := parser.ParseFile(c.set, path, nil, parser.ParseComments)
			if err != nil {
				return nil, err
			}
			c.files[inModule(path)] = file
		}
		out[name] = c
	}
	return out, nil
})

// sources are all packages of this module, by their path in it.
func sources(t *testing.T) map[string]code {
	t.Helper()
	out, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sourceOf makes a package of one file from text: the rules are tried on it.
func sourceOf(t *testing.T, text string) code {
	t.Helper()
	c := code{set: token.NewFileSet(), files: map[string]*ast.File{}}
	file, err := parser.ParseFile(c.set, "bad.go", "package bad\n"+text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	c.files["bad.go"] = file
	return c
}

// sorted are a map's keys in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// selector splits the call pkg.Name(...), or value.Method(...).
func selector(call *ast.CallExpr) (of, name string) {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	return text(s.X), s.Sel.Name
}

// text is a name, or names joined by dots; empty for anything else.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if of := text(e.X); of != "" {
			return of + "." + e.Sel.Name
		}
	}
	return ""
}

// holds fails unless a rule finds something in each bad text, and nothing in each good one.
func holds(t *testing.T, rule func(code) []string, bad, good []string) {
	t.Helper()
	for _, text := range bad {
		if len(rule(sourceOf(t, text))) == 0 {
			t.Errorf("the rule finds nothing in\n%s", text)
		}
	}
	for _, text := range good {
		if found := rule(sourceOf(t, text)); len(found) > 0 {
			t.Errorf("the rule finds %q in\n%s", found, text)
		}
	}
}
