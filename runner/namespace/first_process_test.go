package namespace

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
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
