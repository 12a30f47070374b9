package e2e

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// The command line feels like kubectl: selections, forms of output, top, restart, wait, logs of several.
func TestCommandLine(t *testing.T) {
	b := newBox(t, embedded)
	labelled := func(name, label string) string {
		return strings.Replace(shell(name, "echo hello from "+name+"; while true; do true; done", ""), "  name: "+name+"\n", "  name: "+name+"\n  labels: {app: "+label+"}\n", 1)
	}
	b.apply("pods.yaml", labelled("one", "a")+"---\n"+labelled("two", "a")+"---\n"+strings.Replace(shell("other", forever, ""), "  name: other\n", "  name: other\n  namespace: far\n", 1))
	b.run("wait", "one", "two")
	b.run("wait", "-n", "far", "other")
	b.eventually("both have said hello", func() error { return errors.Join(b.says("one", "hello"), b.says("two", "hello")) })
	for args, want := range map[string]string{
		"wait one two":                   "pod/one condition met\npod/two condition met\n",
		"wait -n far --for=create other": "pod/other condition met\n",
		"wait --for=delete none":         "pod/none condition met\n",
		"get pods -l app=a -o name":      "pod/one\npod/two\n",
		"get pods one -o jsonpath={.spec.hostNetwork}/{.status.phase}":         "true/Running",
		"get pods -A -o custom-columns=N:.metadata.name,S:.metadata.namespace": "N       S\none     default\nother   far\ntwo     default\n",
		"logs -l app=a --prefix --tail 1":                                      "[pod/one/main] hello from one\n[pod/two/main] hello from two\n",
		"logs one two --all-containers":                                        "hello from one\nhello from two\n",
		"wait --for=jsonpath={.status.phase}=Running one":                      "pod/one condition met\n",
	} {
		if out := b.run(strings.Fields(args)...); sortLines(out) != sortLines(want) {
			t.Errorf("solopod %s prints\n%s\nnot\n%s", args, out, want)
		}
	}
	for args, want := range map[string]string{
		"wait --for=condition=Nonsense one --timeout=100ms": "timed out after 100ms",
		"wait --for=nonsense one":                           "--for takes",
		"get pods -o nonsense":                              "-o takes",
		"get pods -l a=b=c":                                 "-l:",
		"get pods other":                                    "use -n far",
		"logs":                                              "name a pod",
		"restart one -c none":                               `no container "none"`,
		"top pods --sort-by=nonsense":                       "--sort-by takes",
	} {
		if out, err := b.try(strings.Fields(args)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("solopod %s: %v: %s", args, err, out)
		}
	}
	if out := b.run("get", "containers", "-A", "-o", "wide"); strings.Count(out, "containerd://") != 3 || !strings.Contains(out, "NAMESPACE") {
		t.Errorf("get containers:\n%s", out)
	}
	if out := b.run("get", "nodes", "-o", "wide"); !strings.Contains(out, " Ready ") || !strings.Contains(out, "containerd://") {
		t.Errorf("get nodes:\n%s", out)
	}
	// Two endless loops on this machine's processors: top sees them, and the kernel agrees.
	used := func() float64 {
		file, unit := "cpuacct.usage", 1e-9
		if unified() {
			file, unit = "cpu.stat", 1e-6
		}
		var n float64
		text := strings.TrimPrefix(b.cgroupFile(b.containerCgroup(b.pod("default", "one"), "main"), "cpuacct", file), "usage_usec ")
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatal(err)
		}
		return n * unit
	}
	began, before := time.Now(), used()
	out := b.run("top", "pods", "-A", "--sort-by=cpu")
	took := (used() - before) / time.Since(began).Seconds()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var cores [3]int
	for i, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			t.Fatalf("top:\n%s", out)
		}
		if _, err := fmt.Sscanf(fields[2], "%dm", &cores[i]); err != nil {
			t.Fatal(err)
		}
	}
	if cores[0] < cores[1] || cores[1] <= 2*cores[2] || !strings.HasPrefix(lines[3], "far") {
		t.Errorf("top:\n%s", out)
	}
	for _, line := range lines[1:] {
		if fields := strings.Fields(line); fields[1] == "one" {
			var shown float64
			if _, err := fmt.Sscanf(fields[2], "%fm", &shown); err != nil || math.Abs(shown/1000-took) > took/3 {
				t.Errorf("top shows %s, and by its cgroup the container had %.3f processors", fields[2], took)
			}
		}
	}
	if out := b.run("top", "node"); !strings.Contains(out, "CPU%") || strings.Contains(out, " 0m ") {
		t.Errorf("top node:\n%s", out)
	}
	if out := b.run("top", "pods", "one", "--containers"); !strings.Contains(out, "main") || strings.Contains(out, "two") {
		t.Errorf("top pods --containers:\n%s", out)
	}
	// A restart has begun when the command returns.
	b.run("restart", "one")
	b.run("wait", "one")
	if p := b.pod("default", "one"); status(p, "main").RestartCount != 1 || status(p, "main").LastTerminationState.Terminated == nil {
		t.Errorf("after a restart: %+v", p.Status)
	}
	if p := b.pod("default", "two"); status(p, "main").RestartCount != 0 {
		t.Error("another pod was restarted")
	}
	// What waits for its next try starts at once.
	b.apply("crash.yaml", shell("crash", "exit 1", ""))
	b.waitPod("crash", "in back-off", func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "CrashLoopBackOff" && status(p, "main").RestartCount >= 1
	})
	count := status(b.pod("default", "crash"), "main").RestartCount
	b.run("restart", "crash")
	b.waitPod("crash", "started again", func(p *v1.Pod) bool { return status(p, "main").RestartCount > count })
	if out := b.run("__complete", "exec", ""); !strings.Contains(out, "one\tRunning") || strings.Contains(out, "other") {
		t.Errorf("completion:\n%s", out)
	}
}

func sortLines(text string) string {
	return strings.Join(slices.Sorted(slices.Values(strings.Split(text, "\n"))), "\n")
}
