package isolate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/netlinks"
	"github.com/solopod/solopod/runner/network/flows"
)

// tries is how often a list is asked for that has changed while it was made.
const tries = 5

// ForgetForbidden has the kernel forget flows that are allowed no longer, so that answers end with them: these pass as long as the kernel
// knows the flow. It forgets all flows of the addresses in fresh, which belonged to other pods. What the machine itself has begun stays.
func ForgetForbidden(ctx context.Context, r *Rules, fresh []netip.Addr) error {
	local, err := machineAddresses()
	if err != nil {
		return err
	}
	ends := func(w flows.Flow) bool { return r.ends(w, fresh, local) }
	return errors.Join(flows.Forget(ctx, true, ends), flows.Forget(ctx, false, ends))
}

// ends says whether a flow must be forgotten. One of TCP or SCTP is left where the kernel would take it up again in the other direction, from
// the next answer: as it is its packets are judged, and it gets no further.
func (r *Rules) ends(w flows.Flow, fresh []netip.Addr, local map[netip.Addr]bool) bool {
	from, to := w.From.Addr(), w.Answers.Addr()
	if slices.Contains(fresh, from) || slices.Contains(fresh, to) {
		return true
	}
	if !r.Isolated(from) && !r.Isolated(to) || local[from] {
		return false
	}
	f := Flow{from, to, w.Protocol, w.Answers.Port()}
	if r.Allows(f, false) {
		return false
	}
	back := Flow{to, from, w.Protocol, w.From.Port()}
	resumes := f.Protocol == unix.IPPROTO_TCP || f.Protocol == unix.IPPROTO_SCTP
	return !resumes || !r.Allows(back, false)
}

func machineAddresses() (map[netip.Addr]bool, error) {
	list, err := netlinks.Whole(tries, func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil && !errors.Is(err, netlinks.ErrInterrupted) {
		return nil, fmt.Errorf("cannot list the machine's addresses: %w", err)
	}
	out := map[netip.Addr]bool{}
	for _, a := range list {
		out[addressOf(a.IP)] = true
	}
	return out, nil
}

func addressOf(ip []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
