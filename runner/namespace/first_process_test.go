package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A set-up that was cut off anywhere leaves nothing: neither the first process, which no file names yet, nor files.
func TestUnpinOfWhatWasCutOff(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ns")
	program := filepath.Join(dir, programFile)
	if err := errors.Join(os.Mkdir(dir, 0o711), os.WriteFile(program, initProgram(initCode[runtime.GOARCH], machines[runtime.GOARCH]), 0o755),
		os.WriteFile(filepath.Join(dir, ".init.123"), nil, 0o600), os.WriteFile(filepath.Join(dir, "net"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	first := exec.Command(program)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		first.Wait() //nolint:errcheck // it is killed
	}()
	t.Cleanup(func() { first.Process.Kill() }) //nolint:errcheck // it has ended, as a rule
	if err := Unpin(dir); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the first process runs")
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
	if err := Unpin(dir); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// The state directory's file system may be mounted noexec. The first process runs all the same, with users of its own, and is found when its
// set-up was cut off.
func TestFirstOnNoexec(t *testing.T) {
	top := t.TempDir()
	if err := unix.Mount("tmpfs", top, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(top, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for name, users := range map[string]*specs.LinuxIDMapping{"processes": nil, "users": {ContainerID: 0, HostID: 1 << 20, Size: 1 << 16}} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cut off: %t", name, cut), func(t *testing.T) {
				dir := filepath.Join(top, fmt.Sprintf("%s-%t", name, cut))
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				flags := uintptr(unix.CLONE_NEWPID)
				if users != nil {
					flags |= unix.CLONE_NEWUSER
				}
				pid, err := startFirst(dir, flags, users)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { unix.Kill(pid, unix.SIGKILL) }) //nolint:errcheck // it has ended, as a rule
				if FirstProcess(dir) != pid {
					t.Fatal("it is not found")
				}
				if cut {
					if err := errors.Join(os.Remove(filepath.Join(dir, firstFile)), os.WriteFile(filepath.Join(dir, programFile), nil, 0o600)); err != nil {
						t.Fatal(err)
					}
				}
				if err := Unpin(dir); err != nil {
					t.Error(err)
				}
				for deadline := time.Now().Add(20 * time.Second); ; {
					if _, err := startTime(pid); err != nil {
						break
					}
					if time.Now().After(deadline) {
						t.Fatal("the first process runs")
					}
					time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a poll with a deadline
				}
			})
		}
	}
}
