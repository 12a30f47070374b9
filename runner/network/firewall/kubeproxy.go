package firewall

import (
	"fmt"
	"strings"

	"github.com/google/nftables"

	"github.com/solopod/solopod/runner/network/nft"
)

// KubeProxy says where rules are that lead to services of a cluster, of kube-proxy or of what stands for it; "" when there are none. Tables
// of iptables-legacy are not looked at: that takes a process for each.
func KubeProxy() (where string, err error) {
	c, err := nft.Dial()
	if err != nil {
		return "", err
	}
	chains, err := c.ListChains()
	if err != nil {
		return "", fmt.Errorf("cannot list the chains of nftables: %w", err)
	}
	return kubeProxyIn(chains), nil
}

func kubeProxyIn(chains []*nftables.Chain) string {
	for _, c := range chains {
		if c.Table.Name == "kube-proxy" { // its mode nftables
			return "table " + c.Table.Name
		}
		if c.Name == "KUBE-SERVICES" || strings.HasPrefix(c.Name, "KUBE-NODEPORT") { // its modes iptables and ipvs
			return "chain " + c.Name + " of table " + c.Table.Name
		}
	}
	return ""
}
