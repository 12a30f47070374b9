package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// ownNetwork makes a network namespace with nothing but loopback. It returns what runs a daemon there (box.namespaces), and what runs ip(8).
// It ends after the boxes that are made later.
func ownNetwork(t *testing.T) (namespaces []string, ip func(args string)) {
	t.Helper()
	name := fmt.Sprintf("sp%d-%s", os.Getpid(), strings.ToLower(t.Name()))
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("netns", "add", name)
	t.Cleanup(func() { run("netns", "del", name) })
	ip = func(args string) {
		t.Helper()
		run(append([]string{"-n", name}, strings.Fields(args)...)...)
	}
	ip("link set lo up")
	return []string{"nsenter", "--net=/run/netns/" + name}, ip
}

// onBridge takes the host's network from a manifest.
func onBridge(manifest string) string {
	return strings.Replace(manifest, "  hostNetwork: true\n", "", 1)
}

// The machine's address is that of its default route, and pods learn it: those that ask for one wait until there is one.
func TestNodeIP(t *testing.T) {
	t.Parallel()
	namespaces, ip := ownNetwork(t)
	b := prepareBox(t, embedded)
	b.namespaces = namespaces
	b.link(imageArchive, "images/box.tar")
	b.start()
	ip("link add docker0 type bridge")
	ip("addr add 172.17.0.1/16 dev docker0")
	ip("link set docker0 up")
	asks := func(name string) string {
		return strings.Replace(shell(name, "echo is $HOST $POD; "+forever, ""), "    command:", indent(4, "env:\n"+
			"- {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}\n- {name: POD, valueFrom: {fieldRef: {fieldPath: status.podIP}}}")+"\n    command:", 1)
	}
	b.apply("plain.yaml", shell("plain", forever, ""))
	b.apply("asks.yaml", asks("asks"))
	b.apply("inner.yaml", onBridge(asks("inner")))
	if plain := b.waitReady("plain"); plain.Status.HostIP != "" || plain.Status.PodIP != "" {
		t.Errorf("without an address there are %q and %q", plain.Status.HostIP, plain.Status.PodIP)
	}
	waits := func(name string) {
		t.Helper()
		b.waitPod(name, "waiting for an address", func(p *v1.Pod) bool {
			w := status(p, "main").State.Waiting
			return w != nil && w.Reason == "CreateContainerConfigError" && strings.Contains(w.Message, "no address yet")
		})
		b.eventOf(name, "HostIPUnknown")
	}
	waits("asks")
	waits("inner")
	b.eventOf("NodeIPUnknown")
	shows := func(name string, want ...string) *v1.Pod {
		t.Helper()
		return b.waitPod(name, "shown with the machine's addresses "+strings.Join(want, ", "), func(p *v1.Pod) bool {
			var host, pod []string
			for _, i := range p.Status.HostIPs {
				host = append(host, i.IP)
			}
			for _, i := range p.Status.PodIPs {
				pod = append(pod, i.IP)
			}
			return fmt.Sprint(host) == fmt.Sprint(want) && p.Status.HostIP == want[0] && (name == "inner" || fmt.Sprint(pod) == fmt.Sprint(want))
		})
	}
	ip("link add up0 type bridge")
	ip("addr add 192.0.2.1/24 dev up0")
	ip("link set up0 up")
	ip("route add default via 192.0.2.254")
	first := b.waitReady("asks")
	shows("plain", "192.0.2.1")
	shows("inner", "192.0.2.1")
	b.expectLog("asks", "is 192.0.2.1 192.0.2.1\n")
	b.expectLog("inner", "is 192.0.2.1 "+b.waitReady("inner").Status.PodIP+"\n")

	ip("link add up1 type bridge")
	ip("addr add 198.51.100.1/24 dev up1")
	ip("addr add 2001:db8::1/64 dev up1 nodad")
	ip("link set up1 up")
	ip("route replace default via 198.51.100.254")
	shows("plain", "198.51.100.1", "2001:db8::1")
	shows("inner", "198.51.100.1", "2001:db8::1")
	if moved := shows("asks", "198.51.100.1", "2001:db8::1"); status(moved, "main").ContainerID != status(first, "main").ContainerID {
		t.Error("a container was restarted")
	}
	b.eventOf("NodeIPChanged", "198.51.100.1")
	if node := b.run("get", "node", "-o", "json"); !strings.Contains(node, `"198.51.100.1"`) || strings.Contains(node, `"192.0.2.1"`) {
		t.Errorf("the node is %s", node)
	}

	// What runs keeps what it has over a restart, and a setting counts, when the machine has the address.
	b.crash()
	b.flags = append(b.flags, "--node-ip", "192.0.2.77,2001:db8::1")
	b.start()
	b.eventOf("NodeIPMissing", "192.0.2.77")
	b.apply("late.yaml", asks("late"))
	waits("late")
	ip("addr add 192.0.2.77/32 dev up0")
	shows("plain", "192.0.2.77", "2001:db8::1")
	b.waitReady("late")
	b.expectLog("late", "is 192.0.2.77 192.0.2.77\n")
	if same := b.waitReady("asks"); status(same, "main").ContainerID != status(first, "main").ContainerID {
		t.Error("a container was restarted")
	}
}

