package host

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/netlinks"
)

const (
	// calm is for how long the network must not have changed before it is looked at: changes come in rows.
	calm = 100 * time.Millisecond
	// restless is how long a row of changes is waited for.
	restless = time.Second
	// anew is the pause before a watch that has failed begins again.
	anew = 5 * time.Second
)

// groups are what is listened to (rtnetlink(7)).
var groups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
}

// Watch calls changed with the machine's addresses whenever they are others than before, and missing with one that is set and that the
// machine does not have, whenever that begins. known are those that were found before. It is told by the kernel and asks nothing at
// intervals. It returns when ctx ends.
func (a Addresses) Watch(ctx context.Context, known []netip.Addr, changed func([]netip.Addr), missing func(netip.Addr)) {
	w := watch{Addresses: a, known: known, changed: changed, lacks: missing}
	told := ""
	for ctx.Err() == nil {
		err := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if err.Error() != told {
			told = err.Error()
			slog.Warn("changes of the machine's addresses cannot be followed at once", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(anew):
		}
	}
}

type watch struct {
	Addresses
	known   []netip.Addr
	missing netip.Addr
	changed func([]netip.Addr)
	lacks   func(netip.Addr)
}

// follow looks, and looks again after each change, until ctx ends or it is no longer told of changes.
func (w *watch) follow(ctx context.Context) error {
	socket, err := netlinks.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	changes, failed := make(chan struct{}, 1), make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failed <- netlinks.Listen(ctx, socket, matters, changes)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	for {
		if err := w.look(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return fmt.Errorf("cannot listen to the kernel: %w", err)
		case <-changes:
		}
		settle(ctx, changes)
	}
}

// settle waits for the end of a row of changes.
func settle(ctx context.Context, changes <-chan struct{}) {
	limit := time.NewTimer(restless)
	defer limit.Stop()
	for {
		quiet := time.NewTimer(calm)
		select {
		case <-changes:
			quiet.Stop()
			continue
		case <-quiet.C:
		case <-limit.C:
		case <-ctx.Done():
		}
		quiet.Stop()
		return
	}
}

// matters: routes do not, but for default ones; a router has very many.
func matters(m syscall.NetlinkMessage) bool {
	if t := m.Header.Type; t != unix.RTM_NEWROUTE && t != unix.RTM_DELROUTE {
		return true
	}
	// struct rtmsg: family, length of the destination, ..., table
	return len(m.Data) < unix.SizeofRtMsg || m.Data[1] == 0 && m.Data[4] != unix.RT_TABLE_LOCAL
}

func (w *watch) look() error {
	ips, missing, err := w.Look()
	if err != nil {
		return err
	}
	if missing != w.missing && missing.IsValid() {
		w.lacks(missing)
	}
	w.missing = missing
	// An address that goes is not taken from pods before there is another one: mostly it comes back.
	if len(ips) > 0 && !slices.Equal(ips, w.known) {
		w.known = ips
		w.changed(ips)
	}
	return nil
}
