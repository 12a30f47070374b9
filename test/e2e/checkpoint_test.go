package e2e

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Where CRIU is installed a container's processes can be written down; elsewhere that is said.
func TestCheckpoint(t *testing.T) {
	b := newBox(t, embedded)
	b.stop(syscall.SIGTERM)
	if err := os.MkdirAll(b.path("root/checkpoints/.making-1/checkpoint"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.writeFile("root/checkpoints/.making-1/checkpoint/pages-1.img", "what processes know") // as after a crash
	b.start()
	if exists(b.path("root/checkpoints/.making-1")) {
		t.Error("what a crash has left is still there")
	}
	b.apply("pod.yaml", shell("pod", "echo begun; "+forever, ""))
	pod := b.waitReady("pod")
	code, body := ask(b.http, "POST", "http://solopod/checkpoint/default/pod/main", "")
	if _, err := exec.LookPath("criu"); err != nil {
		if code != http.StatusNotImplemented || !strings.Contains(body, "criu is not installed") {
			t.Errorf("without CRIU: %d: %s", code, body)
		}
		return
	}
	var answer struct{ Items []string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Items) != 1 || !strings.HasPrefix(filepath.Base(answer.Items[0]), "checkpoint-pod_default-main-") {
		t.Fatalf("%d: %s", code, body)
	}
	f, err := os.Open(answer.Items[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	for _, want := range []string{"spec.dump", "checkpoint/inventory.img", "checkpoint/pages-1.img"} {
		if !slices.Contains(names, want) {
			t.Errorf("the archive has no %s: %v", want, names)
		}
	}
	if info, err := os.Stat(answer.Items[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the archive: %v, %v", info, err)
	}
	if out := b.run("exec", "pod", "--", "echo", "goes on"); out != "goes on\n" || status(b.pod("default", "pod"), "main").ContainerID != status(pod, "main").ContainerID {
		t.Errorf("the container does not run on: %s", out)
	}
	if left := b.matches("root/checkpoints/*"); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
}
