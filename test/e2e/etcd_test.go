package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// kubeadm's own manifest runs a real etcd. Changed are only the address, the image's name, the certificates' and data's
// place, and the flags that Debian's etcd 3.4 does not know.
func TestEtcdFromKubeadm(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		certificates(t, b.path("pki"))
		b.packEtcd()
		port := 22379
		if b.mode == outside {
			port = 32379
		}
		b.apply("etcd.yaml", kubeadmEtcd(t, b, port))
		pod := b.waitPodIn("kube-system", "etcd", "ready by its own startup probe", isReady)
		if pod.Status.QOSClass != v1.PodQOSBurstable {
			t.Errorf("QoS class %s", pod.Status.QOSClass)
		}
		etcdctl := func(args ...string) string {
			t.Helper()
			cmd := exec.Command("etcdctl", append([]string{fmt.Sprintf("--endpoints=https://127.0.0.1:%d", port), "--cacert=" + b.path("pki/ca.crt"),
				"--cert=" + b.path("pki/server.crt"), "--key=" + b.path("pki/server.key")}, args...)...)
			cmd.Env = append(os.Environ(), "ETCDCTL_API=3")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("etcdctl %s: %v\n%s", strings.Join(args, " "), err, out)
			}
			return string(out)
		}
		etcdctl("put", "greeting", "hello")
		if out := etcdctl("get", "greeting"); !strings.Contains(out, "hello") {
			t.Errorf("etcd answers %q", out)
		}

		// kill -9 of Solopod: no restart.
		b.crash()
		b.start()
		again := b.waitPodIn("kube-system", "etcd", "ready", isReady)
		if before, after := status(pod, "etcd"), status(again, "etcd"); before.ContainerID != after.ContainerID || after.RestartCount != 0 {
			t.Errorf("etcd was restarted: %d restarts", after.RestartCount)
		}
		// kill -9 of etcd: one.
		b.killContainer(again, "etcd")
		again = b.waitPodIn("kube-system", "etcd", "restarted and ready", func(p *v1.Pod) bool {
			return isReady(p) && status(p, "etcd").RestartCount > 0
		})
		if n := status(again, "etcd").RestartCount; n != 1 {
			t.Errorf("%d restarts", n)
		}
		if out := etcdctl("get", "greeting"); !strings.Contains(out, "hello") {
			t.Errorf("after the restart etcd answers %q", out)
		}
	})
}

// A gRPC probe asks a server's own health service: etcd has one, and knows of no service but itself.
func TestGRPCProbe(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.packEtcd()
		pod := func(name, service string) string {
			return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.5.4-0
    command: [etcd, --data-dir=/data, --listen-client-urls=http://0.0.0.0:2379, --advertise-client-urls=http://127.0.0.1:2379]
    readinessProbe: {grpc: {port: 2379%s}, periodSeconds: 1}
`, name, service)
		}
		b.apply("good.yaml", pod("good", ""))
		b.apply("none.yaml", pod("none", ", service: none"))
		b.waitReady("good")
		b.eventually("the unknown service is reported", func() error { return b.eventSays(`gRPC health check of service "none"`) })
		if out := b.run("get", "pods"); !strings.Contains(out, "0/1") || !strings.Contains(out, "1/1") {
			t.Errorf("get pods says\n%s", out)
		}
	})
}

// packEtcd makes an image of Debian's etcd under the name that kubeadm uses.
func (b *box) packEtcd() {
	b.t.Helper()
	pack := packBinary
	out, err := exec.Command(pack, "-o", b.path("etcd.tar"), "-name", "registry.k8s.io/etcd:3.5.4-0", "-libs",
		"-link", "/usr/local/bin/etcd=/usr/bin/etcd", "/usr/bin/etcd:/usr/bin/etcd").CombinedOutput()
	if err != nil {
		b.t.Fatalf("pack: %v\n%s", err, out)
	}
	if got := b.run("images", "import", b.path("etcd.tar")); !strings.Contains(got, "registry.k8s.io/etcd:3.5.4-0") {
		b.t.Fatalf("images import says %q", got)
	}
}

func kubeadmEtcd(t *testing.T, b *box, port int) string {
	t.Helper()
	text, err := os.ReadFile("testdata/kubeadm-etcd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest := string(text)
	for _, unknown := range []string{"watch-progress-notify-interval", "enable-distributed-tracing", "distributed-tracing-address",
		"distributed-tracing-service-name", "distributed-tracing-instance-id"} {
		var kept []string
		for _, line := range strings.Split(manifest, "\n") {
			if !strings.Contains(line, "--experimental-"+unknown) {
				kept = append(kept, line)
			}
		}
		manifest = strings.Join(kept, "\n")
	}
	for _, r := range [][2]string{
		{"https://127.0.0.1:2379,https://192.168.1.106:2379", "https://127.0.0.1:2379"},
		{"192.168.1.106", "127.0.0.1"},
		{":2379", fmt.Sprintf(":%d", port)}, {":2380", fmt.Sprintf(":%d", port+1)},
		{":2381", fmt.Sprintf(":%d", port+2)}, {"port: 2381", fmt.Sprintf("port: %d", port+2)},
		{"path: /etc/kubernetes/pki/etcd\n", "path: " + b.path("pki") + "\n"},
		{"path: /var/lib/etcd\n", "path: " + b.path("etcd-data") + "\n"},
	} {
		manifest = strings.ReplaceAll(manifest, r[0], r[1])
	}
	return manifest
}
