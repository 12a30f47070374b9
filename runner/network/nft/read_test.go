package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// An element's key, value and counter are read from attributes as the kernel sends them.
func TestParseElement(t *testing.T) {
	const key = "\x0c\x00\x01\x80\x08\x00\x01\x00\x0a\x60\x00\x50" // NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE
	for name, c := range map[string]struct {
		attributes string
		want       Element
	}{
		"a set's": {key, Element{Key: "\x0a\x60\x00\x50"}},
		"a map's": {key + "\x0c\x00\x02\x80\x08\x00\x01\x00\x0a\x01\x00\x02", Element{Key: "\x0a\x60\x00\x50", Value: "\x0a\x01\x00\x02"}},
		"a chain's": {key + "\x1c\x00\x02\x80\x18\x00\x02\x80\x08\x00\x01\x00\xff\xff\xff\xfc\x0b\x00\x02\x00pick-2\x00\x00",
			Element{Key: "\x0a\x60\x00\x50", Value: "pick-2"}},
		"with a counter": {key + "\x2c\x00\x07\x80\x0c\x00\x01\x00counter\x00\x1c\x00\x02\x80\x0c\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x02\x0c\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x03",
			Element{Key: "\x0a\x60\x00\x50", Packets: 3, Bytes: 0x102}},
		"cut off": {key[:10], Element{}},
		"nothing": {"", Element{}},
	} {
		if got := parseElement([]byte(c.attributes)); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzParseElement(f *testing.F) {
	f.Add([]byte("\x0c\x00\x01\x80\x08\x00\x01\x00\x0a\x60\x00\x50"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e := parseElement(b); len(e.Key)+len(e.Value) > 2*len(b) {
			t.Errorf("%x is %+v", b, e)
		}
	})
}

// A prefix is compared under its mask, a whole address as it is.
func TestMatch(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.1.2.3/32": "3", "10.1.2.3/24": "4 ffffff00 0a010200", "0.0.0.0/0": "4 00000000 00000000", "fd00::1/128": "3", "fd00::1/64": "4 ffffffffffffffff0000000000000000 fd000000000000000000000000000000",
	} {
		p := netip.MustParsePrefix(prefix)
		h := HeaderOf(p.Addr())
		list := h.Match(h.Source, p, expr.CmpOpEq)
		got := "3"
		if len(list) == 3 {
			got = fmt.Sprintf("4 %x %x", list[1].(*expr.Bitwise).Mask, list[2].(*expr.Cmp).Data)
		}
		if load, ok := list[0].(*expr.Payload); got != want && len(list) != 2 || len(list) == 2 && want != "3" || !ok || load.Len != uint32(p.Addr().BitLen()/8) {
			t.Errorf("%s: %s", prefix, got)
		}
	}
}

func TestUnsupported(t *testing.T) {
	for err, want := range map[error]bool{unix.EAFNOSUPPORT: true, unix.EOPNOTSUPP: true, unix.ENOENT: true, unix.EPERM: false, errors.New("other"): false, nil: false} {
		if err != nil && Unsupported(fmt.Errorf("x: %w", err)) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
	if Unsupported(nil) {
		t.Error("nothing is an error")
	}
}
