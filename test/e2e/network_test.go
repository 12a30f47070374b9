package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"
)

// The own bridge: addresses, names, pod to pod, host ports.
func TestBridge(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		port := 21080
		if b.mode == outside {
			port = 31080
		}
		b.apply("server.yaml", strings.Replace(web("server", ""), "containerPort: 8080}", fmt.Sprintf("containerPort: 8080, hostPort: %d}", port), 1))
		server := b.waitReady("server")
		if server.Status.PodIP == "" || server.Status.PodIP == server.Status.HostIP {
			t.Fatalf("the pod's address is %q", server.Status.PodIP)
		}
		for _, address := range []string{server.Status.PodIP + ":8080", fmt.Sprintf("127.0.0.1:%d", port)} {
			if body := fetch(t, "http://"+address+"/"); !strings.Contains(body, "Hello from server") {
				t.Errorf("%s answers %q", address, body)
			}
		}
		client := strings.Replace(shell("client", fmt.Sprintf("hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; wget -qO- http://%s:8080/", server.Status.PodIP),
			"restartPolicy: Never\nhostname: my-name\ndnsPolicy: None\ndnsConfig: {nameservers: [192.0.2.7], searches: [one.example], options: [{name: ndots, value: \"3\"}]}"), "  hostNetwork: true\n", "", 1)
		b.apply("client.yaml", client)
		pod := b.waitPod("client", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		out := b.run("logs", "client")
		for _, want := range []string{"my-name\nmy-name\n", pod.Status.PodIP + "\tmy-name", "127.0.0.1\tlocalhost", "search one.example\nnameserver 192.0.2.7\noptions ndots:3\n", "Hello from server"} {
			if !strings.Contains(out, want) {
				t.Errorf("the client lacks %q:\n%s", want, out)
			}
		}
		// A second pod that wants the same host port is refused with words.
		b.apply("rival.yaml", strings.Replace(web("rival", ""), "containerPort: 8080}", fmt.Sprintf("containerPort: 8080, hostPort: %d}", port), 1))
		b.waitPod("rival", "refused", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "host port is already taken") })
		// After a crash the address and the port are still known.
		b.crash()
		b.start()
		if again := b.waitReady("server"); again.Status.PodIP != server.Status.PodIP {
			t.Errorf("the address changed to %s", again.Status.PodIP)
		}
		if body := fetch(t, fmt.Sprintf("http://127.0.0.1:%d/", port)); !strings.Contains(body, "Hello from server") {
			t.Errorf("after a crash the port answers %q", body)
		}
	})
}

// The node's own CNI configuration, with the portmap plugin and without.
func TestCNI(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		subnet, subnet6, port := "10.177.1", "fd77:1::", 21081
		if b.mode == outside {
			subnet, subnet6, port = "10.177.2", "fd77:2::", 31081
		}
		bridge := "cni" + strings.ReplaceAll(subnet, ".", "")[3:]
		b.writeFile("cni/10-test.conflist", fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "plugins": [
			{"type": "bridge", "bridge": %q, "isGateway": true, "ipMasq": true,
			 "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "%s.0/24"}], [{"subnet": "%s/112"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}`,
			bridge, bridge, b.path("cni-data"), subnet, subnet6))
		t.Cleanup(func() {
			if link, err := netlink.LinkByName(bridge); err != nil {
				t.Errorf("the plugin's bridge: %v", err)
			} else if err := netlink.LinkDel(link); err != nil {
				t.Error(err)
			}
		})
		b.apply("web.yaml", strings.Replace(web("web", ""), "containerPort: 8080}", fmt.Sprintf("containerPort: 8080, hostPort: %d}", port), 1))
		pod := b.waitReady("web")
		if !strings.HasPrefix(pod.Status.PodIP, subnet+".") {
			t.Fatalf("the address is %s", pod.Status.PodIP)
		}
		if ips := pod.Status.PodIPs; len(ips) != 2 || !strings.HasPrefix(ips[1].IP, subnet6) {
			t.Fatalf("the addresses are %v", ips)
		}
		if hosts := readFile(t, b.path("state/pods/"+string(pod.UID)+"/volumes/..files/hosts")); !strings.Contains(hosts, pod.Status.PodIPs[1].IP+"\tweb\n") {
			t.Errorf("/etc/hosts lacks the second address:\n%s", hosts)
		}
		if body := fetch(t, "http://"+pod.Status.PodIP+":8080/"); !strings.Contains(body, "Hello from web") {
			t.Errorf("the pod answers %q", body)
		}
		b.crash()
		b.start()
		b.waitReady("web")
		b.delete("web.yaml")
		b.waitGone("web")
		if taken, err := os.ReadDir(b.path("cni-data/" + bridge)); err != nil || hasAddress(taken) {
			t.Errorf("the address was not returned: %v %v", taken, err)
		}
	})
}

func hasAddress(entries []os.DirEntry) bool {
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "10.") {
			return true
		}
	}
	return false
}

// A host-network pod has the host's names and addresses.
func TestHostNetwork(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if out := b.once("host", "hostname; cat /etc/hostname", "", ""); out != host+"\n"+host+"\n" {
		t.Errorf("the names are %q", out)
	}
	pod := b.pod(v1.NamespaceDefault, "host")
	if pod.Status.PodIP != pod.Status.HostIP {
		t.Errorf("the addresses are %s and %s", pod.Status.PodIP, pod.Status.HostIP)
	}
}
