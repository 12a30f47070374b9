package imports

import (
	"go/ast"
	"slices"
	"testing"
)

// ownerMayImport is all that the owner imports of others: nothing that does I/O but the log, which is for where no lock is held.
var ownerMayImport = []string{
	"context", "errors", "fmt", "iter", "log/slog", "maps", "runtime/debug", "slices", "strings", "sync", "sync/atomic", "time", "k8s.io/api/core/v1", "k8s.io/apimachinery/pkg/types",
}

func TestTheOwnerDoesNoIO(t *testing.T) {
	p := ours(t)["runner/owner"]
	if len(p.Imports) == 0 {
		t.Fatal("runner/owner was not found")
	}
	for _, i := range p.Imports {
		if _, own := (pkg{ImportPath: i}).name(); !own && !slices.Contains(ownerMayImport, i) {
			t.Errorf("runner/owner imports %s: it routes and does nothing; what has to be done is an effect", i)
		}
	}
}

// outside are the owner's ways to others. Any of them may take long, the log too: who reads it may have stopped.
var outside = []string{"Doer", "Records", "Lister", "Report"}

// underLock finds what may take long and is called while a mutex is held: a way to others, the log, a wait. A function of the
// same package that is called then is looked at too. What a go statement starts does not count, nor what a function that is
// defined there does later.
func underLock(c code) (out []string) {
	functions := map[string]*ast.FuncDecl{}
	for _, f := range c.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				functions[fn.Name.Name] = fn
			}
		}
	}
	l := &lockLook{code: c, functions: functions, seen: map[string]bool{}}
	for _, name := range sorted(functions) {
		if body := functions[name].Body; body != nil {
			l.block(body.List, false)
			ast.Inspect(body, func(n ast.Node) bool { // each function in it has locks of its own
				if f, ok := n.(*ast.FuncLit); ok {
					l.block(f.Body.List, false)
				}
				return true
			})
		}
	}
	slices.Sort(l.found)
	return slices.Compact(l.found)
}

type lockLook struct {
	code      code
	functions map[string]*ast.FuncDecl
	seen      map[string]bool // functions that were looked at as called under the lock
	found     []string
}

// block goes through statements in order, and returns whether a lock is held behind them. A lock that one branch releases and
// leaves the function counts as held in what follows.
func (l *lockLook) block(list []ast.Stmt, held bool) bool {
	for _, s := range list {
		held = l.statement(s, held)
	}
	return held
}

func (l *lockLook) statement(s ast.Stmt, held bool) bool {
	switch s := s.(type) {
	case *ast.ExprStmt:
		if call, ok := s.X.(*ast.CallExpr); ok {
			switch _, name := selector(call); name {
			case "Lock", "RLock":
				return true
			case "Unlock", "RUnlock":
				return false
			}
		}
	case *ast.BlockStmt:
		return l.block(s.List, held)
	case *ast.IfStmt:
		l.calls(s.Init, held)
		l.calls(s.Cond, held)
		l.block(s.Body.List, held)
		if s.Else != nil {
			l.statement(s.Else, held)
		}
		return held
	case *ast.ForStmt:
		l.calls(s.Init, held)
		l.calls(s.Cond, held)
		l.calls(s.Post, held)
		l.block(s.Body.List, held)
		return held
	case *ast.RangeStmt:
		l.calls(s.X, held)
		l.block(s.Body.List, held)
		return held
	case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
		l.branches(s, held)
		return held
	case *ast.GoStmt, *ast.DeferStmt:
		return held // a deferred unlock comes last
	}
	l.calls(s, held)
	return held
}

func (l *lockLook) branches(s ast.Stmt, held bool) {
	var body *ast.BlockStmt
	waits := false
	switch s := s.(type) {
	case *ast.SwitchStmt:
		l.calls(s.Tag, held)
		body = s.Body
	case *ast.TypeSwitchStmt:
		l.calls(s.Assign, held)
		body = s.Body
	case *ast.SelectStmt:
		body, waits = s.Body, true
	}
	for _, c := range body.List {
		switch c := c.(type) {
		case *ast.CaseClause:
			for _, e := range c.List {
				l.calls(e, held)
			}
			l.block(c.Body, held)
		case *ast.CommClause:
			waits = waits && c.Comm != nil
			l.block(c.Body, held)
		}
	}
	if waits && held {
		l.add(s, "waits in a select without default")
	}
}

