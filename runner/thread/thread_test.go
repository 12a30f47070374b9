package thread

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/rescue"
)

// What is changed is the thread's, and goes with it: nobody else has it, least of all the main thread.
func TestOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roots")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wanted := errors.New("f's own")
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			err := Own(func() error {
				if unix.Gettid() == os.Getpid() {
					t.Error("on the main thread")
				}
				if _, err := unix.SetfsuidRetUid(1000); err != nil {
					return err
				}
				if _, err := os.ReadFile(path); !errors.Is(err, os.ErrPermission) {
					t.Errorf("with another user's id: %v", err)
				}
				return wanted
			})
			if !errors.Is(err, wanted) {
				t.Error(err)
			}
			if _, err := os.ReadFile(path); err != nil {
				t.Errorf("beside it: %v", err)
			}
		})
	}
	wg.Wait()
	for _, status := range []string{"/proc/self/status", "/proc/thread-self/status"} {
		text, err := os.ReadFile(status)
		if err != nil || !strings.Contains(string(text), "\nUid:\t0\t0\t0\t0\n") {
			t.Errorf("%s: %v\n%s", status, err, text)
		}
	}
}

// A panic is not the process's end, and its thread ends as any.
func TestPanic(t *testing.T) {
	if err := Own(func() error { panic("over what somebody has made") }); !errors.Is(err, rescue.ErrPanicked) {
		t.Error(err)
	}
}
