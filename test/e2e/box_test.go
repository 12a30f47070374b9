// Package e2e drives the built binary only: through its command line, its files and HTTP, with real containers. Each
// test has directories, a cgroup and a containerd of its own, and leaves nothing behind.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// patience bounds every wait; CI machines are slow and shared, and an emulated one is slower still.
var patience = 60 * time.Second

// driver is who makes cgroups; empty leaves it to the daemon.
var driver = flag.String("cgroup-driver", "", "run the daemon with this cgroup driver: cgroupfs or systemd")

// ociRuntime makes the containers.
var ociRuntime = flag.String("runtime", "runc", "run the daemon with this OCI runtime")

// program is the binary that is tested; its companions lie beside it.
var program = flag.String("binary", "../../bin/solopod", "test this binary")

// slow runs the tests' longer forms as well.
var slow = flag.Bool("slow", false, "also run what takes minutes")

// Modes of containerd.
const (
	embedded = "embedded"
	outside  = "outside"
)

// box is one machine as far as Solopod can tell: its directories, its daemon and maybe its containerd.
type box struct {
	t          *testing.T
	mode       string
	dir        string
	cgroup     string
	flags      []string
	environ    []string // of the daemon, beside the test's own
	namespaces []string // a command that runs the daemon in namespaces of its own
	daemon     *exec.Cmd
	containerd *exec.Cmd
	output     *os.File
	http       *http.Client
	// disks are file systems of the test's own that the box's directories lie on.
	disks []string
}

var boxes atomic.Int32

var binary, imageArchive, packBinary, webBinary string

func TestMain(m *testing.M) {
	flag.DurationVar(&patience, "patience", patience, "how long to wait for what is expected")
	flag.Parse()
	code := 1
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot prepare the tests:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(filepath.Dir(imageArchive))
	os.Exit(code)
}

// prepare finds what make built and packs the image that most tests use.
func prepare() error {
	if os.Geteuid() != 0 {
		return errors.New("the tests run containers: run them as root")
	}
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		return err
	}
	if binary, err = filepath.Abs(*program); err != nil {
		return err
	}
	packBinary, webBinary = filepath.Join(bin, "pack"), filepath.Join(bin, "web")
	for _, path := range []string{binary, webBinary, packBinary, "/bin/busybox"} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w (make e2e builds and installs everything)", err)
		}
	}
	dir, err := os.MkdirTemp("", "e2e-image")
	if err != nil {
		return err
	}
	imageArchive = filepath.Join(dir, "box.tar")
	args := []string{"-o", imageArchive, "-name", "solopod.example/box:1", "-env", "FROM_IMAGE=yes", webBinary + ":/web", "/bin/busybox:/bin/busybox"}
	for _, applet := range strings.Fields("sh cat echo sleep kill wget nc id env hostname ls stat mount grep dd tail mkdir touch test printf seq date head nslookup true false sync ps ulimit nproc wc stty") {
		args = append(args[:4:4], append([]string{"-link", "/bin/" + applet + "=busybox"}, args[4:]...)...)
	}
	out, err := exec.Command(packBinary, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("pack: %w: %s", err, out)
	}
	return nil
}

// bothModes runs a test with containerd in-process and outside.
func bothModes(t *testing.T, test func(t *testing.T, b *box)) {
	for _, mode := range []string{embedded, outside} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			test(t, newBox(t, mode))
		})
	}
}

// newBox makes the directories, imports the image and starts the daemon.
func newBox(t *testing.T, mode string, flags ...string) *box {
	t.Helper()
	b := prepareBox(t, mode, flags...)
	b.link(imageArchive, "images/box.tar")
	b.start()
	return b
}

