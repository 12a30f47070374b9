package firewall

import (
	"testing"

	"github.com/google/nftables"
)

// Rules of kube-proxy are known by its modes' names; those of others are not taken for them.
func TestKubeProxyIn(t *testing.T) {
	chain := func(table, name string) *nftables.Chain {
		return &nftables.Chain{Name: name, Table: &nftables.Table{Name: table}}
	}
	for want, chains := range map[string][]*nftables.Chain{
		"":                                  {chain("filter", "FORWARD"), chain("nat", "DOCKER"), chain("nat", "KUBE-MARK-MASQ"), chain("solopod0-services", "services")},
		"table kube-proxy":                  {chain("filter", "FORWARD"), chain("kube-proxy", "services")},
		"chain KUBE-SERVICES of table nat":  {chain("nat", "PREROUTING"), chain("nat", "KUBE-SERVICES")},
		"chain KUBE-NODEPORTS of table nat": {chain("nat", "KUBE-NODEPORTS")},
	} {
		if got := kubeProxyIn(chains); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
