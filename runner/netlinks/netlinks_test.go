package netlinks

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// A list that has changed while it was made is asked for again, and no more often than that.
func TestWhole(t *testing.T) {
	other := errors.New("other")
	for name, c := range map[string]struct {
		answers []error
		asked   int
		err     error
	}{
		"whole":               {[]error{nil}, 1, nil},
		"at the second try":   {[]error{ErrInterrupted, nil}, 2, nil},
		"never":               {[]error{ErrInterrupted, ErrInterrupted, ErrInterrupted}, 3, ErrInterrupted},
		"another error":       {[]error{ErrInterrupted, other}, 2, other},
		"an error, and whole": {[]error{other, nil}, 1, other},
	} {
		asked := 0
		list, err := Whole(3, func() ([]int, error) {
			asked++
			return []int{asked}, c.answers[asked-1]
		})
		if asked != c.asked || !errors.Is(err, c.err) || len(list) != 1 || list[0] != asked {
			t.Errorf("%s: asked %d times: %v, %v", name, asked, list, err)
		}
	}
}

// Attributes are read as far as they are whole.
func TestAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"none":            {nil, ""},
		"one":             {[]byte{5, 0, 1, 0, 9, 0, 0, 0}, "1=09 "},
		"two, aligned":    {[]byte{5, 0, 1, 0, 9, 0, 0, 0, 6, 0, 2, 128, 7, 8}, "1=09 2=0708 "},
		"longer than all": {[]byte{5, 0, 1, 0, 9, 0, 0, 0, 9, 0, 2, 0, 7, 8}, "1=09 "},
		"too short":       {[]byte{3, 0, 1, 0}, ""},
		"empty":           {[]byte{4, 0, 3, 0}, "3= "},
	} {
		got := ""
		for kind, value := range Attributes(c.b) {
			got += fmt.Sprintf("%d=%x ", kind, value)
		}
		if got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Networks are the same in the kernel's form and in ours; that of none is no network.
func TestPrefix(t *testing.T) {
	for _, text := range []string{"10.1.0.0/16", "192.0.2.7/24", "0.0.0.0/0", "fd00::1/64", "::/0"} {
		want := netip.MustParsePrefix(text)
		if got, ok := Prefix(IPNet(want)); !ok || got != want {
			t.Errorf("%s becomes %s, %v", want, got, ok)
		}
		if a := Address(want); a.IPNet.String() != text || (a.Flags&unix.IFA_F_NODAD != 0) != want.Addr().Is6() {
			t.Errorf("%s becomes %s with flags %x", want, a.IPNet, a.Flags)
		}
	}
	if got, ok := Prefix(&net.IPNet{IP: net.ParseIP("10.0.0.0"), Mask: net.CIDRMask(8, 32)}); !ok || got.String() != "10.0.0.0/8" {
		t.Errorf("an address of IPv4 in its long form becomes %s, %v", got, ok)
	}
	if got, ok := Prefix(nil); ok {
		t.Errorf("no network becomes %s", got)
	}
}
