package bridge

import (
	"os"
	"testing"
)

// FuzzKept: whatever an earlier daemon has left of addresses, what is taken of it are subnets that can be used.
func FuzzKept(f *testing.F) {
	for _, seed := range []string{
		`{"subnets":["10.166.0.0/24"],"private":"fd00::/64","last":7,"freed":{"10.166.0.2":5}}`, "null", "", "[]", `{"subnets":["0.0.0.0/32","x"]}`,
		`{"subnets":[""],"private":"10.0.0.0/8","freed":{"":1,"fe80::1%eth0":-9223372036854775808}}`, `{"last":18446744073709551615}`, "\x00",
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(keptFile(dir), data, 0o600); err != nil {
			t.Fatal(err)
		}
		a := loadAddresses(dir)
		if a.taken == nil || a.freed == nil {
			t.Fatal("it cannot be written to")
		}
		for _, p := range a.subnets {
			if !p.IsValid() || p.Addr().BitLen()-p.Bits() < 2 {
				t.Fatalf("%s is taken for a subnet", p)
			}
		}
		if a.private.IsValid() && !a.private.Addr().Is6() {
			t.Fatalf("%s is taken for a private subnet", a.private)
		}
		a.release("none", sinceBoot())
	})
}
