package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// CDI devices by name, shared, and by number, one pod each; who has to wait is told for whom.
func TestDevices(t *testing.T) {
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	if err := os.Mkdir(b.path("cdi"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.writeFile("cdi/tests.yaml", `cdiVersion: "0.5.0"
kind: vendor.example/unit
devices:
- name: "0"
  containerEdits: {env: [UNIT=zero], deviceNodes: [{path: /dev/unit, hostPath: /dev/fuse}]}
- name: "1"
  containerEdits: {env: [UNIT=one], deviceNodes: [{path: /dev/unit, hostPath: /dev/fuse}]}
`)
	b.writeFile("config.yaml", "cdiSpecDirs: ["+b.path("cdi")+"]\n")
	b.flags = []string{"--config", b.path("config.yaml")}
	b.start()
	script := "echo $UNIT; exec 3<>/dev/unit && echo opened; exec 3<&-; " + forever
	limited := func(name string) string {
		return shell(name, script, "") + "    resources: {limits: {vendor.example/unit: 1}}\n"
	}
	b.apply("named.yaml", strings.Replace(shell("named", script, ""), "  name: named", "  name: named\n  annotations: {cdi.k8s.io/any: vendor.example/unit=1}", 1))
	b.waitReady("named")
	b.expectLog("named", "one\nopened\n")
	b.delete("named.yaml")
	b.waitGone("named")
	b.apply("a.yaml", limited("a"))
	b.waitReady("a")
	b.expectLog("a", "zero\nopened\n")
	b.apply("b.yaml", limited("b"))
	b.waitReady("b")
	b.expectLog("b", "one\nopened\n")
	b.crash()
	b.start()
	b.apply("c.yaml", limited("c"))
	b.waitPod("c", "waiting for a device", func(p *v1.Pod) bool {
		return strings.Contains(p.Status.Message, "of which the machine has 2; others are used by default/a, default/b")
	})
	b.delete("a.yaml")
	b.waitReady("c")
	b.expectLog("c", "zero\nopened\n")
	b.apply("none.yaml", strings.ReplaceAll(limited("none"), "/unit: 1", "/other: 1"))
	b.waitPod("none", "waiting", func(p *v1.Pod) bool {
		return strings.Contains(p.Status.Message, "no CDI devices of kind vendor.example/other")
	})
}

func (b *box) expectLog(pod, want string) {
	b.t.Helper()
	b.eventually("it says "+want, func() error {
		out, err := b.try("logs", pod)
		if err == nil && out != want {
			err = fmt.Errorf("%q", out)
		}
		return err
	})
}
