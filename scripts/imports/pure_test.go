package imports

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// pure are the packages that do no I/O, wait for nobody, and know no clock.
var pure = []string{
	"manifests", "manifests/amount", "manifests/rollback", "manifests/spelling",
	"workload/rollout",
	"oom/record", "oom/kernel", "oom/explain", "oom/growth", "oom/total",
	"runner/reference", "runner/pod/backoff", "runner/pod/signals", "runner/pod/state", "runner/pod/edit", "runner/pod/kills", "runner/pod/step", "runner/pod/plan", "runner/pod/status",
	"runner/eviction/threshold", "runner/eviction/rank",
	"runner/served", "runner/names/message", "runner/names/zone",
	"services/settings", "services/allocate", "services/endpoints", "services/environment",
}

// harmless is all that a pure package may import of others: values, types and their encodings. What of Kubernetes is here holds
// types and parses text; what of DNS' library does I/O is in clocks.
var harmless = []string{
	"bytes", "cmp", "crypto/sha1", "crypto/hmac", "crypto/sha256", "encoding/base64", "encoding/binary", "encoding/hex", "encoding/json", "errors", "fmt", "iter", "maps", "math",
	"math/big", "math/bits", "net/netip", "path", "reflect", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
	"github.com/distribution/reference", "github.com/miekg/dns", "k8s.io/api/apps/v1", "k8s.io/api/batch/v1", "k8s.io/api/core/v1", "k8s.io/api/discovery/v1", "k8s.io/api/networking/v1",
	"k8s.io/apimachinery/pkg/api/resource", "k8s.io/apimachinery/pkg/apis/meta/v1", "k8s.io/apimachinery/pkg/types",
	"k8s.io/apimachinery/pkg/util/intstr", "k8s.io/apimachinery/pkg/util/validation", "k8s.io/utils/ptr",
}

// impure finds imports that a pure package may not have. What it imports of ours is pure itself.
func impure(imports []string) (out []string) {
	for _, i := range imports {
		name, own := strings.CutPrefix(i, module)
		if own && !slices.Contains(pure, name) || !own && !slices.Contains(harmless, i) {
			out = append(out, i)
		}
	}
	return out
}

func TestPureImports(t *testing.T) {
	all := ours(t)
	for _, name := range pure {
		if len(all[name].Imports) == 0 {
			t.Errorf("%s was not found: mend the list", name)
		}
		for _, i := range impure(all[name].Imports) {
			t.Errorf("%s imports %s: a pure package takes values and returns values; have the caller do the I/O and hand in what came of it", name, i)
		}
	}
	for _, i := range []string{"os", "net", "os/exec", "io", "io/fs", "log", "log/slog", "context", "sync", "syscall", "path/filepath", "golang.org/x/sys/unix", module + "runner/clock"} {
		if len(impure([]string{i})) == 0 {
			t.Errorf("the rule lets %s pass", i)
		}
	}
}

// clocks are the functions of time that look at the clock or wait for it, those of fmt that write to the process's output or
// read its input, and what of DNS' library asks and answers, reads files, or draws numbers.
var clocks = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"dns": {
		"ActivateAndServe", "Client", "ClientConfigFromFile", "Conn", "Dial", "DialTimeout", "DialTimeoutWithTLS", "DialWithTLS", "Exchange",
		"ExchangeConn", "ExchangeContext", "Id", "ListenAndServe", "ListenAndServeTLS", "NewZoneParser", "Server", "Transfer",
	},
	"fmt": {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
}

// acts finds what a pure package may not do although its imports allow it.
func acts(c code) (out []string) {
	for _, name := range sorted(c.files) {
		ast.Inspect(c.files[name], func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				out = append(out, c.at(n.Pos())+": starts a goroutine")
			case *ast.ChanType:
				out = append(out, c.at(n.Pos())+": has a channel")
			case *ast.SelectorExpr:
				if of, ok := n.X.(*ast.Ident); ok && slices.Contains(clocks[of.Name], n.Sel.Name) {
					out = append(out, c.at(n.Pos())+": uses "+of.Name+"."+n.Sel.Name)
				}
			}
			return true
		})
	}
	return out
}

func TestPureDoesNothing(t *testing.T) {
	all := sources(t)
	for _, name := range pure {
		for _, found := range acts(all[name]) {
			t.Errorf("%s: a pure package knows no clock and waits for nobody; events and arguments bring the time", found)
		}
	}
	holds(t, acts, []string{
		`func f() time.Time { return time.Now() }`,
		`func f() { <-time.After(1) }`,
		`var now = time.Now`,
		`func f() { go f() }`,
		`var c chan int`,
		`func f() { fmt.Println() }`,
		`func f(m *dns.Msg) { dns.Exchange(m, "") }`,
		`var c dns.Client`,
	}, []string{
		`func f(now time.Time) string { return fmt.Sprint(now.Add(time.Second)) }`,
	})
}

// doesIO are packages of which decoding and validation import none: they take text and return values.
var doesIO = []string{
	"context", "io/fs", "log", "log/slog", "net", "net/http", "os", "os/exec", "path/filepath", "syscall",
	"github.com/fsnotify/fsnotify",
}

func TestDecodingDoesNoIO(t *testing.T) {
	all := ours(t)
	for _, name := range []string{"manifests/decode", "manifests/validate", "manifests/validate/findings", "manifests/validate/network", "manifests/signature"} {
		if len(all[name].Imports) == 0 {
			t.Errorf("%s was not found: mend the list", name)
		}
		for _, i := range all[name].Imports {
			if slices.Contains(doesIO, i) {
				t.Errorf("%s imports %s: reading is for manifests/source", name, i)
			}
		}
	}
}
