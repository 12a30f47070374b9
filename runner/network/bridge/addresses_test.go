package bridge

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

func newAddresses(state string, subnets ...string) *addresses {
	a := loadAddresses(state)
	a.subnets = nil
	for _, s := range subnets {
		a.subnets = append(a.subnets, netip.MustParsePrefix(s))
	}
	return &a
}

// give allocates and fails the test when that fails.
func give(t *testing.T, a *addresses, uid string, now time.Duration) string {
	t.Helper()
	ips, err := a.allocate(uid, now)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(ips)
}

// Addresses go round; one that was given back rests for a minute while others are free, and the one that rests longest comes first else.
func TestAllocate(t *testing.T) {
	a := newAddresses("", "10.0.0.0/29", "fd00:1::/64") // numbers 2 to 6
	now := time.Hour
	for i, want := range []string{"[10.0.0.2 fd00:1::2]", "[10.0.0.3 fd00:1::3]"} {
		if got := give(t, a, fmt.Sprint("first", i), now); got != want {
			t.Errorf("%s and not %s", got, want)
		}
	}
	a.release("first0", now)
	for range 2 { // it keeps what it has
		if got := give(t, a, "second", now); got != "[10.0.0.4 fd00:1::4]" {
			t.Errorf("a pod made again has %s", got)
		}
	}
	give(t, a, "third", now)
	give(t, a, "fourth", now)
	a.release("first1", now+1)
	if got := give(t, a, "fifth", now+2); got != "[10.0.0.2 fd00:1::2]" {
		t.Errorf("when all that is free was given back lately: %s", got)
	}
	if got := give(t, a, "sixth", now+3); got != "[10.0.0.3 fd00:1::3]" {
		t.Errorf("the last one: %s", got)
	}
	if ips, err := a.allocate("seventh", now+4); err == nil {
		t.Errorf("there is none, and %s is given", ips)
	}
	a.release("second", now+5)
	a.release("third", now+6)
	if got := give(t, a, "eighth", now+6+rest); got != "[10.0.0.4 fd00:1::4]" {
		t.Errorf("behind the last one, rested: %s", got)
	}
	if a.release("eighth", now+6+rest); len(a.freed) != 2 {
		t.Errorf("what has rested is still known: %v", a.freed)
	}
}

// A pod that has addresses of other subnets than the bridge gets new ones.
func TestAllocateAnew(t *testing.T) {
	a := newAddresses("", "10.0.0.0/24")
	a.taken["old"] = []netip.Addr{netip.MustParseAddr("10.9.0.7")}
	if got := give(t, a, "old", 0); got != "[10.0.0.2]" {
		t.Error(got)
	}
	a = newAddresses("", "fd00::/120")
	if got := give(t, a, "six", 0); got != "[fd00::2]" {
		t.Error(got)
	}
	tiny := newAddresses("", "10.0.0.0/30")
	if got := give(t, tiny, "only", 0); got != "[10.0.0.2]" {
		t.Error(got)
	}
	if _, err := tiny.allocate("more", 0); err == nil {
		t.Error("the broadcast address is given")
	}
}

// What was given back, and where the search stood, is kept over a restart of the daemon.
func TestKeepAddresses(t *testing.T) {
	dir := t.TempDir()
	b := New(Config{StateDir: dir, Name: "none"})
	b.subnets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	now := sinceBoot()
	give(t, &b.addresses, "a", now)
	give(t, &b.addresses, "b", now)
	b.release("b", now)
	b.keep()
	next := New(Config{StateDir: dir, Name: "none"})
	if next.last != 3 || len(next.freed) != 1 || !slices.Equal(next.subnets, b.subnets) {
		t.Fatalf("it knows %+v", next.addresses)
	}
	if got := give(t, &next.addresses, "c", now); got != "[10.0.0.4]" {
		t.Errorf("the next one is %s", got)
	}
}

// What no daemon of this boot has kept is of no use, and does no harm.
func TestKeptByOthers(t *testing.T) {
	for text, want := range map[string]int{ // the addresses that rest
		`{"last":9,"freed":{"10.0.0.2":1,"10.0.0.3":9000000000000000000}}`:                1,
		`{"subnets":["10.0.0.0/24"],"private":"10.0.0.0/24","last":18446744073709551615}`: 0,
		`{"subnets":["","10.0.0.1/32"],"private":"fd00::/128","last":3}`:                  0,
		`{"subnets":7}`: 0,
		``:              0,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(keptFile(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a := loadAddresses(dir)
		if len(a.freed) != want || a.private.IsValid() {
			t.Errorf("%s: %+v", text, a)
		}
		for _, s := range a.subnets {
			if got := nth(s, 2); got.String() != "10.0.0.2" {
				t.Errorf("%s: %s", text, got)
			}
		}
		a.subnets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/29")}
		give(t, &a, "pod", sinceBoot())
	}
}
