package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestClusterDNS: pods ask the servers of clusterDNS from their first moment, also without a Service and beside a file that cannot be read;
// and those of Solopod, or the machine's, when the setting is gone.
func TestClusterDNS(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4")
	b := prepareBox(t, embedded)
	b.namespaces = []string{"nsenter", "--net=" + machine, "--"}
	b.link(imageArchive, "images/box.tar")
	b.writeFile("resolv.conf", "nameserver "+there4+"\nsearch lan.example\n")
	resolvConf := fmt.Sprintf("resolvConf: %s\n", b.path("resolv.conf"))
	b.configure(resolvConf + "clusterDNS: [192.0.2.53]\nclusterDomain: box.example\n")
	b.apply("bad.yaml", "kind: Pod\nmetadata: {name: [\n")
	b.apply("once.yaml", strings.Replace(shell("once", "cat /etc/resolv.conf", "restartPolicy: Never"), "  hostNetwork: true\n", "", 1))
	b.apply("client.yaml", served("client", "app: client"))
	b.start()
	client := b.waitReady("client")
	const others = "search default.svc.box.example svc.box.example box.example lan.example\nnameserver 192.0.2.53\noptions ndots:5"
	b.eventually("the first pod has read its file", func() error {
		if out, err := b.try("logs", "once"); err != nil || strings.TrimSpace(out) != others {
			return fmt.Errorf("it had %q: %w", out, err)
		}
		return nil
	})
	if got := b.mustInside(client, "cat /etc/resolv.conf"); got != others {
		t.Errorf("the pod has %q", got)
	}
	b.apply("service.yaml", webService)
	b.eventually("the service is there", func() error { _, err := b.try("get", "services", "web"); return err })
	if got := b.mustInside(client, "cat /etc/resolv.conf"); got != others {
		t.Errorf("with a service the pod has %q", got)
	}
	b.crash()
	b.writeFile("config.yaml", resolvConf)
	b.start()
	b.eventually("the pod asks Solopod's servers", func() error {
		if got := b.mustInside(client, "cat /etc/resolv.conf"); !strings.Contains(got, "svc.cluster.local") || strings.Contains(got, "192.0.2.53") {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
}
