// Package testbox gives the runner's tests a small machine of their own: namespaces for mounts and the network, a cgroup, and a
// containerd in memory. Nothing but tests uses it.
package testbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// inside is set for the process that has namespaces of its own.
const inside = "SOLOPOD_TESTBOX"

// Main runs a package's tests in a mount and a network namespace of their own, with an empty /run: what they mount and connect
// ends with them. It needs root.
func Main(m *testing.M) {
	if os.Getuid() != 0 {
		fmt.Println("these tests need root: they make namespaces, mounts and cgroups") //nolint:forbidigo // the test's output
		os.Exit(1)
	}
	if os.Getenv(inside) == "" {
		os.Exit(again())
	}
	if err := prepare(); err != nil {
		fmt.Println("cannot make a machine for the tests:", err) //nolint:forbidigo // the test's output
		os.Exit(1)
	}
	code := m.Run()
	if err := removeCgroups(CgroupRoot()); err != nil {
		fmt.Println("cannot remove the tests' cgroups:", err) //nolint:forbidigo // the test's output
		code = 1
	}
	if left := leaked(); code == 0 && left != "" {
		fmt.Printf("goroutines are left behind:\n%s\n", left) //nolint:forbidigo // the test's output
		code = 1
	}
	os.Exit(code)
}

// again runs this program in new namespaces.
func again() int {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose death Pdeathsig is about
	err := c.Run()
	if c.Process != nil {
		err = errors.Join(err, removeCgroups(cgroupRoot(c.Process.Pid))) // also of tests that were cut off
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		fmt.Println("cannot run the tests in namespaces:", err) //nolint:forbidigo // the test's output
		return 1
	}
	return 0
}

func prepare() error {
	if err := unix.Mount("run", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("/run: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// CgroupRoot is the cgroup below which the tests of this process have theirs.
func CgroupRoot() string { return cgroupRoot(os.Getpid()) }

func cgroupRoot(pid int) string { return fmt.Sprintf("/solopod-test-%d", pid) }

// removeCgroups removes what tests have made below root, in every hierarchy.
func removeCgroups(root string) error {
	roots, err := filepath.Glob("/sys/fs/cgroup/*" + root)
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range append(roots, "/sys/fs/cgroup"+root) {
		errs = append(errs, removeCgroup(dir))
	}
	return errors.Join(errs...)
}

func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// leakLimit is how long goroutines may take to end after the last test.
const leakLimit = 10 * time.Second

// leaked waits for the goroutines of the runner's packages to end, and returns the stacks of those that do not.
func leaked() (stacks string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(leakLimit); ; <-tick.C {
		if stacks = running(); stacks == "" || time.Now().After(end) {
			return stacks
		}
	}
}

func running() string {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var left []string
	for i, stack := range bytes.Split(buf, []byte("\n\n")) {
		if i > 0 && bytes.Contains(stack, []byte("/solopod/runner")) {
			left = append(left, string(stack))
		}
	}
	return strings.Join(left, "\n\n")
}

// Eventually waits until ok returns true, and fails the test after ten seconds.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

// Dir makes a directory, below the test's own, that others may enter. What is mounted below it is unmounted with the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // all of a test's are in one that is root's alone
		t.Fatal(err)
	}
	t.Cleanup(func() { unmountAll(t, dir) })
	return dir
}

func unmountAll(t testing.TB, dir string) {
	data, err := foreign.ReadKernel("/proc/self/mountinfo")
	if err != nil {
		t.Error(err)
		return
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if path := strings.Fields(lines[i])[4]; strings.HasPrefix(path, dir+"/") {
			if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				t.Errorf("cannot unmount %s: %v", path, err)
			}
		}
	}
}
