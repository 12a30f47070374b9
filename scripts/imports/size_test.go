package imports

import (
	"bytes"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"testing"
)

const (
	mostMethods = 30
	mostLines   = 2000
)

// mayBeLarge: packages that may have more than mostLines, and why.
var mayBeLarge = map[string]string{
	"cli": "one file for each command, which know nothing of each other",
}

// manyMethods finds types with more methods than most.
func manyMethods(most int) func(code) []string {
	return func(c code) (out []string) {
		methods := map[string]int{}
		for _, f := range c.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
					methods[receiver(fn)]++
				}
			}
		}
		for _, name := range sorted(methods) {
			if n := methods[name]; n > most {
				out = append(out, fmt.Sprintf("type %s has %d methods", name, n))
			}
		}
		return out
	}
}

// receiver is the name of the type that a method belongs to.
func receiver(fn *ast.FuncDecl) string {
	e := fn.Recv.List[0].Type
	for {
		switch t := e.(type) {
		case *ast.StarExpr:
			e = t.X
		case *ast.IndexExpr:
			e = t.X
		case *ast.IndexListExpr:
			e = t.X
		case *ast.ParenExpr:
			e = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

func TestNoTypeKnowsEverything(t *testing.T) {
	for name, c := range sources(t) {
		for _, found := range manyMethods(mostMethods)(c) {
			t.Errorf("%s: %s, %d at most: part it by subject, or make functions of what needs little of it", name, found, mostMethods)
		}
	}
	holds(t, manyMethods(2), []string{
		`type A struct{}; func (A) a() {}; func (*A) b() {}; func (a *A) c() {}`,
		`type A[T any] struct{}; func (A[T]) a() {}; func (*A[T]) b() {}; func (a *A[T]) c() {}`,
	}, []string{
		`type A struct{}; func (A) a() {}; func (A) b() {}; type B struct{}; func (B) a() {}; func c() {}`,
	})
}

// lines counts the lines of a package without its tests.
func lines(p pkg) (n int, err error) {
	for _, f := range p.GoFiles {
		data, err := os.ReadFile(filepath.Join(p.Dir, f))
		if err != nil {
			return 0, err
		}
		n += bytes.Count(data, []byte("\n"))
	}
	return n, nil
}

func tooLarge(name string, lines int) bool { return lines > mostLines && mayBeLarge[name] == "" }

func TestSmallRooms(t *testing.T) {
	all, largest := ours(t), 0
	for name, p := range all {
		n, err := lines(p)
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, n)
		if tooLarge(name, n) {
			t.Errorf("%s has %d lines without tests, %d at most: move a subject of it into a package below it", name, n, mostLines)
		}
	}
	for name := range mayBeLarge {
		if _, ok := all[name]; !ok {
			t.Errorf("%s does not exist: mend the list", name)
		}
	}
	if !tooLarge("runner/pod", mostLines+1) || tooLarge("cli", mostLines+1) || largest < 1000 {
		t.Error("the rule finds nothing")
	}
}
