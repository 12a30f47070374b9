package imports

import (
	"go/ast"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/pod/plan"
)

var (
	row      = regexp.MustCompile("(?m)^\\| (`.*) \\| .* \\| (.*) \\|$")
	kindName = regexp.MustCompile("`([A-Za-z]+)`")
	amount   = regexp.MustCompile(`^(\d+) (s|min|h)$`)
)

// documented reads the table of limits in docs/operation.md; zero stands for an effect that lasts for as long as it is wanted.
func documented(text string) map[string]time.Duration {
	_, text, _ = strings.Cut(text, "\n## When something hangs\n")
	text, _, _ = strings.Cut(text, "\n## ")
	unit := map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour}
	out := map[string]time.Duration{}
	for _, r := range row.FindAllStringSubmatch(text, -1) {
		limit := time.Duration(0)
		if a := amount.FindStringSubmatch(r[2]); a != nil {
			n, _ := strconv.Atoi(a[1])
			limit = time.Duration(n) * unit[a[2]]
		}
		for _, k := range kindName.FindAllStringSubmatch(r[1], -1) {
			out[k[1]] = limit
		}
	}
	return out
}

// kinds are the kinds of effects, as runner/pod/state names them.
func kinds(c code) (out []string) {
	for _, f := range c.files {
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Kind") && len(v.Values) == 1 {
				if l, ok := v.Values[0].(*ast.BasicLit); ok {
					out = append(out, strings.Trim(l.Value, `"`))
				}
			}
			return true
		})
	}
	return out
}

func TestLimitsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	table, all := documented(string(text)), kinds(sources(t)["runner/pod/state"])
	if len(all) < 15 {
		t.Fatalf("only %d kinds of effects were found", len(all))
	}
	for _, k := range all {
		if says, ok := table[k]; !ok || says != plan.Limit(k) {
			t.Errorf("docs/operation.md says %s for %s (found: %t), runner/pod/plan/limits.go %s: mend the table", says, k, ok, plan.Limit(k))
		}
	}
}
