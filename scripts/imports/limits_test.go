package imports

import (
	"go/ast"
	"slices"
	"testing"
)

// ownLimit: places that may use context.WithoutCancel otherwise than in a limit, by file and function, and what ends it there.
var ownLimit = map[string]string{
	"runner/engine/embedded/embedded.go: Start": "containerd's plugins keep the context for as long as the server runs; Stop ends them",
	"runner/engine/engine.go: Connect":          "the engine's own life: the WithCancel around it ends with Close",
	"api/drain.go: drain":                       "Drain has its limit as an argument, and a drain goes on when its client hangs up",
}

// limiting are the functions of context that set a limit.
var limiting = []string{"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"}

// withoutLimit finds uses of context.WithoutCancel that are not at once the argument of a limit. exceptions are noted when met.
func withoutLimit(exceptions map[string]string, met map[string]bool) func(code) []string {
	return func(c code) (out []string) {
		for _, name := range sorted(c.files) {
			for _, d := range c.files[name].Decls {
				where := name + ": " + declared(d)
				limited := map[ast.Node]bool{}
				ast.Inspect(d, func(n ast.Node) bool {
					if call, ok := n.(*ast.CallExpr); ok && len(call.Args) > 0 {
						if of, name := selector(call); of == "context" && slices.Contains(limiting, name) {
							if inner, ok := call.Args[0].(*ast.CallExpr); ok {
								limited[inner.Fun] = true
							}
						}
					}
					if s, ok := n.(*ast.SelectorExpr); !ok || text(s) != "context.WithoutCancel" || limited[s] {
						return true
					}
					if exceptions[where] != "" {
						met[where] = true
						return true
					}
					out = append(out, c.at(n.Pos())+" (in "+where+")")
					return true
				})
			}
		}
		return out
	}
}

// declared is the name of a function; empty for other declarations.
func declared(d ast.Decl) string {
	if fn, ok := d.(*ast.FuncDecl); ok {
		return fn.Name.Name
	}
	return ""
}

func TestNothingWithoutCancelIsWithoutLimit(t *testing.T) {
	met := map[string]bool{}
	for _, c := range sources(t) {
		for _, found := range withoutLimit(ownLimit, met)(c) {
			t.Errorf("%s: context.WithoutCancel has no limit; write context.WithTimeout(context.WithoutCancel(ctx), limit)", found)
		}
	}
	for where := range ownLimit {
		if !met[where] {
			t.Errorf("the exception %q is of no use any more: remove it", where)
		}
	}
	holds(t, withoutLimit(nil, met), []string{
		`func f() { g(context.WithoutCancel(ctx)) }`,
		`func f() { ctx = context.WithoutCancel(ctx); ctx, cancel := context.WithTimeout(ctx, s) }`,
		`func f() { ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) }`,
		`func f() { g := context.WithoutCancel; g(ctx) }`,
	}, []string{
		`func f() { ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s) }`,
		`func f() { ctx, cancel := context.WithDeadlineCause(context.WithoutCancel(ctx), at, why) }`,
	})
}