// calls looks at what an expression, or a plain statement, calls while the lock is held.
func (l *lockLook) calls(n ast.Node, held bool) {
	if !held || n == nil {
		return
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.GoStmt:
			return false
		case *ast.SendStmt:
			l.add(n, "sends on a channel")
		case *ast.UnaryExpr:
			if n.Op.String() == "<-" {
				l.add(n, "receives from a channel")
			}
		case *ast.CallExpr:
			l.call(n)
		}
		return true
	})
}

func (l *lockLook) call(call *ast.CallExpr) {
	of, name := selector(call)
	switch {
	case of == "slog":
		l.add(call, "logs")
	case slices.Contains(outside, name), slices.ContainsFunc(outside, func(o string) bool { return hasLast(of, o) }):
		l.add(call, "calls "+of+"."+name)
	case of == "time" && name == "Sleep", name == "Wait":
		l.add(call, "waits")
	}
	if id, ok := call.Fun.(*ast.Ident); ok {
		name = id.Name
	}
	if fn := l.functions[name]; fn != nil && fn.Body != nil && !l.seen[name] && (of == "" || fn.Recv != nil) {
		l.seen[name] = true
		l.block(fn.Body.List, true)
	}
}

// hasLast: the last of names that are joined by dots.
func hasLast(names, last string) bool {
	return names == last || len(names) > len(last) && names[len(names)-len(last)-1:] == "."+last
}

func (l *lockLook) add(n ast.Node, what string) {
	l.found = append(l.found, l.code.at(n.Pos())+": "+what)
}

func TestNoIOUnderTheOwnersLock(t *testing.T) {
	for _, found := range underLock(sources(t)["runner/owner"]) {
		t.Errorf("%s while o.mu is held: note under the lock what is to be done, and do it behind", found)
	}
	holds(t, underLock, []string{
		`func (o *O) f() { o.mu.Lock(); o.config.Records.Write(); o.mu.Unlock() }`,
		`func (o *O) f() { o.mu.Lock(); defer o.mu.Unlock(); o.config.Report() }`,
		`func (o *O) f() { o.mu.Lock(); defer o.mu.Unlock(); if x { slog.Info("") } }`,
		`func (o *O) f() { o.mu.Lock(); o.g(); o.mu.Unlock() }; func (o *O) g() { for { o.config.Lister.List() } }`,
		`func (o *O) f() { o.mu.Lock(); x := o.config.Lister.List(); o.mu.Unlock() }`,
		`func (o *O) f() { o.mu.Lock(); <-c; o.mu.Unlock() }`,
		`func (o *O) f() { o.mu.Lock(); select { case <-c: }; o.mu.Unlock() }`,
		`func (o *O) f() { o.mu.Lock(); c <- 1; o.mu.Unlock() }`,
		`func (o *O) f() { h(func() { o.mu.Lock(); o.wg.Wait(); o.mu.Unlock() }) }`,
		`func (o *O) f() { o.mu.RLock(); switch { case o.config.Doer.Do(): }; o.mu.RUnlock() }`,
	}, []string{
		`func (o *O) f() { o.mu.Lock(); o.mu.Unlock(); o.config.Records.Write() }`,
		`func (o *O) f() { o.mu.Lock(); defer o.mu.Unlock(); go func() { o.config.Lister.List() }() }`,
		`func (o *O) f() { o.mu.Lock(); defer o.mu.Unlock(); select { case c <- 1: default: } }`,
		`func (o *O) f() { o.config.Report(); o.mu.Lock(); x(o.config.Doer); o.mu.Unlock() }`,
		`func (o *O) f() { o.mu.Lock(); for { if x { o.mu.Unlock(); return } }; o.mu.Unlock(); slog.Info("") }`,
	})
}
