package imports

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// opens are the functions that open what a path leads to, whatever it is: a FIFO or a device there holds the caller up, and a
// link leads elsewhere. Directories are not meant: os.ReadDir opens nothing else (O_DIRECTORY).
var opens = map[string][]string{
	"os":   {"Open", "OpenFile", "ReadFile", "Create", "WriteFile", "CopyFS"},
	"unix": {"Open", "Openat", "Openat2"},
	// ioutil and syscall have nothing that these have not.
	"ioutil": {"ReadFile", "WriteFile"}, "syscall": {"Open"},
}

// mayOpen: files, or whole packages, that open paths themselves, and why nobody can hold them up.
var mayOpen = map[string]string{
	"runner/foreign/":           "it is how the others open",
	"monitor/":                  "files of the kernel in /proc, /sys and cgroupfs",
	"manifests/source/check.go": "a command of the user, who names the file, a pipe maybe, and waits for it",
	"cli/images.go":             "a command of the user, who names the file, a pipe maybe, and waits for it",
	"scripts/":                  "tools for this repository",
	"test/":                     "tests",
}

// excused finds the exception for a file.
func excused(file string) string {
	for _, name := range sorted(mayOpen) {
		if file == name || strings.HasSuffix(name, "/") && strings.HasPrefix(file, name) {
			return name
		}
	}
	return ""
}

// openings finds calls that open what a path leads to. An open that cannot wait, and follows no link, is good: of a path below
// /proc or /sys, of a path only (O_PATH), of a directory only, of a new file (O_EXCL), or with O_NONBLOCK and O_NOFOLLOW.
func openings(c code) (out []string) {
	for _, file := range sorted(c.files) {
		ast.Inspect(c.files[file], func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if of, name := selector(call); slices.Contains(opens[of], name) && !isKernels(call.Args) && !cannotWait(call) {
				out = append(out, c.at(call.Pos())+": "+of+"."+name)
			}
			return true
		})
	}
	return out
}

// isKernels: the first argument begins with the text /proc/ or /sys/, also in a Sprintf or a sum.
func isKernels(args []ast.Expr) bool {
	if len(args) == 0 {
		return false
	}
	switch e := args[0].(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING && (strings.HasPrefix(e.Value, `"/proc/`) || strings.HasPrefix(e.Value, `"/sys/`))
	case *ast.BinaryExpr:
		return isKernels([]ast.Expr{e.X})
	case *ast.CallExpr:
		of, name := selector(e)
		return (of == "fmt" && name == "Sprintf" || of == "filepath" && name == "Join") && isKernels(e.Args)
	}
	return false
}

// cannotWait: the flags say that the open neither waits nor follows.
func cannotWait(call *ast.CallExpr) bool {
	has := map[string]bool{}
	for _, a := range call.Args[1:] {
		ast.Inspect(a, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				has[s.Sel.Name] = true
			}
			return true
		})
	}
	return has["O_PATH"] || has["O_DIRECTORY"] || has["O_EXCL"] || has["O_NONBLOCK"] && has["O_NOFOLLOW"]
}

func TestForeignFiles(t *testing.T) {
	met := map[string]bool{}
	for _, c := range sources(t) {
		for _, found := range openings(c) {
			file, _, _ := strings.Cut(found, ":")
			if e := excused(file); e != "" {
				met[e] = true
				continue
			}
			t.Errorf("%s: what stands there may be a FIFO, a device or a link; use runner/foreign, or runner/durable for files of Solopod's own", found)
		}
	}
	for name := range mayOpen {
		if !met[name] {
			t.Errorf("the exception %q is of no use any more: remove it", name)
		}
	}
	holds(t, openings, []string{
		`func f() { os.Open(path) }`,
		`func f() { os.ReadFile(filepath.Join(dir, "x")) }`,
		`func f() { os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600) }`,
		`func f() { os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) }`,
		`func f() { unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW, 0) }`,
		`func f() { os.Open("/etc/hosts") }`,
	}, []string{
		`func f() { os.ReadFile("/proc/self/mountinfo") }`,
		`func f() { os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) }`,
		`func f() { os.Open("/sys/" + name) }`,
		`func f() { unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) }`,
		`func f() { os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0) }`,
		`func f() { foreign.Open(path) }`,
	})
}
