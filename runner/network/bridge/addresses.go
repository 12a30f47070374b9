package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
)

// rest is how long an address that was given back is not given out again while others are free: neighbours, and peers of connections,
// may still mean the pod that had it.
const rest = time.Minute

// mostPods bounds how many addresses are looked at for a free one; a subnet of IPv6 has very many.
const mostPods = 1 << 16

// addresses are those that the own bridge gives out. A pod's address of either family has the same number within its subnet.
type addresses struct {
	subnets []netip.Prefix // of the bridge, one of a family; none while there is no bridge
	// lame: IPv6 is switched off for now; pods that come get no address of it, and those that have one keep it.
	lame bool
	// private is the machine's own subnet of IPv6, once it was chosen.
	private netip.Prefix
	taken   map[string][]netip.Addr
	// last is the number that was given out last: the search goes on behind it.
	last uint64
	// freed says when addresses were given back, since the boot.
	freed map[netip.Addr]time.Duration
}

// nth is an address by its number in its subnet; 1 is the bridge's own.
func nth(subnet netip.Prefix, n uint64) netip.Addr {
	sum := new(big.Int).SetBytes(subnet.Masked().Addr().AsSlice())
	bytes := sum.Add(sum, new(big.Int).SetUint64(n)).FillBytes(make([]byte, subnet.Addr().BitLen()/8))
	ip, _ := netip.AddrFromSlice(bytes)
	return ip
}

func (a *addresses) at(n uint64) []netip.Addr {
	out := make([]netip.Addr, 0, len(a.subnets))
	for _, s := range a.offered() {
		out = append(out, nth(s, n))
	}
	return out
}

// offered are the subnets of which pods get addresses now.
func (a *addresses) offered() (out []netip.Prefix) {
	for _, s := range a.subnets {
		if s.Addr().Is4() || !a.lame {
			out = append(out, s)
		}
	}
	return out
}

// highest is the last number that can be given out: behind it is the broadcast address.
func (a *addresses) highest() uint64 {
	size := uint64(mostPods)
	for _, s := range a.subnets {
		if host := s.Addr().BitLen() - s.Bits(); host < 16 {
			size = min(size, 1<<host)
		}
	}
	return size - 2
}

// allocate gives a pod an address of each family, one after the other. It keeps those that it has.
func (a *addresses) allocate(uid string, now time.Duration) ([]netip.Addr, error) {
	if has, ok := a.taken[uid]; ok && a.covers(has) {
		return has, nil
	}
	used := map[netip.Addr]bool{}
	for _, ips := range a.taken {
		for _, ip := range ips {
			used[ip] = true
		}
	}
	highest := a.highest()
	n, oldest := uint64(0), time.Duration(0)
	for i := range highest - 1 {
		candidate := 2 + (max(a.last, 1)-1+i)%(highest-1)
		free, since := a.free(a.at(candidate), used, now)
		if free && since == 0 {
			n = candidate
			break
		}
		if free && (n == 0 || since < oldest) {
			n, oldest = candidate, since
		}
	}
	if n == 0 {
		return nil, fmt.Errorf("all addresses of %s are taken; set a larger podCIDR in the configuration file", a.subnets)
	}
	a.last = n
	a.taken[uid] = a.at(n)
	return a.taken[uid], nil
}

// covers says whether these are addresses of the subnets, with one of each that is offered.
func (a *addresses) covers(ips []netip.Addr) bool {
	of := func(s netip.Prefix) bool { return slices.ContainsFunc(ips, s.Contains) }
	for _, ip := range ips {
		if !slices.ContainsFunc(a.subnets, func(s netip.Prefix) bool { return s.Contains(ip) }) {
			return false
		}
	}
	return !slices.ContainsFunc(a.offered(), func(s netip.Prefix) bool { return !of(s) })
}

// free says whether nobody has the addresses, and when they were given back if that was lately; zero if not.
func (a *addresses) free(ips []netip.Addr, used map[netip.Addr]bool, now time.Duration) (free bool, since time.Duration) {
	for _, ip := range ips {
		if used[ip] {
			return false, 0
		}
		if at, ok := a.freed[ip]; ok && now-at < rest {
			since = max(since, at, 1)
		}
	}
	return true, since
}

// release takes a pod's addresses back, and says whether it had any.
func (a *addresses) release(uid string, now time.Duration) bool {
	ips, had := a.taken[uid]
	for _, ip := range ips {
		a.freed[ip] = now
	}
	delete(a.taken, uid)
	for ip, at := range a.freed {
		if now-at >= rest {
			delete(a.freed, ip)
		}
	}
	return had
}

// sinceBoot is a time that no setting of the clock moves.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0 // the clock exists on every Linux that runs containers
	}
	return time.Duration(t.Nano())
}

// kept is what the next daemon must know of the addresses; a reboot makes it void.
type kept struct {
	Subnets []netip.Prefix               `json:"subnets,omitempty"`
	Private netip.Prefix                 `json:"private,omitzero"`
	Last    uint64                       `json:"last"`
	Freed   map[netip.Addr]time.Duration `json:"freed,omitempty"`
}

// maxKept bounds the file, in bytes.
const maxKept = 16 << 20

func keptFile(state string) string { return filepath.Join(state, "addresses.json") }

// loadAddresses takes up what an earlier daemon has kept. Without it addresses may be given out again too early.
func loadAddresses(state string) addresses {
	a := addresses{taken: map[string][]netip.Addr{}, freed: map[netip.Addr]time.Duration{}}
	if state == "" {
		return a
	}
	data, err := durable.ReadFile(keptFile(state), maxKept)
	if errors.Is(err, os.ErrNotExist) {
		return a
	}
	var k kept
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil {
		slog.Warn("cannot read which addresses of pods were given back lately", "err", err)
		return a
	}
	usable := func(p netip.Prefix) bool { return p.IsValid() && p.Addr().BitLen()-p.Bits() > 1 }
	a.last = k.Last
	if !slices.ContainsFunc(k.Subnets, func(p netip.Prefix) bool { return !usable(p) }) {
		a.subnets = k.Subnets
	}
	if usable(k.Private) && k.Private.Addr().Is6() {
		a.private = k.Private
	}
	now := sinceBoot()
	for ip, at := range k.Freed {
		if at <= now { // not of another boot, where the state directory outlives one
			a.freed[ip] = at
		}
	}
	return a
}

// keep writes down what the next daemon must know. Of several at the same time one writes, the latest last; the others do not wait for
// it. No lock is held.
func (b *Bridge) keep() {
	if b.StateDir == "" {
		return
	}
	b.mu.Lock()
	b.changed = true
	for b.changed && !b.writing {
		b.changed, b.writing = false, true
		data, err := json.Marshal(kept{b.subnets, b.private, b.last, b.freed})
		b.mu.Unlock()
		if err == nil {
			err = durable.Replace(keptFile(b.StateDir), data, 0o600)
		}
		if err != nil {
			slog.Warn("cannot note which addresses of pods were given back; after a restart they may be given out again too early", "err", err)
		}
		b.mu.Lock()
		b.writing = false
	}
	b.mu.Unlock()
}
