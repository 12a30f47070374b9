package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// silentRegistry is a registry on loopback that takes requests and never answers, or that answers and loses its link in the
// middle of the manifest. It returns its address.
func silentRegistry(t *testing.T, answers bool) string {
	t.Helper()
	return onLoopback(t, func(c net.Conn) { halfAnswer(c, answers) })
}

func halfAnswer(c net.Conn, answers bool) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		switch {
		case buf[0] == 0x16: // TLS, which this registry has not: the client comes again with plain HTTP
			io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n") //nolint:errcheck // it may be gone
			return
		case !answers:
			continue
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nDocker-Content-Digest: sha256:"+ //nolint:errcheck // it may be gone
			strings.Repeat("a", 64)+"\r\nContent-Length: 500\r\n\r\n")
		if !bytes.HasPrefix(buf[:n], []byte("HEAD")) {
			io.WriteString(c, "{") //nolint:errcheck // it may be gone
		}
	}
}

// fromImage is a shell that runs from another image.
func fromImage(name, image string) string {
	return strings.Replace(shell(name, forever, ""), "solopod.example/box:1", image, 1)
}

// eventOf waits for an event with such a text.
func (b *box) eventOf(parts ...string) {
	b.t.Helper()
	b.eventually("an event tells "+strings.Join(parts, ", "), func() error {
		events := b.run("get", "events", "-A")
	lines:
		for _, line := range strings.Split(events, "\n") {
			for _, part := range parts {
				if !strings.Contains(line, part) {
					continue lines
				}
			}
			return nil
		}
		return fmt.Errorf("they are\n%s", events)
	})
}

// healthy expects that the daemon judges itself by its own progress.
func (b *box) healthy() {
	b.t.Helper()
	if _, err := b.get("/healthz"); err != nil {
		b.t.Errorf("the daemon is not healthy: %v", err)
	}
}

// goes expects that a removal shows at once, whatever the pod waits for.
func (b *box) goes(name string) {
	b.t.Helper()
	b.within(10*time.Second, "the removal of "+name+" shows", func() error {
		if p := b.pod(v1.NamespaceDefault, name); p != nil && p.DeletionTimestamp == nil {
			return fmt.Errorf("it is %s", p.Status.Phase)
		}
		return nil
	})
}

