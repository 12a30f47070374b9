package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// supervised makes the test the daemon's supervisor from its next start on (sd_notify(3)); told waits until it was told something.
func (b *box) supervised() (told func(what string)) {
	b.t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: b.path("notify"), Net: "unixgram"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { socket.Close() })
	b.environ = []string{"NOTIFY_SOCKET=" + b.path("notify")}
	return func(what string) {
		b.t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(2 * patience)); err != nil {
			b.t.Fatal(err)
		}
		buf := make([]byte, 4096)
		for message := ""; !strings.Contains(message, what); {
			n, err := socket.Read(buf)
			if err != nil {
				b.t.Fatalf("the supervisor was not told %s: %v", what, err)
			}
			message = string(buf[:n])
		}
	}
}

// systemd is told that the daemon is ready also when pods are cleared away at the start that no manifest names any more.
func TestReadyWithRemovedPods(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	const pods = 20
	name := func(i int) string { return fmt.Sprintf("done%d", i) }
	for i := range pods {
		b.apply(name(i)+".yaml", shell(name(i), "exit 0", "restartPolicy: Never"))
	}
	b.apply("stays.yaml", shell("stays", forever, ""))
	b.waitReady("stays")
	for i := range pods {
		b.waitPhase(name(i), v1.PodSucceeded)
	}
	told := b.supervised()
	rounds := 2
	if *slow {
		rounds = 20
	}
	for round := range rounds {
		b.stop(syscall.SIGTERM)
		for i := range pods {
			if round*pods/rounds <= i && i < (round+1)*pods/rounds {
				b.delete(name(i) + ".yaml")
			}
		}
		b.start()
		told("READY=1")
	}
	for i := range pods {
		b.waitGone(name(i))
	}
}

// An edit that drops a sidecar ends the pod as it was: the sidecar after the main container.
func TestEditDropsSidecar(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	if err := os.Mkdir(b.path("v"), 0o755); err != nil {
		t.Fatal(err)
	}
	says := func(name, last string) string {
		return "trap 'echo " + name + " is told >>/v/order; " + last + "echo " + name + " ends >>/v/order; exit 0' TERM; touch /v/" + name + "; while :; do sleep 0.1; done"
	}
	pod := func(init ...container) string {
		text := containers("web", "", init, container{"main", says("main", "sleep 2; "), ""})
		return strings.ReplaceAll(strings.ReplaceAll(text, "{name: own, emptyDir: {}}", "{name: own, hostPath: {path: "+b.path("v")+"}}"), "/own}", "/v}")
	}
	b.apply("web.yaml", pod(container{"side", says("side", ""), "restartPolicy: Always"}))
	first := b.waitReady("web")
	for _, name := range []string{"v/main", "v/side"} {
		b.eventually("its trap is set", func() error { return b.exists(name) })
	}
	b.apply("web.yaml", pod())
	b.waitPod("web", "made anew", func(p *v1.Pod) bool {
		return isReady(p) && status(p, "main").ContainerID != status(first, "main").ContainerID && len(p.Status.InitContainerStatuses) == 0
	})
	if got, want := readFile(t, b.path("v/order")), "main is told\nmain ends\nside is told\nside ends\n"; got != want {
		t.Errorf("the order is\n%s", got)
	}
}

// A pod that is made anew by an edit has the series of its own that it had before.
func TestPodMetricsOverEdits(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	whole := func() error {
		for path, pattern := range map[string]string{
			"/metrics/cadvisor": `container_memory_working_set_bytes{container="",`, "/metrics/resource": `pod_memory_working_set_bytes{`,
		} {
			found := false
			for _, line := range strings.Split(b.mustGet(path), "\n") {
				found = found || strings.HasPrefix(line, pattern) && strings.Contains(line, `pod="web"`)
			}
			if !found {
				return fmt.Errorf("%s has no %s", path, pattern)
			}
		}
		return nil
	}
	resources := indent(4, "resources: {limits: {memory: 64Mi, cpu: 100m}}") + "\n"
	b.apply("web.yaml", shell("web", forever, "")+resources)
	last := b.waitReady("web")
	b.eventually("the pod is measured", whole)
	for i := range 2 {
		b.apply("web.yaml", shell("web", forever, fmt.Sprintf("volumes: [{name: more%d, emptyDir: {}}]", i))+resources)
		last = b.waitPod("web", "made anew", func(p *v1.Pod) bool {
			return isReady(p) && status(p, "main").ContainerID != status(last, "main").ContainerID
		})
		b.eventually("the pod that was made anew is measured", whole)
	}
}

// A restart of one container leaves the link to the log of another alone whose name begins with its own.
func TestLinksOfSimilarNames(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("pod.yaml", containers("pod", "", nil, container{"web", forever, ""}, container{"web-log", forever, ""}))
	pod := b.waitReady("pod")
	link := func(p *v1.Pod, name string) func() error {
		return func() error {
			return b.exists("log/containers/pod_default_" + name + "-" + strings.TrimPrefix(status(p, name).ContainerID, "containerd://") + ".log")
		}
	}
	b.eventually("web-log's link is there", link(pod, "web-log"))
	b.run("restart", "pod", "-c", "web")
	after := b.waitPod("pod", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "web").RestartCount == 1 })
	b.eventually("web's link is there", link(after, "web"))
	b.eventually("the old one is gone", func() error {
		links, err := filepath.Glob(b.path("log/containers/*"))
		if len(links) != 2 {
			return fmt.Errorf("the links are %v, %w", links, err)
		}
		return nil
	})
	if err := link(pod, "web-log")(); err != nil {
		t.Error(err)
	}
}

// Who follows a log that is rotated again and again sees every line, once.
func TestFollowOverRotations(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	lines, size := 150_000, "1Mi"
	if *slow {
		lines, size = 3_000_000, "10Mi"
	}
	// As many files as it takes: who reads more slowly than the container writes misses what is removed.
	b.writeFile("config.yaml", "containerLogMaxSize: "+size+"\ncontainerLogMaxFiles: 30\n")
	b.flags = []string{"--config", b.path("config.yaml")}
	b.link(imageArchive, "images/box.tar")
	b.start()
	volume := "volumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]\nrestartPolicy: Never"
	b.apply("writer.yaml", shell("writer", fmt.Sprintf("echo 0; while [ ! -e /v/go ]; do sleep 0.1; done; seq 1 %d; rm /v/go", lines), volume)+
		indent(4, "volumeMounts: [{name: v, mountPath: /v}]")+"\n")
	b.waitReady("writer")
	b.expectLog("writer", "0\n")
	follow := b.command(nil, "logs", "-f", "writer")
	var told strings.Builder
	follow.Stderr = &told
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		follow.Process.Kill() //nolint:errcheck // it may have ended
		follow.Wait()         //nolint:errcheck // it was killed
	})
	seen := make(chan string, 1)
	began := make(chan struct{})
	go func() { seen <- numbered(out, lines, began) }()
	select {
	case <-began: // it follows
	case problem := <-seen:
		t.Fatal("it does not begin well: ", problem)
	case <-time.After(patience):
		t.Fatal("nothing is followed")
	}
	b.writeFile("v/go", "")
	select {
	case problem := <-seen:
		if problem != "" {
			io.Copy(io.Discard, out) //nolint:errcheck // what nobody reads would hold it up
			t.Errorf("%s (%v, %q); the log has %d lines now", problem, follow.Wait(), told.String(), strings.Count(b.run("logs", "writer"), "\n"))
		}
	case <-time.After(5 * patience):
		t.Fatal("the follower has not seen the end")
	}
}
