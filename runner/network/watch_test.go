package network

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Which messages of the kernel have the network looked at: what takes something away, also by putting something in its place.
func TestMatters(t *testing.T) {
	of := map[string]source{}
	for _, s := range sources {
		of[s.what] = s
	}
	const links, rules = "links, addresses and routes", "rules"
	for name, c := range map[string]struct {
		source string
		header syscall.NlMsghdr
		want   bool
	}{
		"a link":              {links, syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, true},
		"no link any more":    {links, syscall.NlMsghdr{Type: unix.RTM_DELLINK}, true},
		"an address":          {links, syscall.NlMsghdr{Type: unix.RTM_NEWADDR}, true},
		"no address any more": {links, syscall.NlMsghdr{Type: unix.RTM_DELADDR}, true},
		"a route":             {links, syscall.NlMsghdr{Type: unix.RTM_NEWROUTE, Flags: unix.NLM_F_CREATE}, false},
		"another route":       {links, syscall.NlMsghdr{Type: unix.RTM_NEWROUTE, Flags: unix.NLM_F_REPLACE}, true},
		"no route any more":   {links, syscall.NlMsghdr{Type: unix.RTM_DELROUTE}, true},
		"forwarding":          {links, syscall.NlMsghdr{Type: unix.RTM_NEWNETCONF}, true},
		"a rule":              {rules, syscall.NlMsghdr{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE}, false},
		"a transaction":       {rules, syscall.NlMsghdr{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN}, true},
	} {
		if got := of[c.source].matters(c.header); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Who undoes what is mended, again and again, is followed at growing intervals; what was changed some times is seen at once.
func TestBreathe(t *testing.T) {
	for inVain, want := range map[int]time.Duration{0: breather, 1: breather, patience: breather, patience + 1: 2 * breather, patience + 2: 4 * breather, patience + 5: longBreather, 1 << 30: longBreather} {
		if got := breathe(inVain); got != want {
			t.Errorf("after %d looks: %s", inVain, got)
		}
	}
}
