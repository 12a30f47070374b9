package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// What a container plants where others expect a file holds nobody up, is not written to, and leads nowhere.
func TestPlantedFiles(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	shared, here := b.path("shared"), t.TempDir()
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	volume := func(path, kind string) string {
		return fmt.Sprintf("volumes: [{name: v, hostPath: {path: %s, type: %s}}]", path, kind)
	}
	const mount = "    volumeMounts: [{name: v, mountPath: /v}]\n"
	b.apply("evil.yaml", shell("evil", "mkfifo /v/app.conf /v/pipe; mknod /v/disk b 7 250; mkdir /v/tree; ln -s "+here+" /v/tree/x; echo evil >/v/keys; echo ready >/ready; "+forever, volume(shared, "Directory"))+
		mount+"    readinessProbe: {exec: {command: [test, -e, /ready]}, periodSeconds: 1}\n")
	b.waitReady("evil")

	b.apply("victim.yaml", shell("victim", forever, volume(filepath.Join(shared, "app.conf"), "FileOrCreate"))+mount)
	b.waitPod("victim", "refused", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "app.conf is a FIFO, not a File") })
	b.delete("victim.yaml")
	b.waitGone("victim")

	file := filepath.Join(here, "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{"pipe": "/v/pipe is a FIFO", "disk": "/v/disk is a block device"} {
		if out, err := b.try("cp", file, "evil:/v/"+target); err == nil || !strings.Contains(out, want) {
			t.Errorf("cp onto it: %v: %s", err, out)
		}
		if out, err := b.try("cp", "evil:/v/"+target, here); err == nil || !strings.Contains(out, want) {
			t.Errorf("cp of it: %v: %s", err, out)
		}
	}

	// A link that one copy brings is not where the next one goes.
	out := t.TempDir()
	b.run("cp", "evil:/v/tree", out)
	for _, to := range []string{filepath.Join(out, "tree", "x"), filepath.Join(out, "tree", "x") + "/"} {
		if said, err := b.try("cp", "evil:/v/keys", to); err == nil || !strings.Contains(said, "is a link to") {
			t.Errorf("cp to a planted link: %v: %s", err, said)
		}
	}
	if _, err := os.Stat(filepath.Join(here, "keys")); !os.IsNotExist(err) {
		t.Errorf("the container chose where its file went: %v", err)
	}
}

// A pod that collects logs, and may write to their directory, leads nobody who reads or writes logs elsewhere, and holds nobody up.
func TestPlantedLogs(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("victim.yaml", shell("victim", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done", ""))
	victim := b.waitReady("victim")
	dir := "/v/pods/default_victim_" + string(victim.UID) + "/main"
	const secret = "2026-01-01T00:00:00Z stdout F a secret of the machine\n"
	b.writeFile("hostfile", secret)
	b.apply("evil.yaml", shell("evil", forever, "volumes: [{name: v, hostPath: {path: "+b.path("log")+"}}]")+"    volumeMounts: [{name: v, mountPath: /v}]\n")
	b.waitReady("evil")
	evil := func(script string) {
		t.Helper()
		b.run("exec", "evil", "--", "sh", "-c", "cd "+dir+"; "+script)
	}
	for what, script := range map[string]string{
		"a link":            "rm -f 0.log; ln -s " + b.path("hostfile") + " 0.log",
		"a FIFO":            "rm -f 0.log; mkfifo 0.log",
		"a device":          "rm -f 0.log; mknod 0.log c 1 5",
		"a link to a dir":   "cd ..; mv main old; ln -s " + b.dir + " main",
		"another directory": "cd ..; rm -f main; mkdir main; ln -s " + b.path("hostfile") + " main/0.log",
	} {
		evil(script + " || true")
		began := time.Now()
		if out, _ := b.try("logs", "victim"); strings.Contains(out, "secret") {
			t.Errorf("%s: the log shows %s", what, out)
		}
		if took := time.Since(began); took > patience/2 {
			t.Errorf("%s: an answer took %s", what, took)
		}
	}
	// What the next attempt's log is to be.
	evil("ln -sf " + b.path("hostfile") + " 1.log; ln -sf " + b.path("made") + " 2.log")
	b.killContainer(victim, "main")
	b.eventually("the next attempt's output is in its log", func() error {
		out, err := b.try("logs", "victim")
		if err != nil || !strings.Contains(out, "line 1\n") || strings.Contains(out, "secret") {
			return fmt.Errorf("it says %s", out)
		}
		return nil
	})
	if got := readFile(t, b.path("hostfile")); got != secret {
		t.Errorf("a file of the machine is %q", got)
	}
	b.delete("victim.yaml")
	b.waitGone("victim")
	if _, err := os.Lstat(b.path("hostfile")); err != nil {
		t.Error(err)
	}
	if err := b.exists("made"); err == nil {
		t.Error("a file was made where a link leads")
	}
}

// What a privileged container has mounted into its volume, as helpers of network file systems do, goes with the pod's volume and is not
// deleted.
func TestMountsInVolumes(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	precious := b.path("precious")
	if err := os.Mkdir(precious, 0o755); err != nil {
		t.Fatal(err)
	}
	b.writeFile("precious/file", "kept")
	b.apply("pod.yaml", shell("pod", forever, "volumes: [{name: v, emptyDir: {}}]")+"    volumeMounts: [{name: v, mountPath: /v}]\n")
	pod := b.waitReady("pod")
	at := filepath.Join(b.path("root"), "pods", string(pod.UID), "volumes", "v", "share")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(precious, at, "", unix.MS_BIND, ""); err != nil { // as it comes with Bidirectional propagation
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) }) //nolint:errcheck // it went with the pod
	b.delete("pod.yaml")
	b.waitGone("pod")
	b.eventually("the volume is removed", func() error {
		if _, err := os.Lstat(filepath.Dir(at)); !os.IsNotExist(err) {
			return fmt.Errorf("%s is there, or cannot be looked at", at)
		}
		return nil
	})
	if got := readFile(t, filepath.Join(precious, "file")); got != "kept" {
		t.Errorf("what was mounted holds %q", got)
	}
	if text, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(text), at) {
		t.Errorf("it is still mounted: %v", err)
	}
}
