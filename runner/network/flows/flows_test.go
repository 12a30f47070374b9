package flows

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// tuple is a message's of a flow in one direction; a protocol without ports has none.
func tuple(kind int, from, to string, protocol byte) []byte {
	a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	source, destination := nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
	if a.Addr().Is6() {
		source, destination = nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	}
	out := nl.NewRtAttr(kind|unix.NLA_F_NESTED, nil)
	ip := out.AddRtAttr(nl.CTA_TUPLE_IP|unix.NLA_F_NESTED, nil)
	ip.AddRtAttr(source, a.Addr().AsSlice())
	ip.AddRtAttr(destination, b.Addr().AsSlice())
	proto := out.AddRtAttr(nl.CTA_TUPLE_PROTO|unix.NLA_F_NESTED, nil)
	proto.AddRtAttr(nl.CTA_PROTO_NUM, []byte{protocol})
	if protocol != unix.IPPROTO_ICMP {
		proto.AddRtAttr(nl.CTA_PROTO_SRC_PORT, binary.BigEndian.AppendUint16(nil, a.Port()))
		proto.AddRtAttr(nl.CTA_PROTO_DST_PORT, binary.BigEndian.AppendUint16(nil, b.Port()))
	}
	return out.Serialize()
}

// A flow is read with all that tells it from others; without one of its ends it is none.
func TestParse(t *testing.T) {
	zone := nl.NewRtAttr(ctaZone, []byte{0, 7}).Serialize()
	for name, c := range map[string]struct {
		message []byte
		want    string // empty: none
	}{
		"UDP": {append(tuple(nl.CTA_TUPLE_ORIG, "10.0.0.1:40000", "10.96.0.1:53", 17), tuple(nl.CTA_TUPLE_REPLY, "10.0.0.2:5353", "10.0.0.1:40000", 17)...),
			"17 10.0.0.1:40000 10.96.0.1:53 10.0.0.2:5353 []"},
		"in a zone": {append(append(tuple(nl.CTA_TUPLE_ORIG, "[fd00::1]:1", "[fd00::2]:2", 6), tuple(nl.CTA_TUPLE_REPLY, "[fd00::2]:2", "[fd00::1]:1", 6)...), zone...),
			"6 [fd00::1]:1 [fd00::2]:2 [fd00::2]:2 [0 7]"},
		"ICMP": {append(tuple(nl.CTA_TUPLE_ORIG, "10.0.0.1:9", "10.0.0.2:9", 1), tuple(nl.CTA_TUPLE_REPLY, "10.0.0.2:9", "10.0.0.1:9", 1)...),
			"1 10.0.0.1:0 10.0.0.2:0 10.0.0.2:0 []"},
		"half of one": {tuple(nl.CTA_TUPLE_ORIG, "10.0.0.1:40000", "10.96.0.1:53", 17), ""},
		"nothing":     {nil, ""},
	} {
		got := ""
		if f, ok := parse(c.message); ok {
			got = fmt.Sprintf("%d %s %s %s %d", f.Protocol, f.From, f.To, f.Answers, f.zone)
		}
		if got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Messages are read as far as they are whole, whatever they are.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x34\x00\x01\x80\x14\x00\x01\x80\x08\x00\x01\x00\x0a\x00\x00\x01\x08\x00\x02\x00\x0a\x60\x00\x01\x1c\x00\x02\x80\x05\x00\x01\x00\x11\x00\x00\x00\x06\x00\x02\x00\x9c\x40\x00\x00\x06\x00\x03\x00\x00\x35\x00\x00"))
	f.Add([]byte("\x04\x00\x01\x80\x04\x00\x02\x80"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, ok := parse(b)
		if ok && (!w.From.Addr().IsValid() || !w.To.Addr().IsValid() || !w.Answers.Addr().IsValid()) {
			t.Errorf("%x is %+v", b, w)
		}
	})
}
