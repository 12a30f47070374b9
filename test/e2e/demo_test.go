package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// However "make run" is ended, and whenever, it leaves nothing: no pod, shim, keeper, mount, bridge, table, cgroup or file.
func TestDemoEnds(t *testing.T) {
	t.Parallel()
	const shown = "To stop press Ctrl-C"
	interrupt := func(d *demo) { d.typed("\x03") }
	for name, c := range map[string]struct {
		when string // what it has printed
		end  func(*demo)
		cut  bool // it did not come to its end, which is no success
	}{
		"Ctrl-C while it packs an image":          {"Packing", interrupt, true},
		"Ctrl-C while the daemon starts":          {"Starting Solopod", interrupt, true},
		"Ctrl-C while the pod starts":             {"Dropping a manifest", interrupt, true},
		"Ctrl-\\":                                 {shown, func(d *demo) { d.typed("\x1c") }, false},
		"Ctrl-C twice":                            {shown, func(d *demo) { interrupt(d); d.waitFor("Stopping"); interrupt(d) }, false},
		"the terminal is closed":                  {shown, func(d *demo) { d.terminal.Close() }, false},
		"the terminal is closed while it answers": {"It answers at", func(d *demo) { d.terminal.Close() }, true},
		"SIGTERM":              {shown, func(d *demo) { d.signal(d.cmd.Process.Pid, syscall.SIGTERM) }, false},
		"the daemon is killed": {shown, func(d *demo) { d.signal(d.daemon(), syscall.SIGKILL) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t)
			d.waitFor(c.when)
			state := d.state()
			c.end(d)
			d.ends(c.cut)
			d.leavesNothing(state)
		})
	}
}

// demo is a run of "make run" on a terminal of its own.
type demo struct {
	t        *testing.T
	dir      string // what it makes lies there
	cmd      *exec.Cmd
	terminal *os.File
	ended    chan struct{}

	mu      sync.Mutex
	printed bytes.Buffer
}

func startDemo(t *testing.T) *demo {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sp") // paths of unix sockets are short
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{t: t, dir: dir, ended: make(chan struct{})}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	terminal, side := openTerminal(t)
	d.terminal = terminal
	t.Cleanup(func() { terminal.Close() })
	d.cmd = exec.Command("make", "--no-print-directory", "-C", "../..", "run")
	d.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { // this test may be of a make of its own, or of a proof
		return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=") || strings.HasPrefix(v, "PROVE=")
	})
	// As at a company that is left by a proxy only; it does not answer.
	d.cmd.Env = append(d.cmd.Env, "TMPDIR="+dir, "http_proxy=http://127.0.0.1:9", "HTTP_PROXY=http://127.0.0.1:9")
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = side, side, side
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = d.cmd.Start()
	side.Close() // the command has it
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.ended)
		d.cmd.Wait() //nolint:errcheck // ends looks at the state
	}()
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := terminal.Read(buffer)
			d.mu.Lock()
			d.printed.Write(buffer[:n])
			d.mu.Unlock()
			if err != nil { // EIO when nobody has the other side any more
				return
			}
		}
	}()
	return d
}

// openTerminal makes a terminal, and opens the side of the program that is to run on it.
func openTerminal(t *testing.T) (terminal, side *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := terminal.SyscallConn() // Fd would have reads hang that Close cannot end
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var asked error
	err = raw.Control(func(fd uintptr) {
		number, asked = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		asked = errors.Join(asked, unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0))
	})
	if err = errors.Join(err, asked); err != nil {
		t.Fatal(err)
	}
	side, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return terminal, side
}

func (d *demo) output() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.printed.String()
}

func (d *demo) waitFor(text string) {
	d.t.Helper()
	err := poll(patience, func() error {
		select {
		case <-d.ended:
			return nil // for the look below
		default:
		}
		if !strings.Contains(d.output(), text) {
			return errors.New("it has not come")
		}
		return nil
	})
	if err != nil || !strings.Contains(d.output(), text) {
		d.t.Fatalf("make run prints no %q: %v\n%s", text, err, d.output())
	}
}

func (d *demo) typed(keys string) {
	d.t.Helper()
	if _, err := d.terminal.WriteString(keys); err != nil {
		d.t.Error(err)
	}
}

func (d *demo) signal(pid int, s syscall.Signal) {
	d.t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		d.t.Errorf("cannot signal %d: %v", pid, err)
	}
}

// state is the daemon's state directory.
func (d *demo) state() string {
	d.t.Helper()
	made, err := filepath.Glob(filepath.Join(d.dir, "solopod-demo.*"))
	if err != nil || len(made) != 1 {
		d.t.Fatalf("make run has made %q, %v", made, err)
	}
	return filepath.Join(made[0], "state")
}

func (d *demo) daemon() int {
	d.t.Helper()
	for pid, args := range commandLines(d.t) {
		if strings.Contains(args, "solopod run") && strings.Contains(args, d.dir+"/") {
			return pid
		}
	}
	d.t.Fatal("no daemon runs")
	return 0
}

// ends waits for the end. Where it was cut off its exit code must tell.
func (d *demo) ends(cut bool) {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatalf("make run has not ended; it printed\n%s", d.output())
	}
	if cut && d.cmd.ProcessState.Success() {
		d.t.Errorf("make run was cut off, and ended with success; it printed\n%s", d.output())
	}
}

func (d *demo) leavesNothing(state string) {
	d.t.Helper()
	instance := instanceOf(state)
	var left []string
	files, err := filepath.Glob(filepath.Join(d.dir, "*"))
	if err != nil {
		d.t.Error(err)
	}
	left = append(left, files...)
	for _, line := range strings.Split(readFile(d.t, "/proc/self/mounts"), "\n") {
		if strings.Contains(line, d.dir+"/") {
			left = append(left, "mount "+line)
		}
	}
	for pid, args := range commandLines(d.t) {
		cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if strings.Contains(args, d.dir+"/") || bytes.Contains(cgroup, []byte("/"+instance+"/")) {
			left = append(left, fmt.Sprintf("process %d %s", pid, args))
		}
	}
	for _, look := range [][]string{{"nft", "list", "tables"}, {"ip", "-o", "link"}} {
		out, err := exec.Command(look[0], look[1:]...).CombinedOutput()
		if err != nil {
			d.t.Errorf("%s: %v: %s", look, err, out)
		}
		for _, line := range strings.Split(string(out), "\n") {
			if strings.Contains(line, instance) {
				left = append(left, line)
			}
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		groups, err := filepath.Glob(pattern + instance)
		if err != nil {
			d.t.Error(err)
		}
		left = append(left, groups...)
	}
	if len(left) > 0 {
		d.t.Errorf("make run leaves behind:\n%s\nit printed\n%s", strings.Join(left, "\n"), d.output())
	}
}

// commandLines are those of all processes, by pid.
func commandLines(t *testing.T) map[int]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]string{}
	for _, file := range files {
		var pid int
		text, err := os.ReadFile(file)
		if _, bad := fmt.Sscanf(file, "/proc/%d/cmdline", &pid); err != nil || bad != nil { // it has ended
			continue
		}
		out[pid] = string(bytes.ReplaceAll(bytes.TrimRight(text, "\x00"), []byte{0}, []byte{' '}))
	}
	return out
}