func prepareBox(t *testing.T, mode string, flags ...string) *box {
	t.Helper()
	// Paths of unix sockets are short.
	dir, err := os.MkdirTemp("/tmp", "sp")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // users of a pod with hostUsers: false find their way, as below /var/lib
		t.Fatal(err)
	}
	b := &box{t: t, mode: mode, dir: dir, cgroup: fmt.Sprintf("/%s-%d", filepath.Base(dir), boxes.Add(1)), flags: flags}
	b.http = &http.Client{Timeout: 2 * patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", b.path("socket"))
		}}}
	for _, sub := range []string{"manifests", "images", "log", "cni"} {
		if err := os.Mkdir(b.path(sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.output, err = os.Create(b.path("output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.remove)
	if mode == outside {
		b.startContainerd()
	}
	return b
}

func (b *box) path(name string) string { return filepath.Join(b.dir, name) }

func (b *box) startContainerd() {
	b.t.Helper()
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		b.path("containerd-root"), b.path("containerd-state"), b.path("containerd.sock"))
	b.writeFile("containerd.toml", config)
	cmd := exec.Command("containerd", "--config", b.path("containerd.toml"), "--log-level", "error")
	cmd.Stdout, cmd.Stderr = b.output, b.output
	if err := cmd.Start(); err != nil {
		b.t.Fatal("cannot start containerd: ", err)
	}
	b.containerd = cmd
	b.eventually("containerd answers", func() error {
		c, err := net.Dial("unix", b.path("containerd.sock"))
		if err == nil {
			c.Close()
		}
		return err
	})
}

// start starts the daemon and waits until it has read the manifests.
func (b *box) start() {
	b.t.Helper()
	b.launch()
	b.eventually("the daemon is ready", func() error {
		_, err := b.get("/readyz")
		return err
	})
}

// launch starts the daemon.
func (b *box) launch() {
	b.t.Helper()
	containerd := embedded
	if b.mode == outside {
		containerd = b.path("containerd.sock")
	}
	args := []string{"run", "--manifests", b.path("manifests"), "--images", b.path("images"), "--root", b.path("root"),
		"--state", b.path("state"), "--log-dir", b.path("log"), "--socket", b.path("socket"), "--listen", "",
		"--cni-conf-dir", b.path("cni"), "--cgroup-root", b.cgroup, "--cgroup-driver", *driver, "--runtime", *ociRuntime, "--containerd", containerd}
	b.evictNobody()
	args = slices.Concat(b.namespaces, []string{binary}, args, b.flags)
	b.daemon = exec.Command(args[0], args[1:]...)
	b.daemon.Stdout, b.daemon.Stderr = b.output, b.output
	b.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	b.daemon.Env = append(os.Environ(), b.environ...)
	if err := b.daemon.Start(); err != nil {
		b.t.Fatal(err)
	}
}

// evictNobody turns evictions off where the test has no thresholds of its own: machines that run tests may have hardly any room on their
// disks.
func (b *box) evictNobody() {
	b.t.Helper()
	const off = "evictionHard: {}\n"
	file := ""
	for i, flag := range b.flags {
		if flag == "--config" {
			file = b.flags[i+1] // the last counts
		}
	}
	if file == "" {
		b.writeFile("evictions.yaml", off)
		b.flags = append(b.flags, "--config", b.path("evictions.yaml"))
		return
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.HasPrefix(string(text), "evictionHard:") || strings.Contains(string(text), "\nevictionHard:") {
		return // the daemon says what is wrong with it
	}
	if err := os.WriteFile(file, append(text, "\n"+off...), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// crash ends the daemon with SIGKILL.
func (b *box) crash() { b.stop(syscall.SIGKILL) }

func (b *box) stop(s syscall.Signal) {
	b.t.Helper()
	b.stopWithin(patience, s)
}

// stopWithin sends the daemon a signal and waits for its end. One that does not end in time prints what its goroutines do.
func (b *box) stopWithin(limit time.Duration, s syscall.Signal) {
	b.t.Helper()
	daemon := b.daemon
	b.daemon = nil
	if err := daemon.Process.Signal(s); err != nil {
		b.t.Fatal(err)
	}
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = daemon.Wait()
	}()
	select {
	case <-ended:
		if s != syscall.SIGKILL && s != syscall.SIGABRT && err != nil {
			b.t.Errorf("the daemon ended with %v", err)
		}
	case <-time.After(limit):
		b.t.Errorf("the daemon has not ended %s after %v", limit, s)
		daemon.Process.Signal(syscall.SIGQUIT) //nolint:errcheck // it may just have ended
		select {
		case <-ended:
			b.t.Logf("it has ended then: %v", err)
		case <-time.After(limit):
			daemon.Process.Kill() //nolint:errcheck // it may just have ended
			<-ended
			b.t.Logf("it was killed: %v", err)
		}
	}
}

// endsPromptly tells the daemon to end, which it does within 10 s, whatever hangs. The rest is for a machine that is busy.
func (b *box) endsPromptly() {
	b.t.Helper()
	b.stopWithin(15*time.Second, syscall.SIGTERM)
}

// get asks the daemon's socket.
func (b *box) get(path string) ([]byte, error) {
	resp, err := b.http.Get("http://solopod" + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, buf.String())
	}
	return buf.Bytes(), nil
}

func (b *box) mustGet(path string) string {
	b.t.Helper()
	out, err := b.get(path)
	if err != nil {
		b.t.Fatalf("GET %s: %v", path, err)
	}
	return string(out)
}

// run runs a command of the binary and returns its output; a non-zero exit code fails the test.
func (b *box) run(args ...string) string {
	b.t.Helper()
	out, err := b.try(args...)
	if err != nil {
		b.t.Fatalf("solopod %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (b *box) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"--socket", b.path("socket")}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (b *box) writeFile(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// configure gives the daemon a configuration file, from its next start on.
func (b *box) configure(text string) {
	b.t.Helper()
	b.writeFile("config.yaml", text)
	b.flags = append(b.flags, "--config", b.path("config.yaml"))
}

func (b *box) link(target, name string) {
	b.t.Helper()
	if err := os.Symlink(target, b.path(name)); err != nil {
		b.t.Fatal(err)
	}
}

// apply moves a manifest into place, as tools should.
func (b *box) apply(file, manifest string) {
	b.t.Helper()
	b.writeFile("manifests/.new", manifest)
	if err := os.Rename(b.path("manifests/.new"), b.path("manifests/"+file)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) delete(file string) {
	b.t.Helper()
	if err := os.Remove(b.path("manifests/" + file)); err != nil {
		b.t.Fatal(err)
	}
}

// pod returns a pod, or nil when there is none.
func (b *box) pod(namespace, name string) *v1.Pod {
	b.t.Helper()
	pod, err := b.findPod(namespace, name)
	if err != nil {
		b.t.Fatal(err)
	}
	return pod
}

// findPod is pod for a daemon that may not answer.
func (b *box) findPod(namespace, name string) (*v1.Pod, error) {
	text, err := b.get("/pods")
	if err != nil {
		return nil, err
	}
	var list v1.PodList
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if p := &list.Items[i]; p.Name == name && p.Namespace == namespace {
			return p, nil
		}
	}
	return nil, nil
}

// waitPod waits, by the daemon's own watch, until the pod is as wanted. what is for the message.
func (b *box) waitPod(name, what string, wanted func(*v1.Pod) bool) *v1.Pod {
	b.t.Helper()
	return b.waitPodIn(v1.NamespaceDefault, name, what, wanted)
}

func (b *box) waitPodIn(namespace, name, what string, wanted func(*v1.Pod) bool) *v1.Pod {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://solopod/pods?watch=true", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal("cannot watch: ", err)
	}
	defer resp.Body.Close()
	var last *v1.Pod
	for d := json.NewDecoder(resp.Body); ; {
		var e struct {
			Type   string
			Object *v1.Pod
		}
		if err := d.Decode(&e); err != nil {
			status, _ := json.MarshalIndent(last, "", " ")
			b.t.Fatalf("pod %s is not %s within %s: %v; last seen: %s", name, what, patience, err, status)
		}
		if e.Object.Name != name || e.Object.Namespace != namespace {
			continue
		}
		last = e.Object
		if e.Type != "DELETED" && wanted(e.Object) {
			return e.Object
		}
	}
}

func (b *box) waitReady(name string) *v1.Pod {
	b.t.Helper()
	return b.waitPod(name, "ready", isReady)
}

func isReady(p *v1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return false
}

func (b *box) waitGone(name string) {
	b.t.Helper()
	b.eventually("pod "+name+" is gone", func() error {
		if p := b.pod(v1.NamespaceDefault, name); p != nil {
			return fmt.Errorf("it is still there, %s", p.Status.Phase)
		}
		return nil
	})
}

// eventually repeats a check until it holds. It is for what sends no event; the pause only keeps the loop from spinning.
func (b *box) eventually(what string, check func() error) {
	b.t.Helper()
	b.within(patience, what, check)
}

// within is eventually with another patience.
func (b *box) within(patience time.Duration, what string, check func() error) {
	b.t.Helper()
	if err := poll(patience, check); err != nil {
		b.t.Fatalf("not within %s: %s: %v", patience, what, err)
	}
}

// poll repeats a check until it holds, and returns what it says last when that takes too long.
func poll(patience time.Duration, check func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a poll with a deadline
	}
}

// status of one container.
func status(p *v1.Pod, name string) v1.ContainerStatus {
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == name {
			return c
		}
	}
	return v1.ContainerStatus{}
}

// pid finds the main process of a running container by its cgroup.
func (b *box) pid(p *v1.Pod, container string) int {
	b.t.Helper()
	procs := b.cgroupFile(b.containerCgroup(p, container), "memory", "cgroup.procs")
	if procs == "" { // crun puts processes into a cgroup of its own below
		procs = b.cgroupFile(b.containerCgroup(p, container), "memory", "container/cgroup.procs")
	}
	// The oldest: ids begin again at a limit, so that the kernel lists a child's or a probe's before its.
	oldest, begun := 0, uint64(math.MaxUint64)
	for _, field := range strings.Fields(procs) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			b.t.Fatal(err)
		}
		if at, err := processBegan(pid); err == nil && at < begun {
			oldest, begun = pid, at
		}
	}
	if oldest == 0 {
		b.t.Fatalf("container %s has no process", container)
	}
	return oldest
}

// processBegan is when a process began, in ticks since boot (proc_pid_stat(5)).
func processBegan(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	const startTime = 22 - 3 // the first field behind the name is the third
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) <= startTime {
		return 0, fmt.Errorf("process %d: %q", pid, stat)
	}
	return strconv.ParseUint(fields[startTime], 10, 64)
}

// killContainer ends a container's main process, by its id.
func (b *box) killContainer(p *v1.Pod, container string) {
	b.t.Helper()
	if err := syscall.Kill(b.pid(p, container), syscall.SIGKILL); err != nil {
		b.t.Fatal(err)
	}
}

// daemonOutput is what the daemon has written so far.
func (b *box) daemonOutput() string {
	out, err := os.ReadFile(b.path("output"))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(out)
}
