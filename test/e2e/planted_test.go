package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
