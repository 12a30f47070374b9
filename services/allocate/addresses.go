package allocate

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"
)

// claim is a wish for an address of a family.
type claim struct {
	key    string
	family v1.IPFamily
	ip     netip.Addr // invalid: any
}

// claims are the wishes for addresses: those on record, those that manifests name, and those of whoever takes what follows from its name.
func (a *allocation) claims() (kept, named, derived []claim) {
	for _, key := range a.keys {
		s := a.services[key]
		if Headless(s) {
			continue
		}
		for _, f := range a.given[key].Families {
			want, had := ofFamily(wantedAddresses(s), f), ofFamily(a.had[key].ClusterIPs, f)
			switch cidr, _ := a.cidr(f); {
			case want.IsValid() && want == had:
				kept = append(kept, claim{key, f, want})
			case want.IsValid():
				named = append(named, claim{key, f, want})
			case had.IsValid() && cidr.Contains(had) && a.terms.Taken(had) == "":
				kept = append(kept, claim{key, f, had})
			default:
				derived = append(derived, claim{key: key, family: f})
			}
		}
	}
	return kept, named, derived
}

// addresses gives ClusterIPs out. Whoever has an address on record keeps it; then come those that manifests name, then those that follow
// from names.
func (a *allocation) addresses() {
	kept, named, derived := a.claims()
	owner := map[netip.Addr]string{}
	give := func(key string, ip netip.Addr) {
		owner[ip] = key
		a.given[key].ClusterIPs = append(a.given[key].ClusterIPs, ip)
	}
	for _, c := range slices.Concat(kept, named) {
		if other, taken := owner[c.ip]; taken {
			a.note(c.key, AddressTaken, "%s belongs to service %s; the service has no address of its own until one of the two names another", c.ip, other)
		} else if by := a.terms.Taken(c.ip); by != "" {
			a.note(c.key, AddressTaken, "%s is %s; the service has no address until clusterIP names another, or none", c.ip, by)
		} else {
			give(c.key, c.ip)
		}
	}
	for _, c := range derived {
		cidr, _ := a.cidr(c.family)
		ip := derive(cidr, c.key, func(ip netip.Addr) bool { return owner[ip] == "" && a.terms.Taken(ip) == "" })
		if !ip.IsValid() {
			a.note(c.key, NoneFree, "all addresses of %s are taken; set a larger serviceCIDR in the configuration file", cidr)
			continue
		}
		give(c.key, ip)
	}
	for _, key := range a.keys { // as the families are
		g := a.given[key]
		slices.SortStableFunc(g.ClusterIPs, func(x, y netip.Addr) int {
			return slices.Index(g.Families, FamilyOf(x)) - slices.Index(g.Families, FamilyOf(y))
		})
	}
}

// mostDerived bounds how many addresses of a subnet are given out unasked: the first of them, where it has more.
const mostDerived = 1 << 16

// derive finds the address that follows from a service's name: the first one free from there on. The lower part of the subnet comes last: it
// is left to manifests that name addresses, as the API server does (KEP-3070).
func derive(cidr netip.Prefix, key string, free func(netip.Addr) bool) netip.Addr {
	size := uint64(mostDerived)
	if host := cidr.Addr().BitLen() - cidr.Bits(); host < 16 {
		size = 1 << host
	}
	// The first address is the subnet's own, and in IPv4 the last one that of all.
	first, last := uint64(1), size-1
	if cidr.Addr().Is4() {
		last--
	}
	lower := min(max(16, size/16), 256)
	if lower >= last {
		lower = first
	}
	for _, band := range [][2]uint64{{lower, last}, {first, lower - 1}} {
		if band[1] < band[0] {
			continue
		}
		n := band[1] - band[0] + 1
		start := hash(key) % n
		for i := range n {
			if ip := Nth(cidr, band[0]+(start+i)%n); free(ip) {
				return ip
			}
		}
	}
	return netip.Addr{}
}

func hash(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}

// Nth is address number n of a subnet.
func Nth(subnet netip.Prefix, n uint64) netip.Addr {
	sum := new(big.Int).SetBytes(subnet.Masked().Addr().AsSlice())
	sum.Add(sum, new(big.Int).SetUint64(n))
	ip, _ := netip.AddrFromSlice(sum.FillBytes(make([]byte, subnet.Addr().BitLen()/8)))
	return ip
}

// numberOfNames is the place in a subnet of the address that answers for names, as with kubeadm.
const numberOfNames = 10

// OfNames are the addresses, one of each subnet, that answer for names.
func OfNames(cidrs []netip.Prefix) (out []netip.Addr) {
	for _, p := range cidrs {
		out = append(out, Nth(p, numberOfNames))
	}
	return out
}
