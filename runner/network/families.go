package network

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// Families are those of which pods get addresses, their first one first; none where plugins give them, who do not tell.
func (n *Network) Families() (out []v1.IPFamily) {
	if list, err := n.cni.load(); list != nil || err != nil {
		return nil
	}
	is4, is6 := n.bridge.Families()
	if is4 {
		out = append(out, v1.IPv4Protocol)
	}
	if is6 {
		out = append(out, v1.IPv6Protocol)
	}
	if n.config.IPv6First != nil && n.config.IPv6First() {
		slices.Reverse(out)
	}
	return out
}
