package vm

import (
	"fmt"
	"strings"
	"testing"
)

// TestResolved: with systemd-resolved, pods that have a network of their own get the servers that it asks, and follow when these change.
func TestResolved(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.install()
	b.run("cp /mnt/images/*.tar /var/lib/solopod/images/")
	asks := func(server string) {
		b.t.Helper()
		b.run("mkdir -p /etc/systemd/resolved.conf.d")
		b.write("/etc/systemd/resolved.conf.d/test.conf", "[Resolve]\nDNS="+server+"\nFallbackDNS=\nDomains=lan.example")
		b.run("systemctl restart systemd-resolved")
	}
	b.run("systemctl unmask systemd-resolved")
	asks("192.0.2.2")
	b.run("ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf")
	b.apply("own", strings.Replace(shell("own", forever, ""), "  hostNetwork: true\n", "", 1))
	b.apply("host", shell("host", forever, ""))
	b.ready(2)
	says := func(pod, want string) {
		b.t.Helper()
		b.eventually("the resolver configuration of "+pod, func() error {
			got, err := b.try("solopod exec " + pod + " -- cat /etc/resolv.conf")
			if err == nil && !strings.Contains(got, want) {
				err = fmt.Errorf("it is %q, without %q", got, want)
			}
			return err
		})
	}
	says("host", "nameserver 127.0.0.53\n")
	says("own", "search lan.example\nnameserver 192.0.2.2")
	asks("192.0.2.3")
	says("own", "search lan.example\nnameserver 192.0.2.3")
	b.run("systemctl restart solopod")
	asks("192.0.2.4")
	says("own", "search lan.example\nnameserver 192.0.2.4")
}
