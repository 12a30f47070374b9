// Package flows has the kernel forget connections, and what it takes for such (conntrack). They are looked at one by one while the kernel
// lists them: there may be very many.
package flows

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/netlinks"
	"github.com/solopod/solopod/runner/rescue"
)

// Flow is one as the kernel has it.
type Flow struct {
	Protocol byte
	// From is who has begun it, To where its first packet was for, and Answers where answers come from. Protocols without ports have zeros.
	From, To, Answers netip.AddrPort
	// tuple names it to the kernel, as attributes of CTA_TUPLE_ORIG.
	tuple []byte
	zone  []byte
}

// Messages and attributes of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | nl.IPCTNL_MSG_CT_GET
	ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | nl.IPCTNL_MSG_CT_DELETE

	ctaZone = 18
)

// Forget has the kernel forget the flows of a family that match.
func Forget(ctx context.Context, is4 bool, match func(Flow) bool) error {
	family := uint8(unix.AF_INET6)
	if is4 {
		family = unix.AF_INET
	}
	return rescue.Do("read the kernel's flows", func() error { return forget(ctx, family, match) }) // which are of any protocol
}

func forget(ctx context.Context, family uint8, match func(Flow) bool) error {
	req := nl.NewNetlinkRequest(ctGet, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	var found []Flow
	err := req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(m []byte) bool {
		if f, ok := parse(m[min(nl.SizeofNfgenmsg, len(m)):]); ok && match(f) {
			found = append(found, f)
		}
		return ctx.Err() == nil
	})
	switch {
	case errors.Is(err, unix.EAFNOSUPPORT):
		return nil
	case errors.Is(err, netlinks.ErrInterrupted): // most of them were seen
	case err != nil:
		return fmt.Errorf("cannot list the flows that the kernel knows: %w", err)
	}
	errs := []error{ctx.Err()} // not all were looked at
	for _, f := range found {
		req := nl.NewNetlinkRequest(ctDelete, unix.NLM_F_ACK)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
		req.AddData(nl.NewRtAttr(nl.CTA_TUPLE_ORIG|unix.NLA_F_NESTED, f.tuple))
		if f.zone != nil {
			req.AddData(nl.NewRtAttr(ctaZone, f.zone))
		}
		if _, err := req.Execute(unix.NETLINK_NETFILTER, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("cannot have the kernel forget a flow: %w", err))
		}
	}
	return errors.Join(errs...)
}

// parse reads a message's attributes.
func parse(b []byte) (f Flow, ok bool) {
	for kind, value := range netlinks.Attributes(b) {
		switch kind {
		case nl.CTA_TUPLE_ORIG:
			f.tuple = value
			f.From, f.To, f.Protocol = parseTuple(value)
		case nl.CTA_TUPLE_REPLY:
			f.Answers, _, _ = parseTuple(value)
		case ctaZone:
			f.zone = value
		}
	}
	return f, f.From.IsValid() && f.To.IsValid() && f.Answers.IsValid()
}

func parseTuple(b []byte) (from, to netip.AddrPort, protocol byte) {
	var source, destination netip.Addr
	var sourcePort, destinationPort uint16
	for kind, value := range netlinks.Attributes(b) {
		switch kind {
		case nl.CTA_TUPLE_IP:
			for kind, value := range netlinks.Attributes(value) {
				addr, ok := netip.AddrFromSlice(value)
				switch {
				case !ok:
				case kind == nl.CTA_IP_V4_SRC || kind == nl.CTA_IP_V6_SRC:
					source = addr
				case kind == nl.CTA_IP_V4_DST || kind == nl.CTA_IP_V6_DST:
					destination = addr
				}
			}
		case nl.CTA_TUPLE_PROTO:
			for kind, value := range netlinks.Attributes(value) {
				switch {
				case kind == nl.CTA_PROTO_NUM && len(value) == 1:
					protocol = value[0]
				case kind == nl.CTA_PROTO_SRC_PORT && len(value) == 2:
					sourcePort = binary.BigEndian.Uint16(value)
				case kind == nl.CTA_PROTO_DST_PORT && len(value) == 2:
					destinationPort = binary.BigEndian.Uint16(value)
				}
			}
		}
	}
	return netip.AddrPortFrom(source, sourcePort), netip.AddrPortFrom(destination, destinationPort), protocol
}
