package decode

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// most is what one file may cost, in KiB.
const most = 64 << 10

const podHead = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n"

// costly are texts within the limit of size that cost much if nothing bounds it, or that are at a bound.
var costly = map[string]func() string{
	"flow":      func() string { return podHead + "  containers: [" + strings.Repeat("a,", 2_090_000) + "]" },
	"dashes":    func() string { return podHead + strings.Repeat("- \n", 1_390_000) },
	"nested":    func() string { return podHead + strings.Repeat("- ", 9_000) + "a" },
	"brackets":  func() string { return podHead + "  x: " + strings.Repeat("[", 2_000_000) },
	"documents": func() string { return strings.Repeat("---\n", 1_040_000) },
	"objects":   func() string { return strings.Repeat("a: b\n---\n", 4_000) },
	"list": func() string {
		return "apiVersion: v1\nkind: List\nitems:\n" + strings.Repeat("- {apiVersion: v1, kind: Pode}\n", 20_000)
	},
	"json": func() string {
		return `{"apiVersion":"v1","kind":"Pod","spec":[` + strings.Repeat("0,", 2_090_000) + "0]}"
	},
	"unknown":  func() string { return "apiVersion: v1\nkind: Pod\n" + numbered("f%d: 0\n", 380_000) },
	"unknown2": func() string { return "apiVersion: v1\nkind: Pod\n" + numbered("f%d: 0\n", 49_000) },
	"keys": func() string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n" + numbered("  f%d: v\n", 49_000)
	},
	"env": func() string {
		return podHead + "  containers:\n  - name: c\n    image: i\n    env:\n" + strings.Repeat("    - {name: A}\n", 24_000)
	},
	"misspelt": func() string {
		return podHead + "  containers:\n  - name: c\n    image: i\n    volumeMounts:\n" + numbered("    - {name: v%d}\n", 12_000) + "  volumes:\n" + numbered("  - {name: w%d}\n", 12_000)
	},
	"replicas": func() string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n  replicas: 64\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      containers:\n      - name: c\n        image: i\n        env:\n" + strings.Repeat("        - {name: A}\n", 20_000)
	},
	"ports": func() string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec:\n  ports:\n" + numbered("  - {port: %d}\n", 24_000)
	},
	"addresses": func() string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec:\n  ports: [{port: 1}]\n  externalIPs:\n" + numbered("  - 2001:db8::%d\n", 49_000)
	},
	"subsets": func() string {
		return "apiVersion: v1\nkind: Endpoints\nmetadata:\n  name: x\n  labels:\n" + numbered("    l%d: v\n", 9_000) +
			"subsets:\n" + strings.Repeat("- addresses: [{ip: 192.0.2.1}]\n", 16_000)
	},
	"peers": func() string {
		return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec:\n  ingress:\n" +
			strings.Repeat("  - from: [{podSelector: {matchLabels: {a: b c}}}]\n", 9_000)
	},
	"block":    func() string { return podHead + "  hostname: |\n" + strings.Repeat("    abcd, ef: gh\n", 246_000) },
	"plain":    func() string { return podHead + "  hostname: " + strings.Repeat("abcd ", 830_000) },
	"quoted":   func() string { return podHead + "  hostname: \"" + strings.Repeat("abcd ", 830_000) + "\"" },
	"comments": func() string { return podHead + strings.Repeat("# abcd\n", 590_000) },
	"blanks":   func() string { return podHead + strings.Repeat("\n", 4_190_000) },
	"key": func() string {
		return podHead + "  " + strings.Repeat("k", 900) + strings.Repeat(" ", 4_190_000) + ": v"
	},
	"aliases": func() string {
		return "apiVersion: v1\nkind: List\nitems:\n- &a\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: x}\n  data: {k: \"" + strings.Repeat("x", 1_000_000) + "\"}\n" + strings.Repeat("- *a\n", 4_000)
	},
	"alias bomb": func() string {
		bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
		for i := range 9 {
			bomb += fmt.Sprintf("%c: &%c [%s*%c]\n", 'b'+i, 'b'+i, strings.Repeat(fmt.Sprintf("*%c,", 'a'+i), 9), 'a'+i)
		}
		return bomb + "apiVersion: v1\nkind: Pod\nmetadata: {name: x, annotations: *j}\n"
	},
	"merged into itself": func() string { return "apiVersion: v1\nkind: Pod\nmetadata: &m\n  <<: *m\n  name: x\n" },
	"merged bomb": func() string {
		bomb := "x0: &x0 {a: b}\n"
		for i := range 9 {
			bomb += fmt.Sprintf("x%d: &x%d {<<: [%s*x%d], k%d: v}\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*x%d,", i), 9), i, i)
		}
		return bomb + "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: *x9\n"
	},
	"words": func() string {
		long := strings.Repeat("x", 1_900_000)
		return podHead + "  containers: [{name: c, image: i, volumeMounts: [{mountPath: /a, name: \"" + long + "\"}]}]\n  volumes: [{name: \"y" + long + "\"}]\n"
	},
	"utf-16": func() string { return "\xfe\xff" + strings.Repeat("\x00a\x00,", 1_040_000) },
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// One bad file costs the daemon a bounded amount of memory. Each is decoded by a process of its own, whose resident memory the kernel tells.
func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be counted")
	}
	if name := os.Getenv("DECODE_COSTLY"); name != "" {
		decodeCostly(t, costly[name]())
		return
	}
	for name := range costly {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestMemory$")
			cmd.Env = append(os.Environ(), "DECODE_COSTLY="+name, "GOGC=50") // as the daemon has it (gcPercent)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			_, rest, _ := bytes.Cut(out, []byte("KiB="))
			number, _, _ := bytes.Cut(rest, []byte("\n"))
			cost, err := strconv.Atoi(string(number))
			if err != nil || cost > most {
				t.Errorf("it costs %s KiB: %s", number, out)
			}
			t.Logf("%d KiB", cost)
		})
	}
}

func decodeCostly(t *testing.T, text string) {
	data := []byte(text)
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak counts from here (proc(5))
		t.Fatal(err)
	}
	before := memory(t, "VmRSS:")
	_, problems := Decode("x.yaml", data, Options{})
	fmt.Printf("%d bytes, %d problems: %.200s\n", len(data), len(problems), problems.Error())
	fmt.Printf("KiB=%d\n", memory(t, "VmHWM:")-before)
	if len(data) > MaxFileSize {
		t.Errorf("%d bytes are more than a file can have", len(data))
	}
	if len(problems) > 2*maxProblems+1 || len(problems.Error()) > 1<<20 {
		t.Errorf("%d problems", len(problems))
	}
}

// memory reads a line of /proc/self/status, in KiB.
func memory(t *testing.T, name string) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte(name))
	n, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
