package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bench holds the directories and daemons of one run.
type bench struct {
	dir        string
	daemon     *exec.Cmd
	containerd *exec.Cmd
	http       http.Client
	// space is the network namespace that the daemon runs in; empty is the machine's own.
	space string
	// links are the machine's own network interfaces.
	links map[string]bool
}

const (
	image       = "solopod.example/bench:1"
	benchBridge = "solobench"
)

// patience bounds every single start.
const patience = 30 * time.Second

func prepare() (*bench, error) {
	dir, err := os.MkdirTemp("", "solobench")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, links: map[string]bool{}}
	interfaces, err := net.Interfaces()
	if err != nil {
		return b, err
	}
	for _, i := range interfaces {
		b.links[i.Name] = true
	}
	b.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", b.path("socket"))
	}}
	for _, sub := range []string{"manifests", "images", "log", "cni", "marks", "bundle", "run", "podman-networks"} {
		if err := os.Mkdir(b.path(sub), 0o777); err != nil {
			return b, err
		}
	}
	// What lasts until a reboot lies in memory for all of them, as /run does on a Debian system.
	if err := unix.Mount("tmpfs", b.path("run"), "tmpfs", 0, ""); err != nil {
		return b, fmt.Errorf("cannot mount a tmpfs: %w", err)
	}
	archive := b.path("images/bench.tar")
	if err := command("bin/pack", "-o", archive, "-name", image, "-entrypoint", "/bin/sh", "/bin/busybox:/bin/busybox", "/bin/busybox:/bin/sh"); err != nil {
		return b, err
	}
	return b, nil
}

