package embedded

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shimSocket in the environment makes this program one in a shim's place: it listens there, and has a child.
const shimSocket = "SOLOPOD_TEST_SHIM"

func shim(socket string) error {
	if _, err := net.Listen("unix", socket); err != nil {
		return err
	}
	child := exec.Command("sleep", "300")
	child.Stdout = os.Stdout
	if err := child.Start(); err != nil {
		return err
	}
	fmt.Println(child.Process.Pid)
	return child.Wait()
}

// A shim of this server that no bundle names is killed with what runs below it. One that a bundle names, and another server's, are not.
func TestStrays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, shimName)
	if out, err := exec.Command("cp", self(t), program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// start starts a shim of a server, and returns its child, and the output of both, which ends with them.
	start := func(address, socket string) (child int, output *os.File) {
		t.Helper()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		defer w.Close()
		cmd := exec.Command(program, "-address", address)
		cmd.Env, cmd.Stdout = append(os.Environ(), shimSocket+"="+filepath.Join(dir, socket)), w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if child > 0 {
				unix.Kill(child, unix.SIGKILL) //nolint:errcheck // it may have ended
			}
			cmd.Process.Kill() //nolint:errcheck // it may have ended
			cmd.Wait()         //nolint:errcheck // it was killed
		})
		if err := r.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fscanln(r, &child); err != nil {
			t.Fatal("the shim does not start: ", err)
		}
		return child, r
	}
	named, _ := start("here", "named")
	other, _ := start("there", "other")
	_, output := start("here", "stray")
	endStrays("here", []bundle{{Address: "unix://" + filepath.Join(dir, "named"), Protocol: "ttrpc"}})
	if _, err := io.ReadAll(output); err != nil {
		t.Error("the stray, or what runs below it, runs on: ", err)
	}
	for _, pid := range []int{named, other} {
		if err := unix.Kill(pid, 0); err != nil {
			t.Errorf("what runs below a shim that is no stray was killed: %v", err)
		}
	}
}
