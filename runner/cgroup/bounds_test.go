package cgroup

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// sleeper runs a process in a cgroup of the memory controller, or of cgroup v2.
func sleeper(t *testing.T, cgroupPath string) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // it is killed
		close(done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-done
	})
	join(t, filepath.Join(shimHierarchies()[0], cgroupPath), cmd.Process.Pid)
	return cmd.Process.Pid
}

func join(t *testing.T, dir string, pid int) {
	t.Helper()
	if err := tell(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
		t.Fatal(err)
	}
}

// A process that SIGKILL does not end is told in bounded time, and what can be ended is. One that is frozen in the cgroup itself is
// thawed first.
func TestKillAll(t *testing.T) {
	if Unified() {
		t.Skip("with cgroup v2 a frozen process can be killed") // cgroup-v2.rst, cgroup.freeze
	}
	name := filepath.Base(t.TempDir())
	own, foreign := "/solopod-kill-"+name, "/solopod-frozen-"+name
	freezer := filepath.Join(Mountpoint, "freezer")
	for _, dir := range []string{filepath.Join(Mountpoint, "memory", own, "below"), filepath.Join(freezer, own), filepath.Join(freezer, foreign)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	state := func(cgroupPath, text string) {
		t.Helper()
		file := filepath.Join(freezer, cgroupPath, "freezer.state")
		if err := tell(file, text); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(5 * time.Second); ; {
			if now, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(now)) == text {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not become %s", cgroupPath, text)
			}
		}
	}
	t.Cleanup(func() {
		for _, cgroupPath := range []string{own, foreign} {
			thaw(cgroupPath)
			if err := errors.Join(killAll(cgroupPath, time.Now().Add(5*time.Second)), directories{}.remove(context.Background(), cgroupPath)); err != nil {
				t.Error(err)
			}
		}
	})
	stuck, free := sleeper(t, own), sleeper(t, own+"/below")
	join(t, filepath.Join(freezer, foreign), stuck)
	join(t, filepath.Join(freezer, own), free)
	state(foreign, "FROZEN")
	state(own, "FROZEN")
	begun, limit := time.Now(), 200*time.Millisecond
	err := killAll(own, begun.Add(limit))
	if took := time.Since(begun); err == nil || !strings.Contains(err.Error(), "process "+strconv.Itoa(stuck)) || took < limit || took > limit+5*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
	state(foreign, "THAWED")
	if err := killAll(own, time.Now().Add(5*time.Second)); err != nil {
		t.Error(err)
	}
	if left, err := processes(filepath.Join(Mountpoint, "memory", own, "below")); err != nil || len(left) > 0 {
		t.Errorf("processes %v are left, %v", left, err)
	}
}

// What pods have in common is not taken away from a pod that is about to be made, nor waited for for ever.
func TestClassStays(t *testing.T) {
	l := NewLayout("/solopod-class-"+filepath.Base(t.TempDir()), Cgroupfs)
	m := NewManager(l)
	t.Cleanup(func() {
		if err := m.keeper.remove(context.Background(), l.Root()); err != nil {
			t.Error(err)
		}
	})
	for n := range 20 {
		uid, done := strconv.Itoa(n), make(chan error)
		resources := PodResources(&v1.Pod{}, 0)
		if _, err := m.Create(t.Context(), uid, v1.PodQOSBurstable, resources); err != nil {
			t.Fatal(err)
		}
		go func() { done <- m.Remove(t.Context(), uid) }()
		path, err := m.Create(t.Context(), "next"+uid, v1.PodQOSBurstable, resources)
		if err := errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
		for _, base := range []string{path, l.Shim("next" + uid)} {
			if _, err := os.Stat(filepath.Join(shimHierarchies()[0], base)); err != nil {
				t.Error(err)
			}
		}
		if err := m.Remove(t.Context(), "next"+uid); err != nil {
			t.Fatal(err)
		}
	}
}

// Who waits for another's turn, or for systemd, heeds the end of its context.
func TestTurnIsCancelled(t *testing.T) {
	m := NewManager(NewLayout("/solopod-turn", Cgroupfs))
	if _, ok := m.turn.Try(); !ok { // another has it, and does not end
		t.Fatal("the turn is not to be had")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := m.Create(ctx, "uid", v1.PodQOSBurstable, PodResources(&v1.Pod{}, 0))
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(turnLimit / 2):
		t.Error("it still waits for its turn")
	}
}

// A bus that takes a connection and says nothing is given up.
func TestBusThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, conn) // until the other side closes
			conn.Close()
		}
		closed <- err
	}()
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+path)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	select {
	case err := <-closed:
		if err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the connection is still held")
	}
}