// preparePeers prepares those that Solopod is measured beside.
func (b *bench) preparePeers() error {
	archive := b.path("images/bench.tar")
	if err := b.preparePodman(archive); err != nil {
		return err
	}
	if err := b.prepareContainerd(archive); err != nil {
		return err
	}
	return b.prepareBundle()
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func (b *bench) write(name, text string) error {
	return os.WriteFile(b.path(name), []byte(text), 0o644)
}

// mark is the FIFO that a started process opens: its opening is the end of the measurement.
func (b *bench) mark(name string) string {
	path := b.path("marks", name)
	os.Remove(path)
	unix.Mkfifo(path, 0o600) //nolint:errcheck // the opening tells
	return path
}

// await waits until a process has opened the mark and returns the moment.
func (b *bench) await(mark string) (time.Time, error) {
	f, err := os.OpenFile(mark, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	if err := f.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return time.Time{}, err
	}
	if _, err := f.Read(make([]byte, 1)); err != nil {
		return time.Time{}, fmt.Errorf("nothing has started within %s: %w", patience, err)
	}
	return time.Now(), nil
}

// script tells that it runs, and stays until it is told to end.
func script(mark string) string {
	return "echo x > " + mark + "; trap 'exit 0' TERM; sleep 1000000 & wait"
}

func manifest(name, mark string, host bool) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  hostNetwork: %v
  terminationGracePeriodSeconds: 2
  containers:
  - name: main
    image: %s
    imagePullPolicy: Never
    command: ["/bin/sh", "-c", %q]
    volumeMounts: [{name: marks, mountPath: %s}]
  volumes: [{name: marks, hostPath: {path: %s}}]
`, name, host, image, strings.Replace(script(mark), "sleep", "/bin/busybox sleep", 1), filepath.Dir(mark), filepath.Dir(mark))
}

func (b *bench) startDaemon() error {
	args := []string{"bin/solopod", "run", "--manifests", b.path("manifests"), "--images", b.path("images"),
		"--root", b.path("root"), "--state", b.path("run/solopod"), "--log-dir", b.path("log"), "--socket", b.path("socket"),
		"--listen", "", "--cni-conf-dir", b.path("cni")}
	if b.space != "" {
		args = append([]string{"nsenter", "--net=" + b.space, "--"}, args...)
	}
	b.daemon = exec.Command(args[0], args[1:]...)
	out, err := os.OpenFile(b.path("output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	b.daemon.Stdout, b.daemon.Stderr = out, out
	if err := b.daemon.Start(); err != nil {
		return err
	}
	return poll("Solopod is ready and has the image", func() bool {
		text, err := b.get("/images")
		return err == nil && strings.Contains(text, image)
	})
}

func (b *bench) stopDaemon() {
	if b.daemon == nil {
		return
	}
	b.daemon.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	b.daemon.Wait()                          //nolint:errcheck // it was ended
	b.daemon = nil
}

func poll(what string, check func() bool) error { return pollEvery(5*time.Millisecond, what, check) }

func pollEvery(pause time.Duration, what string, check func() bool) error {
	for deadline := time.Now().Add(patience); !check(); time.Sleep(pause) { //nolint:forbidigo // a poll with a deadline
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s", patience, what)
		}
	}
	return nil
}

func (b *bench) get(path string) (string, error) {
	resp, err := b.http.Get("http://solopod" + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(text), err
}

func (b *bench) apply(name, text string) error {
	if err := b.write("manifests/."+name, text); err != nil {
		return err
	}
	return os.Rename(b.path("manifests/."+name), b.path("manifests/"+name+".yaml"))
}

func (b *bench) awaitEmpty() error {
	return poll("all pods are gone", func() bool {
		text, err := b.get("/pods")
		return err == nil && !strings.Contains(text, `"uid"`)
	})
}

func (b *bench) solopod(n int, host bool) (time.Duration, error) {
	name := fmt.Sprintf("start%d", n)
	mark := b.mark(name)
	text := manifest(name, mark, host)
	start := time.Now()
	if err := b.apply(name, text); err != nil {
		return 0, err
	}
	at, err := b.await(mark)
	if err != nil {
		return 0, err
	}
	if err := os.Remove(b.path("manifests", name+".yaml")); err != nil {
		return 0, err
	}
	return at.Sub(start), b.awaitEmpty()
}

func (b *bench) restart(n int) (time.Duration, error) {
	name := fmt.Sprintf("again%d", n)
	mark, end := b.mark(name), b.mark(name+"-end")
	text := strings.Replace(manifest(name, mark, true), "trap", "read x < "+end+"; exit 1; trap", 1)
	if err := b.apply(name, text); err != nil {
		return 0, err
	}
	if _, err := b.await(mark); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := os.WriteFile(end, []byte("\n"), 0); err != nil {
		return 0, err
	}
	at, err := b.await(mark)
	if err != nil {
		return 0, err
	}
	if err := os.Remove(b.path("manifests", name+".yaml")); err != nil {
		return 0, err
	}
	return at.Sub(start), b.awaitEmpty()
}

// preparePodman gives podman a storage of its own, and the image.
func (b *bench) preparePodman(archive string) error {
	conf := "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n" +
		"[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n"
	if err := b.write("containers.conf", conf); err != nil {
		return err
	}
	os.Setenv("CONTAINERS_CONF", b.path("containers.conf")) //nolint:errcheck // a valid name
	return podmanCommand(b, "load", "-i", archive)
}

func podmanCommand(b *bench, args ...string) error {
	return command("podman", append([]string{"--root", b.path("podman"), "--runroot", b.path("run/podman"), "--network-config-dir", b.path("podman-networks")}, args...)...)
}

func (b *bench) podman(n int, host bool) (time.Duration, error) {
	name := fmt.Sprintf("peer%d", n)
	mark := b.mark(name)
	if err := b.write(name+".yaml", manifest(name, mark, host)); err != nil {
		return 0, err
	}
	args := []string{"kube", "play", b.path(name + ".yaml")}
	if host {
		args = []string{"kube", "play", "--network", "host", b.path(name + ".yaml")}
	}
	started := make(chan error, 1)
	start := time.Now()
	go func() { started <- podmanCommand(b, args...) }()
	at, err := b.await(mark)
	if err := errors.Join(<-started, err); err != nil {
		return 0, err
	}
	return at.Sub(start), podmanCommand(b, "pod", "rm", "-f", "-t", "0", name)
}

// prepareContainerd starts Debian's containerd for ctr.
func (b *bench) prepareContainerd(archive string) error {
	err := b.write("containerd.toml", fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		b.path("containerd"), b.path("run/containerd"), b.path("containerd.sock")))
	if err != nil {
		return err
	}
	b.containerd = exec.Command("containerd", "--config", b.path("containerd.toml"), "--log-level", "error")
	if err := b.containerd.Start(); err != nil {
		return err
	}
	err = poll("containerd answers", func() bool { return exec.Command("ctr", "-a", b.path("containerd.sock"), "version").Run() == nil })
	if err != nil {
		return err
	}
	return command("ctr", "-a", b.path("containerd.sock"), "images", "import", archive)
}

func (b *bench) ctr(n int) (time.Duration, error) {
	name := fmt.Sprintf("floor%d", n)
	mark := b.mark(name)
	marks := b.path("marks")
	return b.measure(mark, exec.Command("ctr", "-a", b.path("containerd.sock"), "run", "--rm", "--net-host",
		"--mount", "type=bind,src="+marks+",dst="+marks+",options=rbind:rw", image, name,
		"/bin/sh", "-c", "echo x > "+mark))
}

func (b *bench) prepareBundle() error {
	rootfs := b.path("bundle/rootfs")
	if err := os.MkdirAll(filepath.Join(rootfs, "bin"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"busybox", "sh"} {
		if err := command("cp", "/bin/busybox", filepath.Join(rootfs, "bin", name)); err != nil {
			return err
		}
	}
	return command("runc", "spec", "--bundle", b.path("bundle"))
}

func (b *bench) runc(n int) (time.Duration, error) {
	name := fmt.Sprintf("solobench-%d-%d", os.Getpid(), n)
	mark, marks := b.mark(name), b.path("marks")
	config, err := os.ReadFile(b.path("bundle/config.json"))
	if err != nil {
		return 0, err
	}
	if n == 0 {
		text := bytes.Replace(config, []byte(`"terminal": true`), []byte(`"terminal": false`), 1)
		text = bytes.Replace(text, []byte(`"mounts": [`), []byte(`"mounts": [{"destination": "`+marks+`", "type": "bind", "source": "`+marks+`", "options": ["rbind"]},`), 1)
		text = bytes.Replace(text, []byte("{\n\t\t\t\t\"type\": \"network\"\n\t\t\t},"), nil, 1)
		config = bytes.Replace(text, []byte(`"sh"`), []byte(`"/bin/sh", "-c", "echo x > $MARK"`), 1)
		config = bytes.Replace(config, []byte(`"env": [`), []byte(`"env": ["MARK=",`), 1)
	}
	at := bytes.Index(config, []byte(`"MARK=`))
	end := at + 6 + bytes.IndexByte(config[at+6:], '"')
	config = append(append(bytes.Clone(config[:at+6]), mark...), config[end:]...)
	if err := b.write("bundle/config.json", string(config)); err != nil {
		return 0, err
	}
	return b.measure(mark, exec.Command("runc", "--root", b.path("run/runc"), "run", "--bundle", b.path("bundle"), name))
}

// measure runs a command to its end and returns when its process had started.
func (b *bench) measure(mark string, cmd *exec.Cmd) (time.Duration, error) {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	at, err := b.await(mark)
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return 0, fmt.Errorf("%w: %s", err, output.String())
	}
	return at.Sub(start), nil
}

// cpu is what the daemon, its shims and the keeper have used.
func (b *bench) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pids := range b.ours() {
		for _, pid := range pids {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
			if err != nil {
				return 0, err
			}
			tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
			if err != nil || len(text) == 0 {
				return 0, err
			}
			for _, task := range tasks {
				line, err := os.ReadFile(task)
				if err != nil {
					continue // the thread has ended
				}
				ns, err := strconv.ParseInt(strings.Fields(string(line))[0], 10, 64)
				if err != nil {
					return 0, err
				}
				sum += time.Duration(ns)
			}
		}
	}
	return sum, nil
}

// ours lists the processes that are not the workload.
func (b *bench) ours() map[string][]int {
	out := map[string][]int{"daemon": {b.daemon.Process.Pid}}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		text, err := os.ReadFile(path)
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		switch {
		case err != nil || !bytes.Contains(text, []byte(b.path("run/solopod"))):
		case bytes.Contains(text, []byte("containerd-shim")):
			out["shims"] = append(out["shims"], pid)
		case bytes.Contains(text, []byte("solopod-keep")):
			out["keeper"] = append(out["keeper"], pid)
		}
	}
	return out
}

// memory is the proportional set size in bytes.
func (b *bench) memory() (daemon, shims, keeper int64, err error) {
	sum := map[string]int64{}
	for kind, pids := range b.ours() {
		for _, pid := range pids {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
			if err != nil {
				return 0, 0, 0, err
			}
			for _, line := range strings.Split(string(text), "\n") {
				var kb int64
				if _, err := fmt.Sscanf(line, "Pss: %d kB", &kb); err == nil {
					sum[kind] += kb << 10
				}
			}
		}
	}
	return sum["daemon"], sum["shims"], sum["keeper"], nil
}

// remove ends and removes everything of the run.
func (b *bench) remove() {
	if b.daemon != nil {
		manifests, _ := filepath.Glob(b.path("manifests/*"))
		for _, m := range manifests {
			os.Remove(m)
		}
		if err := b.awaitEmpty(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		b.stopDaemon()
	}
	podmanCommand(b, "pod", "rm", "-a", "-f", "-t", "0") //nolint:errcheck // there may be none
	if b.containerd != nil {
		b.containerd.Process.Kill() //nolint:errcheck // it may have ended
		b.containerd.Wait()         //nolint:errcheck // it was killed
	}
	unix.Unmount(b.path("run/solopod/pods"), unix.MNT_DETACH) //nolint:errcheck // it may not be mounted
	unix.Unmount(b.path("run"), unix.MNT_DETACH)              //nolint:errcheck // it may not be mounted
	unix.Unmount(b.path("podman/overlay"), unix.MNT_DETACH)   //nolint:errcheck // it may not be mounted
	removeBridges(b)
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

// removeBridges removes what podman and the CNI plugin leave behind.
func removeBridges(b *bench) {
	links, err := netlink.LinkList()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	for _, l := range links {
		name := l.Attrs().Name
		if b.links[name] || !strings.HasPrefix(name, "cni-podman") && name != benchBridge {
			continue
		}
		if err := netlink.LinkDel(l); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
}
