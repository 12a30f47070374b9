package network

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// pluginMachine makes a machine whose pods a plugin of CNI connects.
func pluginMachine(t *testing.T, plugin string) *machine {
	t.Helper()
	const bin = "/usr/lib/cni"
	if _, err := os.Stat(bin + "/bridge"); err != nil {
		t.Fatalf("containernetworking-plugins are needed: %v", err)
	}
	return newMachine(t, true, true, func(c *Config) {
		c.CNIBinDirs, c.CNIConfDir = []string{bin}, t.TempDir()
		conf := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "net", "plugins": [{%s,
			"ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.98.0.0/24"}], [{"subnet": "fd00:98::/64"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}]}`,
			plugin, t.TempDir())
		if err := os.WriteFile(c.CNIConfDir+"/net.conflist", []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
	})
}

// Pods that CNI has connected are isolated as others are, on a bridge and without one.
func TestPolicyForPodsOfCNI(t *testing.T) {
	for name, plugin := range map[string]string{
		"bridge": `"type": "bridge", "bridge": "cnipol0", "isGateway": true, "ipMasq": true`,
		"ptp":    `"type": "ptp", "ipMasq": true`,
	} {
		t.Run(name, func(t *testing.T) {
			eachNetfilter(t, func(t *testing.T) {
				openRoutes(t)
				m := pluginMachine(t, plugin)
				t.Cleanup(func() {
					if link, err := netlink.LinkByName("cnipol0"); err == nil {
						netlink.LinkDel(link) //nolint:errcheck // the plugin leaves it
					}
				})
				web, client, other := m.app("web"), m.app("client"), m.app("other")
				for _, ip := range web.IPs {
					for _, space := range []*os.File{client.space, other.space, nil} { // the plugins do not wait until nobody else has an address (RFC 4862)
						eventually(t, 5*time.Second, ip+" answers", func() bool { _, err := ask(space, ip, 80); return err == nil })
					}
				}
				m.isolate(policy(t, "web", fromClient), policy(t, "names", `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 90, protocol: UDP}]}]}`))
				late := m.app("late")
				for i, ip := range web.IPs {
					eventually(t, 5*time.Second, ip+" answers", func() bool { _, err := ask(client.space, ip, 80); return err == nil })
					answers(t, nil, ip, 80, "web")
					silent(t, client.space, ip, 81)
					silent(t, other.space, ip, 80)
					silent(t, late.space, ip, 80)
					answers(t, web.space, client.IPs[i], 80, "client")
				}

				l4, l6 := listener(t, web.space, "udp4", 90), listener(t, web.space, "udp6", 90)
				gateway := netlink.Link(nil)
				for _, n := range m.policies.written.Ports {
					if strings.Contains(fmt.Sprint(n.Addrs), other.IPs[0]) {
						link, err := netlink.LinkByName(n.Interface)
						if err != nil {
							t.Fatal(err)
						}
						gateway = link
					}
				}
				if gateway == nil || len(m.policies.written.Ports) != 4 {
					t.Fatalf("the pods' interfaces are %v", m.policies.written.Ports)
				}
				to := gateway.Attrs().HardwareAddr
				if bridge, err := netlink.LinkByName("cnipol0"); err == nil {
					to = bridge.Attrs().HardwareAddr
				}
				for i, kind := range []uint16{unix.ETH_P_IP, unix.ETH_P_IPV6} {
					target := netip.MustParseAddr(web.IPs[i])
					for _, from := range []string{client.IPs[i], other.IPs[i]} {
						sendFrame(t, other.space, other.hardware(t), to, datagram(netip.MustParseAddr(from), target, 90, "around"), kind)
						sendFrame(t, other.space, other.hardware(t), web.hardware(t), datagram(netip.MustParseAddr(from), target, 90, "around"), kind)
					}
					in(t, client.space, func() error { return say(web.IPs[i], 90, "last") })
				}
				if got := append(words(t, l4), words(t, l6)...); len(got) > 0 {
					t.Errorf("heard is %q", got)
				}
			})
		})
	}
}

// A pod whose packets pass none of the machine's rules is not attached where a policy selects it, and told of where it runs already.
func TestPolicyPastTheMachine(t *testing.T) {
	m := pluginMachine(t, `"type": "macvlan", "master": "up0"`)
	m.watching()
	first := m.app("first")
	m.isolate(policy(t, "deny", denyIngress))
	if m.said(NotEnforced) {
		t.Errorf("told is %q", m.told)
	}
	space := newSpace(t)
	web := Pod{UID: "web", Namespace: "ns", Name: "web", Labels: map[string]string{"app": "web"}, Netns: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), space.Fd())}
	if _, err := m.Attach(t.Context(), web); err == nil || !strings.Contains(err.Error(), "macvlan") {
		t.Errorf("the pod is attached: %v", err)
	}
	if n := len(m.policies.pods); n != 1 {
		t.Errorf("%d pods are known", n)
	}
	m.isolate(policy(t, "all", denyAll))
	eventually(t, 5*time.Second, "it is told", func() bool { return m.said(NotEnforced + ": NetworkPolicies are not enforced for ns/first") })
	m.detach(first)
}
