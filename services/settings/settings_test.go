package settings

import (
	"fmt"
	"strings"
	"testing"
)

// TestParse: each setting, read or refused with advice that names it.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		text Text
		want string // of what was read; or a part of the error, behind a !
	}{
		{Text{}, "{[] 30000-32767 [] map[] cluster.local}"},
		{Text{ServiceCIDR: "10.96.0.0/12"}, "{[10.96.0.0/12] 30000-32767 [] map[] cluster.local}"},
		{Text{ServiceCIDR: "fd00:1::/112, 10.5.0.0/24"}, "{[fd00:1::/112 10.5.0.0/24] 30000-32767 [] map[] cluster.local}"},
		{Text{ServiceCIDR: "10.96.0.0"}, "!serviceCIDR"},
		{Text{ServiceCIDR: "10.96.0.1/16"}, "!did you mean 10.96.0.0/16?"},
		{Text{ServiceCIDR: "10.96.0.0/29"}, "!from 8 to 28"},
		{Text{ServiceCIDR: "8.0.0.0/7"}, "!from 8 to 28"},
		{Text{ServiceCIDR: "fd00::/48"}, "!from 64 to 124"},
		{Text{ServiceCIDR: "fd00::/125"}, "!from 64 to 124"},
		{Text{ServiceCIDR: "127.0.0.0/16"}, "!meaning of their own"},
		{Text{ServiceCIDR: "224.0.0.0/16"}, "!meaning of their own"},
		{Text{ServiceCIDR: "169.254.0.0/24"}, "!meaning of their own"},
		{Text{ServiceCIDR: "10.1.0.0/16,10.2.0.0/16"}, "!more than one subnet of a family"},
		{Text{ServiceCIDR: "10.1.0.0/16,fd00::/112,10.2.0.0/16"}, "!more than one subnet of a family"},
		{Text{ServiceCIDR: "::ffff:10.0.0.0/112"}, "!serviceCIDR"},
		{Text{ServiceNodePortRange: "80-90"}, "{[] 80-90 [] map[] cluster.local}"},
		{Text{ServiceNodePortRange: "80-80"}, "{[] 80-80 [] map[] cluster.local}"},
		{Text{ServiceNodePortRange: "90-80"}, "!serviceNodePortRange"},
		{Text{ServiceNodePortRange: "0-80"}, "!serviceNodePortRange"},
		{Text{ServiceNodePortRange: "1-65536"}, "!serviceNodePortRange"},
		{Text{ServiceNodePortRange: "30000"}, "!serviceNodePortRange"},
		{Text{ClusterDNS: []string{"192.0.2.53", "2001:db8::53"}}, "{[] 30000-32767 [192.0.2.53 2001:db8::53] map[] cluster.local}"},
		{Text{ClusterDNS: []string{"dns.example"}}, "!clusterDNS"},
		{Text{ClusterDNS: []string{"127.0.0.53"}}, "!clusterDNS"},
		{Text{ClusterDNS: []string{"0.0.0.0"}}, "!clusterDNS"},
		{Text{ClusterDNS: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}}, "!3 at most"},
		{Text{ClusterDomain: "Box.Lan."}, "{[] 30000-32767 [] map[] box.lan}"},
		{Text{ClusterDomain: "box lan"}, "!clusterDomain"},
		{Text{ClusterDomain: "."}, "!clusterDomain"},
		{Text{ClusterDomain: "a..b"}, "!clusterDomain"},
		{
			Text{StubDomains: map[string][]string{"Corp.Example.": {"192.0.2.53", "192.0.2.54:5353", "2001:db8::1", "[2001:db8::2]:54"}}},
			"{[] 30000-32767 [] map[corp.example:[192.0.2.53:53 192.0.2.54:5353 [2001:db8::1]:53 [2001:db8::2]:54]] cluster.local}",
		},
		{Text{StubDomains: map[string][]string{"_msdcs.corp.example": {"127.0.0.1:5300"}}}, "{[] 30000-32767 [] map[_msdcs.corp.example:[127.0.0.1:5300]] cluster.local}"},
		{Text{StubDomains: map[string][]string{"corp.example": nil}}, "!has no server"},
		{Text{StubDomains: map[string][]string{"corp.example": {"ns.corp.example"}}}, "!server's address"},
		{Text{StubDomains: map[string][]string{"corp.example": {"192.0.2.53:0"}}}, "!server's address"},
		{Text{StubDomains: map[string][]string{"": {"192.0.2.53"}}}, "!not a zone"},
		{Text{StubDomains: map[string][]string{"a b": {"192.0.2.53"}}}, "!not a zone"},
		{Text{StubDomains: map[string][]string{"a.example": {"192.0.2.53"}, "A.example": {"192.0.2.54"}}}, "!twice"},
		{Text{StubDomains: map[string][]string{"cluster.local": {"192.0.2.53"}}}, "!whose names are those of Services"},
		{Text{StubDomains: map[string][]string{"x.box.lan": {"192.0.2.53"}}, ClusterDomain: "box.lan"}, "!whose names are those of Services"},
	} {
		s, err := Parse(c.text)
		if says, refused := strings.CutPrefix(c.want, "!"); refused {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%+v: %v, not %q", c.text, err, says)
			}
			continue
		}
		if got := fmt.Sprint(s); err != nil || got != c.want {
			t.Errorf("%+v: %s, %v, not %s", c.text, got, err, c.want)
		}
	}
}

func TestRange(t *testing.T) {
	r := Range{10, 12}
	if r.Size() != 3 || r.Contains(9) || !r.Contains(10) || !r.Contains(12) || r.Contains(13) || (Range{1, 65535}).Size() != 65535 {
		t.Error("ports are counted wrongly")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("10.96.0.0/16,fd00::/112", "30000-32767", "192.0.2.53", "corp.example", "192.0.2.53:53", "cluster.local")
	f.Fuzz(func(t *testing.T, cidr, ports, dns, zone, server, domain string) {
		s, err := Parse(Text{cidr, ports, []string{dns}, map[string][]string{zone: {server}}, domain})
		if err != nil {
			return
		}
		if s.Domain == "" || s.NodePorts.Size() < 1 || len(s.Stubs) != 1 || len(s.CIDRs) > 2 || !s.Servers[0].IsValid() {
			t.Errorf("%+v", s)
		}
	})
}
