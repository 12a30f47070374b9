package process

import (
	"os/exec"
	"testing"
	"time"
)

// start runs a process that the kernel or this test buries, and returns its id.
func start(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		cmd.Wait()         //nolint:errcheck // it was killed
	})
	return cmd.Process.Pid
}

// A process that runs is waited for as long as is said, and one that was killed until it has ended.
func TestEnds(t *testing.T) {
	pid, begun := start(t), time.Now()
	if ended, err := Await(pid, begun.Add(20*time.Millisecond)); ended || err != nil || time.Since(begun) < 20*time.Millisecond {
		t.Errorf("after %s the process has ended: %v, %v", time.Since(begun), ended, err)
	}
	if err := SendKill(pid); err != nil {
		t.Error(err)
	}
	if ended, err := Await(pid, time.Now().Add(10*time.Second)); !ended || err != nil {
		t.Errorf("the process that was killed has ended: %v, %v", ended, err)
	}
	if err := Kill(start(t)); err != nil {
		t.Error(err)
	}
}

// A process that is not there has ended.
func TestNoProcess(t *testing.T) {
	const none = 1<<22 - 1 // pid_max is at most 1<<22
	ended, err := Await(none, time.Now())
	if !ended || err != nil || Kill(none) != nil || SendKill(none) != nil {
		t.Errorf("%v, %v", ended, err)
	}
}