// restarts expects that a container comes back that ends.
func (b *box) restarts(name string) {
	b.t.Helper()
	pod := b.waitReady(name)
	n := status(pod, "main").RestartCount
	b.killContainer(pod, "main")
	b.waitPod(name, "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == n+1 })
}

// A registry that does not answer, or whose link is lost, is waited for by nobody but the pod that needs it, and that one
// can be corrected, restarted and removed.
func TestStalledPull(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	silent, lost := silentRegistry(t, false), silentRegistry(t, true)
	b.apply("bad.yaml", fromImage("bad", silent+"/app:1"))
	b.eventOf("Pulling", silent+"/app:1")
	b.run("restart", "bad")
	b.apply("bad.yaml", fromImage("bad", silent+"/app:2"))
	b.eventOf("Pulling", silent+"/app:2")
	b.apply("bad.yaml", shell("bad", forever, ""))
	b.waitReady("bad")

	for i := range 5 { // more than may start at once
		name := fmt.Sprintf("lost%d", i)
		b.apply(name+".yaml", fromImage(name, lost+"/"+name+":1"))
	}
	b.eventOf("Pulling", lost)
	if out, err := exec.Command(packBinary, "-o", b.path("later.tar"), "-name", "solopod.example/later:1", "-link", "/bin/sh=busybox", "-link", "/bin/sleep=busybox",
		"/bin/busybox:/bin/busybox").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Rename(b.path("later.tar"), b.path("images/later.tar")); err != nil {
		t.Fatal(err)
	}
	b.apply("later.yaml", fromImage("later", "solopod.example/later:1\n    imagePullPolicy: Never"))
	b.waitReady("later")
	b.healthy()
	b.delete("lost0.yaml")
	b.goes("lost0")
	b.waitGone("lost0")
	b.endsPromptly()
	b.start()
	b.waitReady("later")
}

// plugin installs a CNI plugin that hangs with the pods bad*, and with worse* also when they are to go, for as long as the
// file "hang" is there.
func (b *box) plugin() {
	b.t.Helper()
	if err := os.Mkdir(b.path("plugins"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.writeFile("hang", "")
	script := `#!/bin/sh
cat >/dev/null
name=${CNI_ARGS#*K8S_POD_NAME=}; name=${name%%;*}
case "$CNI_COMMAND $name" in
"ADD bad"* | "ADD worse"* | "DEL worse"*) touch DIR/called-$CNI_COMMAND-$name; while [ -e DIR/hang ]; do sleep 0.1; done;;
esac
case "$CNI_COMMAND" in
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}';;
ADD) echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"'$CNI_NETNS'"}],"ips":[{"interface":0,"address":"10.99.0.2/24"}]}';;
esac
`
	if err := os.WriteFile(b.path("plugins/hangs"), []byte(strings.ReplaceAll(script, "DIR", b.dir)), 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.writeFile("cni/10-hangs.conflist", `{"cniVersion":"1.0.0","name":"hangs","plugins":[{"type":"hangs"}]}`)
	b.flags = []string{"--cni-bin-dir", b.path("plugins")}
}

func (b *box) exists(name string) error {
	_, err := os.Stat(b.path(name))
	return err
}

func networked(name string) string {
	return strings.Replace(shell(name, forever, ""), "  hostNetwork: true\n", "", 1)
}

// A CNI plugin that hangs holds up its own pods only, and neither their removal nor the daemon's end.
func TestHangingPlugin(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.plugin()
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("good.yaml", shell("good", forever, ""))
	b.waitReady("good")
	bad := []string{"bad0", "bad1", "bad2", "bad3", "worse"} // more than may start at once
	for _, name := range bad {
		b.apply(name+".yaml", networked(name))
	}
	for _, name := range bad {
		b.eventually("the plugin is asked for "+name, func() error { return b.exists("called-ADD-" + name) })
	}
	b.apply("later.yaml", shell("later", forever, ""))
	b.apply("networked.yaml", networked("networked"))
	b.waitReady("later")
	b.waitReady("networked")
	b.restarts("good")
	b.healthy()
	b.delete("bad0.yaml")
	b.goes("bad0")
	b.waitGone("bad0")
	b.delete("worse.yaml")
	b.goes("worse")
	b.eventually("the plugin is asked to take worse away", func() error { return b.exists("called-DEL-worse") })
	before := b.waitReady("good")
	b.endsPromptly()
	b.start()
	if after := b.waitReady("good"); status(after, "main").ContainerID != status(before, "main").ContainerID {
		t.Error("a container did not live on")
	}
	if err := os.Remove(b.path("hang")); err != nil {
		t.Fatal(err)
	}
	for _, name := range bad[1:4] {
		b.waitReady(name)
	}
	b.waitGone("worse")
}

// Pods that hang are no reason for systemd to restart the daemon: it is told of readiness and progress.
func TestWatchdogWhilePodsHang(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.plugin()
	b.link(imageArchive, "images/box.tar")
	told := b.supervised()
	const interval = 2 * time.Second
	b.environ = append(b.environ, fmt.Sprintf("WATCHDOG_USEC=%d", interval.Microseconds()))
	b.start()
	for i := range 5 { // more than may start at once
		b.apply(fmt.Sprintf("bad%d.yaml", i), networked(fmt.Sprintf("bad%d", i)))
	}
	told("READY=1")
	b.eventually("the plugin is asked", func() error { return b.exists("called-ADD-bad0") })
	long := 3 * interval
	if *slow {
		long = 4 * time.Minute // after three, health once was said to be bad
	}
	for began := time.Now(); time.Since(began) < long; {
		from := time.Now()
		told("WATCHDOG=1")
		if took := time.Since(from); took > interval {
			t.Errorf("it took %s", took)
		}
		b.healthy()
	}
	if err := os.Remove(b.path("hang")); err != nil {
		t.Fatal(err)
	}
	b.waitReady("bad4")
}

// runtimeThat installs an OCI runtime that runs a piece of shell before it does what runc does. DIR is the box's directory.
func (b *box) runtimeThat(name, does string) (path string) {
	b.t.Helper()
	path = b.path(name)
	script := "#!/bin/sh\n" + strings.ReplaceAll(does, "DIR", b.dir) + "\nexec " + *ociRuntime + " \"$@\"\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// A runtime that hangs holds up its own pods only. The daemon can be ended and killed, and when the runtime is mended all is well.
func TestHangingRuntime(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.writeFile("hang", "")
	path := b.runtimeThat("runtime", `for a in "$@"; do [ "$a" = create ] && { touch DIR/called; while [ -e DIR/hang ]; do sleep 0.1; done; }; done`)
	b.writeFile("config.yaml", "runtimeClasses: {hangs: "+path+"}\n")
	b.flags = []string{"--config", b.path("config.yaml")}
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("good.yaml", shell("good", forever, ""))
	b.waitReady("good")
	for i := range 5 { // more than may start at once
		name := fmt.Sprintf("bad%d", i)
		b.apply(name+".yaml", shell(name, forever, "runtimeClassName: hangs"))
	}
	b.eventually("the runtime is called", func() error { return b.exists("called") })
	b.apply("later.yaml", shell("later", forever, ""))
	b.waitReady("later")
	b.restarts("good")
	b.healthy()
	b.delete("bad0.yaml")
	b.goes("bad0")
	b.waitGone("bad0")
	b.delete("later.yaml")
	b.waitGone("later")
	b.endsPromptly()
	b.start()
	b.crash()
	b.start()
	b.waitReady("good")
	if err := os.Remove(b.path("hang")); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 5; i++ {
		b.waitReady(fmt.Sprintf("bad%d", i))
	}
}

// A runtime may also hang when a container is started, signalled or removed.
func TestHangingRuntimeLater(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.writeFile("hang", "")
	verbs := []string{"start", "kill", "delete"}
	config := "runtimeClasses:\n"
	for _, verb := range verbs {
		path := b.runtimeThat(verb+"-hangs", `for a in "$@"; do [ "$a" = `+verb+` ] && { touch DIR/called-`+verb+`; while [ -e DIR/hang ]; do sleep 0.1; done; }; done`)
		config += "  " + verb + ": " + path + "\n"
	}
	b.writeFile("config.yaml", config)
	b.flags = []string{"--config", b.path("config.yaml")}
	b.link(imageArchive, "images/box.tar")
	b.start()
	for _, verb := range verbs {
		for i := range 2 {
			name := fmt.Sprintf("%s%d", verb, i)
			b.apply(name+".yaml", shell(name, forever, "runtimeClassName: "+verb))
			if verb != "start" {
				b.waitReady(name)
			}
		}
	}
	b.eventually("the runtime is to start", func() error { return b.exists("called-start") })
	for _, verb := range verbs {
		b.delete(verb + "0.yaml")
		b.goes(verb + "0")
	}
	for _, verb := range verbs {
		b.eventually("the runtime is to "+verb, func() error { return b.exists("called-" + verb) })
	}
	b.apply("later.yaml", shell("later", forever, ""))
	b.waitReady("later")
	b.restarts("later")
	b.healthy()
	b.endsPromptly()
	b.start()
	b.waitReady("later")
	for _, verb := range verbs {
		b.goes(verb + "0")
	}
	if err := os.Remove(b.path("hang")); err != nil {
		t.Fatal(err)
	}
	for _, verb := range verbs {
		b.waitGone(verb + "0")
		b.waitReady(verb + "1")
	}
}

// freezer is the file that freezes a process together with all that is in its cgroup.
func (b *box) freezer(pid int) string {
	b.t.Helper()
	text := readFile(b.t, fmt.Sprintf("/proc/%d/cgroup", pid))
	for _, line := range strings.Split(text, "\n") {
		if _, cgroup, found := strings.Cut(line, ":freezer:"); found && strings.HasPrefix(cgroup, b.cgroupRoot()) {
			return filepath.Join(cgroupMount, "freezer", cgroup, "freezer.state")
		}
	}
	b.t.Fatalf("the process has no freezer of the box's own:\n%s", text)
	return ""
}

// A command that SIGKILL does not end, because its container is frozen, holds up neither the daemon's end nor its next start.
func TestUnkillableCommand(t *testing.T) {
	if unified() {
		t.Skip("the freezer of cgroup v2 lets go of what is killed")
	}
	t.Parallel()
	b := newBox(t, embedded)
	volume := "volumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]"
	b.apply("web.yaml", shell("web", forever, volume)+indent(4, `volumeMounts: [{name: v, mountPath: /v}]
livenessProbe: {exec: {command: [sh, -c, "touch /v/probed; sleep 60"]}, periodSeconds: 1, timeoutSeconds: 50, failureThreshold: 100}`)+"\n")
	pod := b.waitReady("web")
	b.eventually("it is probed", func() error { return b.exists("v/probed") })
	freezer := b.freezer(b.pid(pod, "main"))
	freeze := func(state string) {
		if err := os.WriteFile(freezer, []byte(state), 0); err != nil {
			t.Error(err)
		}
	}
	freeze("FROZEN")
	t.Cleanup(func() {
		if _, err := os.Stat(freezer); err == nil {
			freeze("THAWED")
		}
	})
	b.eventually("the container is frozen", func() error {
		if s := strings.TrimSpace(readFile(t, freezer)); s != "FROZEN" {
			return fmt.Errorf("it is %s", s)
		}
		return nil
	})
	b.endsPromptly()
	b.start()
	b.apply("other.yaml", shell("other", forever, ""))
	b.waitReady("other")
	b.healthy()
	freeze("THAWED")
	if after := b.waitReady("web"); status(after, "main").ContainerID != status(pod, "main").ContainerID {
		t.Error("the container did not live on")
	}
}

// FIFOs stand where files are expected: in an image, and on the host, put there by another container.
func TestFIFOs(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, h := range []*tar.Header{{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "etc/passwd", Typeflag: tar.TypeFifo, Mode: 0o644}} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	fifo, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	b.apply("image.yaml", fromImage("image", registryWith(t, "fifo", fifo)))
	// The runtime would open the file too, and hang.
	b.eventOf("pod/image", "Warning", "its /etc/passwd is a FIFO")

	if err := unix.Mkfifo(b.path("app.conf"), 0o666); err != nil {
		t.Fatal(err)
	}
	b.apply("volume.yaml", shell("volume", forever, "volumes: [{name: f, hostPath: {path: "+b.path("app.conf")+", type: FileOrCreate}}]")+
		indent(4, "volumeMounts: [{name: f, mountPath: /app.conf}]")+"\n")
	b.eventOf("pod/volume", "Warning", "app.conf")
	b.apply("good.yaml", shell("good", forever, ""))
	b.waitReady("good")
	b.delete("volume.yaml")
	b.waitGone("volume")
	b.healthy()
	b.endsPromptly()
	b.start()
	b.waitReady("good")
	b.delete("image.yaml")
	b.goes("image")
	b.waitGone("image")
}

// silentDisk mounts a file system that does not answer, as one on a dead server does, and returns what makes it fail at last.
func silentDisk(t *testing.T, path string) (release func()) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("silent", path, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		t.Fatal(err)
	}
	released := false
	release = func() {
		if !released {
			released = true
			unix.Unmount(path, unix.MNT_DETACH) //nolint:errcheck // the cleanup's check tells
			unix.Close(fd)                      // that ends the connection
		}
	}
	t.Cleanup(release)
	return release
}

// hangInDisk waits until so many of the daemon's threads wait for the silent disk.
func (b *box) hangInDisk(want int) {
	b.t.Helper()
	b.eventually("it hangs in the disk", func() error {
		n := 0
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", b.daemon.Process.Pid))
		for _, file := range files {
			if where, err := os.ReadFile(file); err == nil && strings.Contains(string(where), "fuse") {
				n++
			}
		}
		if n < want {
			return fmt.Errorf("%d threads do: %w", n, err)
		}
		return nil
	})
}

// An effect that does not heed its cancellation is left behind and told; it holds up nothing but what it works on.
func TestEffectLeftBehind(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	release := silentDisk(t, b.path("disk"))
	const stuck = 5 // more than may start at once
	for i := range stuck {
		name := fmt.Sprintf("stuck%d", i)
		b.apply(name+".yaml", shell(name, forever, "volumes: [{name: v, hostPath: {path: "+b.path("disk")+", type: Directory}}]")+
			indent(4, "volumeMounts: [{name: v, mountPath: /v}]")+"\n")
	}
	b.hangInDisk(stuck)
	b.apply("good.yaml", shell("good", forever, ""))
	b.waitReady("good")
	b.healthy()
	left := func(want float64) func() error {
		return func() error { return b.metricIs("/metrics", "solopod_effects_left_behind", want) }
	}
	if err := left(0)(); err != nil {
		t.Error(err)
	}
	for i := range stuck - 1 {
		name := fmt.Sprintf("stuck%d", i)
		b.delete(name + ".yaml")
		b.goes(name)
	}
	b.eventually("what hangs is counted", left(stuck-1))
	b.eventOf("pod/stuck0", "EffectLeftBehind", "Warning")
	b.restarts("good")
	b.healthy()
	release()
	for i := range stuck - 1 {
		b.waitGone(fmt.Sprintf("stuck%d", i))
	}
	b.eventually("nothing hangs any more", left(0))
	b.delete(fmt.Sprintf("stuck%d.yaml", stuck-1))
	b.waitGone(fmt.Sprintf("stuck%d", stuck-1))
}

// What hangs in a file system holds up neither the daemon's end nor its next start.
func TestEndWhileDiskHangs(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	release := silentDisk(t, b.path("disk"))
	b.apply("good.yaml", shell("good", forever, ""))
	before := b.waitReady("good")
	b.apply("stuck.yaml", shell("stuck", forever, "volumes: [{name: v, hostPath: {path: "+b.path("disk")+", type: Directory}}]")+
		indent(4, "volumeMounts: [{name: v, mountPath: /v}]")+"\n")
	b.hangInDisk(1)
	b.endsPromptly()
	b.start()
	if after := b.waitReady("good"); status(after, "main").ContainerID != status(before, "main").ContainerID {
		t.Error("a container did not live on")
	}
	b.delete("stuck.yaml")
	b.goes("stuck")
	b.endsPromptly()
	b.start()
	release()
	b.waitGone("stuck")
}
