package alarm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func plenty() (uint64, error) { return 1 << 50, nil }

// rings waits for the alarm.
func rings(t *testing.T, m *Memory) {
	t.Helper()
	select {
	case <-m.Rings():
	case <-time.After(20 * time.Second):
		t.Fatal("it does not ring")
	}
}

func silent(t *testing.T, m *Memory) {
	t.Helper()
	select {
	case <-m.Rings():
		t.Fatal("it rings")
	default:
	}
}

func TestNear(t *testing.T) {
	for name, c := range map[string]struct {
		set, wanted, left uint64
		want              bool
	}{
		"the same": {1000, 1000, 800, true}, "a little early": {900, 1000, 800, true}, "much too early": {899, 1000, 800, false}, "late": {1001, 1000, 800, false},
	} {
		if near(c.set, c.wanted, c.left) != c.want {
			t.Error(name)
		}
	}
}

// TestNothingRings: a kernel without any of it is none that fails.
func TestNothingRings(t *testing.T) {
	dir := t.TempDir()
	m := Open(Places{Pressure: filepath.Join(dir, "none"), Cgroup: filepath.Join(dir, "none"), Free: plenty})
	defer m.Close()
	m.Arm(1 << 20)
	if m.Works() {
		t.Error("it works without a kernel")
	}
	silent(t, m)
	file := filepath.Join(dir, "file") // which no kernel has
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := Open(Places{Pressure: file})
	defer other.Close()
	other.Arm(1 << 20)
	if other.Works() {
		t.Error("it works with a file of no kernel's")
	}
}

// memoryCgroup makes a cgroup of v1's memory controller that is gone after the test.
func memoryCgroup(t *testing.T, name string) string {
	t.Helper()
	const root = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(filepath.Join(root, "cgroup.event_control")); err != nil {
		t.Skip("cgroups are v2 here")
	}
	dir := filepath.Join(root, "solopod-"+name+"-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var err error
		for range 100 { // pages that are still charged make it busy for a moment
			if err = unix.Rmdir(dir); err == nil {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
		t.Error(err)
	})
	return dir
}

// within makes a command that runs in a cgroup.
func within(dir, script string) *exec.Cmd {
	return exec.Command("sh", "-c", "echo 0 >"+filepath.Join(dir, "cgroup.procs")+"; "+script)
}

// TestStalls: programs that wait for memory ring, and the wait for that ends with Close.
func TestStalls(t *testing.T) {
	f, err := os.OpenFile("/proc/pressure/memory", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this kernel keeps no pressure stall information: ", err)
	}
	f.Close()
	m := Open(Machine(true))
	defer m.Close()
	if m.stalled == nil {
		t.Fatal("the kernel does not take the trigger")
	}
	m.Arm(1)
	if m.Works() {
		t.Error("who takes all of the memory waits for none, which is taken for an alarm")
	}
	if m.crossed != nil {
		t.Error("with cgroup v2 there is a threshold")
	}
	dir, file := memoryCgroup(t, "stalls"), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte("16777216"), 0o600); err != nil {
		t.Fatal(err)
	}
	thrash := within(dir, "head -c 100000000 /dev/urandom >"+file+"; for i in 1 2 3 4 5 6; do (while cat "+file+"; do :; done) >/dev/null & done; wait")
	thrash.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := thrash.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Kill(-thrash.Process.Pid, unix.SIGKILL); err != nil {
			t.Error(err)
		}
		thrash.Wait() //nolint:errcheck // it was killed
	}()
	rings(t, m)
}

// TestThreshold: what a cgroup uses beyond its threshold rings, once, and again when it was armed again.
func TestThreshold(t *testing.T) {
	dir := memoryCgroup(t, "threshold")
	file := filepath.Join("/dev/shm", filepath.Base(dir))
	t.Cleanup(func() { os.Remove(file) })
	uses := func(mebis int) {
		t.Helper()
		if out, err := within(dir, "exec head -c "+strconv.Itoa(mebis<<20)+" /dev/zero >>"+file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	m := Open(Places{Pressure: filepath.Join(t.TempDir(), "none"), Cgroup: dir, Free: plenty})
	defer m.Close()
	m.Arm(0)
	if m.Works() {
		t.Error("it is armed with nothing left")
	}
	m.Arm(16 << 20)
	set := m.crossed
	m.Arm(16 << 20)
	if !m.Works() || m.crossed != set {
		t.Error("what was about right was set anew")
	}
	uses(4)
	silent(t, m)
	uses(20)
	rings(t, m)
	m.Arm(8 << 20)
	silent(t, m)
	uses(16)
	rings(t, m)
	m.Arm(64 << 20)
	m.Arm(16 << 20) // nearer
	uses(24)
	rings(t, m)
}

// TestRoom: a threshold that usage cannot reach, as there is less free memory, is none; what it can reach is set, and rings earlier.
func TestRoom(t *testing.T) {
	dir := memoryCgroup(t, "room")
	free := uint64(0)
	var failure error
	m := Open(Places{Pressure: filepath.Join(t.TempDir(), "none"), Cgroup: dir, Free: func() (uint64, error) { return free, failure }})
	defer m.Close()
	for _, c := range []struct {
		name       string
		free, left uint64
		failure    error
		works      bool
		at         uint64
	}{
		{"enough is free", 1 << 30, 16 << 20, nil, true, 16 << 20},
		{"cached files would go before", 80 << 20, 1 << 30, nil, true, 80 << 20},
		{"hardly anything is free", 63 << 20, 1 << 30, nil, false, 0},
		{"it is enough again", 200 << 20, 1 << 30, nil, true, 200 << 20},
		{"all is used", 200 << 20, 0, nil, false, 0},
		{"little is left, and free", 33 << 20, 32 << 20, nil, true, 32 << 20},
		{"it cannot be told", 200 << 20, 32 << 20, errors.New("it fails"), false, 0},
	} {
		free, failure = c.free, c.failure
		m.Arm(c.left)
		if m.Works() != c.works || c.works && m.at != c.at { // the cgroup is empty
			t.Errorf("%s: %t at %d", c.name, m.Works(), m.at)
		}
	}
	silent(t, m)
}
