// Package scripts has tests of the scripts beside it.
package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The Go of each case has a version, the module proxy that it can reach or not, and what it says of a go.mod that wants a later one.
func TestDepsOfGo(t *testing.T) {
	const (
		fromProxy = `dir="$GOMODCACHE/golang.org/toolchain@v0.0.1-go1.99.1.linux-riscv64"; [ "$3" = "golang.org/${dir##*/golang.org/}" ] || exit 1
mkdir -p "$dir/bin" "$dir/pkg/tool/linux_riscv64" && echo go1.99.1 >"$dir/VERSION" && echo "#!/bin/sh" >"$dir/bin/go" && cp "$dir/bin/go" "$dir/pkg/tool/linux_riscv64/compile"`
		noProxy = `echo "go: golang.org/toolchain: dial tcp: connection refused" >&2; exit 1`
	)
	for name, c := range map[string]struct {
		version, list, download string
		says                    string // on standard error, in one line; empty: all is well
		toolchain               bool   // is found by .cache/go
	}{
		"new enough":               {"go1.99.1", "echo module", noProxy, "", false},
		"fetches what it needs":    {"go1.21.0", "echo module", noProxy, "", false},
		"is not to fetch":          {"go1.24.4", `echo "go: go.mod requires go >= 1.99.1 (running go 1.24.4; GOTOOLCHAIN=local)" >&2; exit 1`, fromProxy, "GOTOOLCHAIN=local", false},
		"Debian 12's":              {"go1.19.8", `echo "go.mod:3: invalid go version '1.99.1': must match format 1.23" >&2; exit 1`, fromProxy, "", true},
		"1.20":                     {"go1.20.14", "exit 1", fromProxy, "", true},
		"too old, without network": {"go1.19.8", "exit 1", noProxy, "connect this machine", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			script, err := os.ReadFile("deps.sh")
			if err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{
				"scripts/deps.sh": string(script),
				"go.mod":          "module box\n\ngo 1.99.1\n",
				"path/go": `#!/bin/sh
case "$1 $2" in
"env GOVERSION") echo ` + c.version + ` ;;
"env GOMODCACHE") echo "$GOMODCACHE" ;;
"env GOOS") echo linux ;;
"env GOARCH") echo riscv64 ;;
"list -m") ` + c.list + ` ;;
"mod download") ` + c.download + ` ;;
*) echo "unexpected: go $*" >&2; exit 1 ;;
esac
`,
			} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(filepath.Join(dir, "scripts/deps.sh"), "go")
			cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "path")+":"+os.Getenv("PATH"), "GOMODCACHE="+filepath.Join(dir, "modules/mod"))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			err = cmd.Run()
			if c.says == "" && err != nil {
				t.Errorf("it ends with %v: %s", err, stderr.String())
			}
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			if c.says != "" && (err == nil || !strings.Contains(lines[len(lines)-1], c.says) || !strings.Contains(lines[len(lines)-1], "1.99.1")) {
				t.Errorf("it ends with %v and says %q", err, stderr.String())
			}
			info, err := os.Stat(filepath.Join(dir, ".cache/go/bin/go"))
			if c.toolchain != (err == nil) || err == nil && info.Mode()&0o111 == 0 {
				t.Errorf("the toolchain is there: %v, %v", err, info)
			}
		})
	}
}
