package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Files go into containers and out of them, with the container's own rights, and nothing leads out of it.
func TestCopy(t *testing.T) {
	b := newBox(t, embedded)
	here := t.TempDir()
	in := func(name string) string { return filepath.Join(here, name) }
	b.apply("pods.yaml", shell("root", "mkdir -p /data/sub; echo one >/data/a; echo two >/data/sub/b; ln -s a /data/link; ln -s /data /abs; ln -s /etc/shadow /data/out; "+
		"ln -s /../../../../../../"+here+" /data/up; (umask 077; echo secret >/only-root); echo ready >/ready; "+forever, "")+"    readinessProbe: {exec: {command: [test, -e, /ready]}, periodSeconds: 1}\n---\n"+
		shell("user", "while ! [ -e /in/x ]; do sleep 0.1; done; "+forever, "securityContext: {runAsUser: 1000, fsGroup: 1000}\nvolumes: [{name: in, emptyDir: {}}]")+"    volumeMounts: [{name: in, mountPath: /in}]\n---\n"+
		strings.Replace(shell("mapped", forever, "hostUsers: false\nvolumes: [{name: in, emptyDir: {}}]")+"    volumeMounts: [{name: in, mountPath: /in}]\n", "  hostNetwork: true\n", "", 1))
	b.waitReady("root")
	b.waitReady("user")
	b.waitReady("mapped")

	b.run("cp", "root:/data", in("tree"))
	for name, want := range map[string]string{"tree/a": "one\n", "tree/sub/b": "two\n", "tree/link": "one\n"} {
		if got := readFile(t, in(name)); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if target, err := os.Readlink(in("tree/out")); err != nil || target != "/etc/shadow" {
		t.Errorf("a link is %q, %v", target, err)
	}
	b.run("cp", "default/root:/abs/a", here) // through an absolute link, which is the container's
	if got := readFile(t, in("a")); got != "one\n" {
		t.Errorf("a is %q", got)
	}
	if out, err := b.try("cp", "root:/data/out", in("stolen")); err == nil || !strings.Contains(out, "no such file") { // the image has no /etc/shadow
		t.Errorf("a link out of the container: %v: %s", err, out)
	}
	if out, err := b.try("cp", "root:/data/up/a", in("stolen")); err == nil || !strings.Contains(out, "no such file") { // it is there, but outside
		t.Errorf("a way up and out of the container: %v: %s", err, out)
	}

	// In: a new name, into a directory, a tree, more than a buffer.
	big := strings.Repeat("0123456789abcdef", 1<<18)
	if err := os.WriteFile(in("big"), []byte(big), 0o755); err != nil {
		t.Fatal(err)
	}
	b.run("cp", in("big"), "root:/data/renamed")
	b.run("cp", in("big"), "root:/data/sub")
	b.run("cp", in("tree"), "root:/copy")
	if out := b.run("exec", "root", "--", "sh", "-c", "stat -c '%s %a' /data/renamed /data/sub/big; cat /copy/sub/b; ls -l /copy/link | grep -c '> a'"); out != "4194304 755\n4194304 755\ntwo\n1\n" {
		t.Errorf("what was copied is\n%s", out)
	}
	// A user's rights are the user's.
	b.run("cp", in("big"), "user:/in/x")
	b.run("cp", in("big"), "mapped:/in/x")
	for pod, want := range map[string]string{"user": "1000\n", "mapped": "0\n"} {
		if out := b.run("exec", pod, "--", "stat", "-c", "%u", "/in/x"); out != want {
			t.Errorf("in pod %s the file is of user %s", pod, out)
		}
	}
	for args, want := range map[string]string{
		"cp user:/only-root " + here: "no such file", "cp " + in("big") + " user:/etc/x": "permission denied", "cp a b": "one of the two", "cp root:/a user:/b": "one of the two",
		"cp root: x": "a path is missing", "cp none:/x x": "not found", "cp " + in("none") + " root:/x": "no such file", "cp " + in("big") + " root:/none/at/all": "no such file",
	} {
		if out, err := b.try(strings.Fields(args)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v: %s", args, err, out)
		}
	}
}