// A pod's resolver configuration follows the machine's, while it runs and while no daemon does, and what is wrong is told.
func TestResolvConf(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.flags = append(b.flags, "--resolv-conf", b.path("resolv.conf"))
	b.writeFile("resolv.conf", "")
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("host.yaml", shell("host", forever, ""))
	b.apply("own.yaml", onBridge(shell("own", forever, "dnsConfig: {searches: [more.example]}")))
	b.waitReady("host")
	b.waitReady("own")
	b.eventOf("own", "NoNameserver", "names no nameserver")
	says := func(host, own string) {
		t.Helper()
		for name, want := range map[string]string{"host": host, "own": own} {
			b.eventually("the resolver configuration of "+name, func() error {
				if got, err := b.try("exec", name, "--", "cat", "/etc/resolv.conf"); err != nil || got != want {
					return fmt.Errorf("it is %q and not %q (%w)", got, want, err)
				}
				return nil
			})
		}
	}
	says("", "search more.example\n")
	b.writeFile("resolv.conf", "search lan\nnameserver 192.0.2.53\n")
	says("search lan\nnameserver 192.0.2.53\n", "search lan more.example\nnameserver 192.0.2.53\n")
	b.writeFile("resolv.conf", "nameserver 127.0.0.1\nnameserver 192.0.2.54\n")
	says("nameserver 127.0.0.1\nnameserver 192.0.2.54\n", "search more.example\nnameserver 192.0.2.54\n")
	b.eventOf("LocalNameserver", "192.0.2.54")
	b.stop(syscall.SIGTERM)
	b.writeFile("resolv.conf", "nameserver 192.0.2.55\n")
	b.start()
	says("nameserver 192.0.2.55\n", "search more.example\nnameserver 192.0.2.55\n")
	if p := b.waitReady("own"); status(p, "main").RestartCount != 0 {
		t.Error("a container was restarted")
	}
}

// With systemd-resolved's stub pods that have a network of their own get the servers behind it.
func TestResolvedStub(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.namespaces = []string{"unshare", "-m", "--propagation", "private", "sh", "-ec", `
mount -t tmpfs run /run
mkdir -p /run/systemd/resolve
echo 'nameserver 127.0.0.53' >/run/systemd/resolve/stub-resolv.conf
echo 'nameserver 192.0.2.2' >/run/systemd/resolve/resolv.conf
mount --bind /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
exec "$@"`, "sh"}
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("host.yaml", shell("host", "cat /etc/resolv.conf; "+forever, ""))
	b.apply("own.yaml", onBridge(shell("own", "cat /etc/resolv.conf; "+forever, "")))
	b.waitReady("host")
	b.waitReady("own")
	b.expectLog("host", "nameserver 127.0.0.53\n")
	b.expectLog("own", "nameserver 192.0.2.2\n")
	b.eventOf("LocalNameserver", "127.0.0.53", "/run/systemd/resolve/resolv.conf")
	inside := exec.Command("nsenter", "-t", fmt.Sprint(b.daemon.Process.Pid), "-m", "sh", "-c", "echo 'nameserver 192.0.2.3' >/run/systemd/resolve/resolv.conf")
	if out, err := inside.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.eventually("the new server", func() error {
		if got, err := b.try("exec", "own", "--", "cat", "/etc/resolv.conf"); err != nil || got != "nameserver 192.0.2.3\n" {
			return fmt.Errorf("it is %q (%w)", got, err)
		}
		return nil
	})
}
