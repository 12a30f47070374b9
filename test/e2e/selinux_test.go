package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// labelOf is the SELinux label of a file.
func labelOf(t *testing.T, path string) string {
	t.Helper()
	value := make([]byte, 256)
	n, err := unix.Getxattr(path, "security.selinux", value)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return strings.TrimRight(string(value[:n]), "\x00")
}

// SELinux labels where the machine has SELinux; elsewhere they are said to have no effect.
func TestSELinux(t *testing.T) {
	b := newBox(t, embedded)
	labelled := func(name, options string) string {
		return containers(name, "securityContext: {seLinuxOptions: {"+options+"}}", nil, container{"main", "touch /own/made /made; " + forever, "readinessProbe: {exec: {command: [test, -e, /made]}, timeoutSeconds: 30}"})
	}
	b.apply("fixed.yaml", labelled("fixed", "level: 's0:c10,c20'"))
	p := b.waitReady("fixed")
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		b.eventually("it is said that the label has no effect", func() error {
			if out := b.run("get", "events"); !strings.Contains(out, "NoSELinux") {
				return fmt.Errorf("events:\n%s", out)
			}
			return nil
		})
		return
	}
	process := func(p *v1.Pod) string {
		return strings.TrimRight(readFile(t, fmt.Sprintf("/proc/%d/attr/current", b.pid(p, "main"))), "\x00\n")
	}
	if got := process(p); got != "system_u:system_r:container_t:s0:c10,c20" {
		t.Errorf("the process has the label %s", got)
	}
	for _, file := range []string{"/own", "/own/made", "/made", "/etc/hosts", "/dev/shm"} {
		if got := labelOf(t, fmt.Sprintf("/proc/%d/root%s", b.pid(p, "main"), file)); got != "system_u:object_r:container_file_t:s0:c10,c20" {
			t.Errorf("%s has the label %s", file, got)
		}
	}
	b.apply("one.yaml", labelled("one", "role: system_r"))
	b.apply("two.yaml", labelled("two", "type: spc_t"))
	one, two := process(b.waitReady("one")), process(b.waitReady("two"))
	if !strings.HasPrefix(one, "system_u:system_r:container_t:s0:c") || !strings.HasPrefix(two, "system_u:system_r:spc_t:s0:c") || one[strings.Index(one, "s0"):] == two[strings.Index(two, "s0"):] {
		t.Errorf("the labels are %s and %s", one, two)
	}
	b.crash()
	b.start()
	b.killContainer(b.waitReady("one"), "main")
	p = b.waitPod("one", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
	if again := process(p); again != one {
		t.Errorf("the label is %s after a restart, and was %s", again, one)
	}
	b.apply("none.yaml", labelled("none", "type: no_such_t"))
	b.waiting("none", "is no label of this machine")
}
