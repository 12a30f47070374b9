package bridge

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/solopod/solopod/runner/foreign"
)

// deferredLimit is how long the kernel may take to do what it does with deferred work; it is milliseconds.
const deferredLimit = 2 * time.Second

var errDeferred = errors.New("the kernel has not done it yet")

// await returns when the kernel's deferred work, of which it tells nobody, is done, and within deferredLimit.
func await(ctx context.Context, done func() (bool, error)) error {
	limit := time.NewTimer(deferredLimit)
	defer limit.Stop()
	for pause := 500 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if is, err := done(); is || err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-limit.C:
			return errDeferred
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitGroups returns when the interface, of the calling thread's network namespace, hears who asks for its addresses of IPv6. The kernel
// joins the group of those who are asked with deferred work, after the address can be used: who asks before is not heard, and asks again
// after a second only. Kernels before 6.14 tell nobody that they have joined.
func awaitGroups(ctx context.Context, name string, ips []netip.Addr) error {
	var wanted []string
	for _, ip := range ips {
		if ip.Is6() {
			group := solicited(ip).As16()
			wanted = append(wanted, hex.EncodeToString(group[:]))
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	err := await(ctx, func() (bool, error) {
		table, err := foreign.ReadKernel("/proc/thread-self/net/igmp6")
		if err != nil {
			return false, fmt.Errorf("cannot find out whether %s hears who asks for its addresses: %w", name, err)
		}
		return joined(string(table), name, wanted), nil
	})
	if errors.Is(err, errDeferred) {
		return fmt.Errorf("%s does not hear yet who asks for its addresses", name)
	}
	return err
}

// solicited is the group of those who are asked for an address (RFC 4291, section 2.7.1).
func solicited(ip netip.Addr) netip.Addr {
	group, a := netip.MustParseAddr("ff02::1:ff00:0").As16(), ip.As16()
	copy(group[13:], a[13:])
	return netip.AddrFrom16(group)
}

// joined looks for groups, in hexadecimal, in the kernel's table (net/ipv6/mcast.c): the interface's number and name, the group, and more.
func joined(table, name string, groups []string) bool {
	has := map[string]bool{}
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == name {
			has[fields[2]] = true
		}
	}
	for _, g := range groups {
		if !has[g] {
			return false
		}
	}
	return true
}
