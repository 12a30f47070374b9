package zone

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/solopod/solopod/runner/names/message"
	"github.com/solopod/solopod/runner/served"
)

func addrs(texts ...string) (out []netip.Addr) {
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

// texts writes records as zone files have them, sorted.
func texts(records []dns.RR) (out []string) {
	for _, r := range records {
		h, data := r.Header(), strings.TrimPrefix(r.String(), r.Header().String())
		switch r := r.(type) {
		case *dns.TXT:
			data = strings.Join(r.Txt, "|")
		case *dns.SOA:
			data = fmt.Sprintf("... %d", r.Minttl)
		}
		out = append(out, fmt.Sprintf("%s %d %s %s", h.Name, h.Ttl, message.TypeName(h.Rrtype), data))
	}
	slices.Sort(out)
	return out
}

// table has a service of each kind.
func table() *served.Table {
	pg := func(port uint16) []served.Port {
		return []served.Port{{Name: "pg", Protocol: "TCP", Port: port}, {Protocol: "UDP", Port: 53}}
	}
	return &served.Table{
		Services: []served.Service{
			{Namespace: "shop", Name: "web", ClusterIPs: addrs("10.96.1.1"), Ports: []served.Port{
				{Name: "http", Protocol: "TCP", Port: 80}, {Name: "quic", Protocol: "UDP", Port: 443}, {Name: "Sig", Protocol: "SCTP", Port: 36412},
			}},
			{Namespace: "shop", Name: "both", ClusterIPs: addrs("fd00::1:1", "10.96.1.2"), Ports: []served.Port{{Protocol: "TCP", Port: 80}}},
			{Namespace: "shop", Name: "taken", Ports: []served.Port{{Name: "http", Protocol: "TCP", Port: 80}}},
			{Namespace: "shop", Name: "db", Headless: true, Endpoints: []served.Endpoint{
				{Hostname: "db-0", Addrs: addrs("10.88.0.2", "fd00::2"), Ports: pg(5432)},
				{Hostname: "db-1", Addrs: addrs("10.88.0.3", "fd00::3"), Ports: pg(5433)},
			}},
			{Namespace: "shop", Name: "plain", Headless: true, Endpoints: []served.Endpoint{{Addrs: addrs("10.88.0.4", "fd00::4"), Ports: pg(5432)}, {Addrs: addrs("10.88.0.5")}}},
			{Namespace: "shop", Name: "twins", Headless: true, Endpoints: []served.Endpoint{{Hostname: "Twin", Addrs: addrs("10.88.0.6")}, {Hostname: "Twin", Addrs: addrs("10.88.0.7")}}},
			{Namespace: "shop", Name: "nobody", Headless: true},
			{Namespace: "shop", Name: "away", ExternalName: "www.Example.com"},
			{Namespace: "shop", Name: "alias", ExternalName: "web.shop.svc.cluster.local."},
			{Namespace: "shop", Name: "dangling", ExternalName: "gone.shop.svc.cluster.local"},
			{Namespace: "shop", Name: "ping", ExternalName: "pong.shop.svc.cluster.local"},
			{Namespace: "shop", Name: "pong", ExternalName: "ping.shop.svc.cluster.local"},
			{Namespace: "other", Name: "web", ClusterIPs: addrs("10.96.9.9")},
		},
		Pods: []served.Pod{
			{Namespace: "shop", Name: "db-0", Addrs: addrs("10.88.0.2", "fd00::2"), Hostname: "db-0", Subdomain: "db"},
			{Namespace: "alone", Name: "job", Addrs: addrs("10.88.0.9", "fd00::9")},
			{Namespace: "alone", Name: "host", Addrs: addrs("192.0.2.1"), HostNetwork: true},
		},
	}
}

func newZone(t testing.TB, domain string, tab *served.Table) *Zone {
	t.Helper()
	z, err := New(domain, addrs("10.96.0.10", "fd00::10"), tab)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func question(t testing.TB, text string) dns.Question {
	t.Helper()
	kind, host, _ := strings.Cut(text, " ")
	n, err := message.ParseName(host)
	if err != nil {
		t.Fatal(err)
	}
	return dns.Question{Name: dns.CanonicalName(n), Qtype: dns.StringToType[kind], Qclass: dns.ClassINET}
}

func TestLookup(t *testing.T) {
	z := newZone(t, "Cluster.local.", table())
	type want struct {
		code    int
		records []string
		more    []string
		chase   string
	}
	records := func(r ...string) want { return want{records: r} }
	nothing, nowhere := want{}, want{code: dns.RcodeNameError}
	const s, o = "shop.svc.cluster.local.", "other.svc.cluster.local."
	for q, w := range map[string]want{
		// Services with an address.
		"A web." + s:                    records("web." + s + " 5 A 10.96.1.1"),
		"A WEB.Shop.SVC.cluster.LOCAL.": records("web." + s + " 5 A 10.96.1.1"),
		"A web." + o:                    records("web." + o + " 5 A 10.96.9.9"),
		"AAAA web." + s:                 nothing,
		"MX web." + s:                   nothing,
		"TXT web." + s:                  nothing,
		"CNAME web." + s:                nothing,
		"A both." + s:                   records("both." + s + " 5 A 10.96.1.2"),
		"AAAA both." + s:                records("both." + s + " 5 AAAA fd00::1:1"),
		"ANY both." + s:                 records("both."+s+" 5 A 10.96.1.2", "both."+s+" 5 AAAA fd00::1:1", "both."+s+" 5 SRV 0 100 80 both."+s),
		"A taken." + s:                  nothing,
		"A nope." + s:                   nowhere,
		"A x.web." + s:                  nowhere,
		"A web.nope.svc.cluster.local.": nowhere,
		// Their ports.
		"SRV _http._tcp.web." + s:   {records: []string{"_http._tcp.web." + s + " 5 SRV 0 100 80 web." + s}, more: []string{"web." + s + " 5 A 10.96.1.1"}},
		"SRV _quic._udp.web." + s:   {records: []string{"_quic._udp.web." + s + " 5 SRV 0 100 443 web." + s}, more: []string{"web." + s + " 5 A 10.96.1.1"}},
		"SRV _sig._sctp.web." + s:   {records: []string{"_sig._sctp.web." + s + " 5 SRV 0 100 36412 web." + s}, more: []string{"web." + s + " 5 A 10.96.1.1"}},
		"SRV _http._udp.web." + s:   nowhere,
		"SRV _nope._tcp.web." + s:   nowhere,
		"A _http._tcp.web." + s:     nothing,
		"SRV _tcp.web." + s:         nothing,
		"SRV both." + s:             {records: []string{"both." + s + " 5 SRV 0 100 80 both." + s}, more: []string{"both." + s + " 5 A 10.96.1.2", "both." + s + " 5 AAAA fd00::1:1"}},
		"SRV _http._tcp.taken." + s: {records: []string{"_http._tcp.taken." + s + " 5 SRV 0 100 80 taken." + s}},
		// Headless services, and their endpoints.
		"A db." + s:         records("db."+s+" 5 A 10.88.0.2", "db."+s+" 5 A 10.88.0.3"),
		"AAAA db." + s:      records("db."+s+" 5 AAAA fd00::2", "db."+s+" 5 AAAA fd00::3"),
		"A db-0.db." + s:    records("db-0.db." + s + " 5 A 10.88.0.2"),
		"AAAA db-1.db." + s: records("db-1.db." + s + " 5 AAAA fd00::3"),
		"A db-2.db." + s:    nowhere,
		"SRV _pg._tcp.db." + s: {
			records: []string{"_pg._tcp.db." + s + " 5 SRV 0 100 5432 db-0.db." + s, "_pg._tcp.db." + s + " 5 SRV 0 100 5433 db-1.db." + s},
			more:    []string{"db-0.db." + s + " 5 A 10.88.0.2", "db-0.db." + s + " 5 AAAA fd00::2", "db-1.db." + s + " 5 A 10.88.0.3", "db-1.db." + s + " 5 AAAA fd00::3"},
		},
		"A plain." + s:              records("plain."+s+" 5 A 10.88.0.4", "plain."+s+" 5 A 10.88.0.5"),
		"A 10-88-0-4.plain." + s:    records("10-88-0-4.plain." + s + " 5 A 10.88.0.4"),
		"AAAA 10-88-0-4.plain." + s: nothing,
		"AAAA fd00--4.plain." + s:   records("fd00--4.plain." + s + " 5 AAAA fd00::4"),
		"SRV _pg._tcp.plain." + s: {
			records: []string{"_pg._tcp.plain." + s + " 5 SRV 0 100 5432 10-88-0-4.plain." + s, "_pg._tcp.plain." + s + " 5 SRV 0 100 5432 fd00--4.plain." + s},
			more:    []string{"10-88-0-4.plain." + s + " 5 A 10.88.0.4", "fd00--4.plain." + s + " 5 AAAA fd00::4"},
		},
		"A twin.twins." + s:       records("twin.twins."+s+" 5 A 10.88.0.6", "twin.twins."+s+" 5 A 10.88.0.7"),
		"A nobody." + s:           nowhere,
		"SRV _x._tcp.nobody." + s: nowhere,
		// Names that stand for others.
		"A away." + s:     {records: []string{"away." + s + " 5 CNAME www.Example.com."}, chase: "www.example.com."},
		"AAAA away." + s:  {records: []string{"away." + s + " 5 CNAME www.Example.com."}, chase: "www.example.com."},
		"CNAME away." + s: records("away." + s + " 5 CNAME www.Example.com."),
		"ANY away." + s:   records("away." + s + " 5 CNAME www.Example.com."),
		"A alias." + s:    records("alias."+s+" 5 CNAME web."+s, "web."+s+" 5 A 10.96.1.1"),
		"AAAA alias." + s: records("alias." + s + " 5 CNAME web." + s),
		"A dangling." + s: {code: dns.RcodeNameError, records: []string{"dangling." + s + " 5 CNAME gone." + s}},
		"A ping." + s:     {code: dns.RcodeServerFailure},
		// Pods by address: those that exist.
		"A 10-88-0-2.shop.pod.cluster.local.":    records("10-88-0-2.shop.pod.cluster.local. 5 A 10.88.0.2"),
		"AAAA fd00--2.shop.pod.cluster.local.":   records("fd00--2.shop.pod.cluster.local. 5 AAAA fd00::2"),
		"AAAA 10-88-0-2.shop.pod.cluster.local.": nothing,
		"A 192-0-2-1.alone.pod.cluster.local.":   records("192-0-2-1.alone.pod.cluster.local. 5 A 192.0.2.1"),
		"A 10-88-0-2.alone.pod.cluster.local.":   nowhere,
		"A 10-88-0-3.shop.pod.cluster.local.":    nowhere,
		// What is above.
		"A " + s:                                    nothing,
		"A svc.cluster.local.":                      nothing,
		"A pod.cluster.local.":                      nothing,
		"A shop.pod.cluster.local.":                 nothing,
		"A nope.svc.cluster.local.":                 nowhere,
		"A cluster.local.":                          nothing,
		"A nope.cluster.local.":                     nowhere,
		"SOA cluster.local.":                        records("cluster.local. 5 SOA ... 5"),
		"NS cluster.local.":                         {records: []string{"cluster.local. 5 NS ns.dns.cluster.local."}, more: []string{"ns.dns.cluster.local. 5 A 10.96.0.10", "ns.dns.cluster.local. 5 AAAA fd00::10"}},
		"TXT dns-version.cluster.local.":            records("dns-version.cluster.local. 5 TXT 1.1.0"),
		"A ns.dns.cluster.local.":                   records("ns.dns.cluster.local. 5 A 10.96.0.10"),
		"A kube-dns.kube-system.svc.cluster.local.": records("kube-dns.kube-system.svc.cluster.local. 5 A 10.96.0.10"),
		// Backwards.
		"PTR 1.1.96.10.in-addr.arpa.":  records("1.1.96.10.in-addr.arpa. 5 PTR web." + s),
		"PTR 10.0.96.10.in-addr.arpa.": records("10.0.96.10.in-addr.arpa. 5 PTR kube-dns.kube-system.svc.cluster.local."),
		"PTR 2.0.88.10.in-addr.arpa.":  records("2.0.88.10.in-addr.arpa. 5 PTR db-0.db." + s),
		"PTR 4.0.88.10.in-addr.arpa.":  records("4.0.88.10.in-addr.arpa. 5 PTR 10-88-0-4.plain." + s),
		"PTR 9.0.88.10.in-addr.arpa.":  records("9.0.88.10.in-addr.arpa. 5 PTR 10-88-0-9.alone.pod.cluster.local."),
		"A 2.0.88.10.in-addr.arpa.":    nothing,
		"PTR 3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.": records("3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 5 PTR db-1.db." + s),
	} {
		got := z.Lookup(question(t, q), 0, 100)
		slices.Sort(w.records)
		slices.Sort(w.more)
		chase := ""
		if got.Chase != "" {
			chase = got.Chase
		}
		if !z.Has(question(t, q).Name) {
			t.Errorf("%s: the zone does not have the name", q)
		}
		if got.Code != w.code || !reflect.DeepEqual(texts(got.Records), w.records) || !reflect.DeepEqual(texts(got.More), w.more) || chase != w.chase {
			t.Errorf("%s:\n got %d %q, more %q, chase %q\nwant %d %q, more %q, chase %q", q, got.Code, texts(got.Records), texts(got.More), chase, w.code, w.records, w.more, w.chase)
		}
		// What is not there is said with the record of who is responsible, else clients ask again and again.
		direct := slices.ContainsFunc(got.Records, func(r dns.RR) bool {
			return r.Header().Rrtype == question(t, q).Qtype || question(t, q).Qtype == dns.TypeANY
		})
		if soa := texts(got.Authority); (len(soa) == 1 && strings.HasSuffix(soa[0], "SOA ... 5")) == (direct || chase != "" || got.Code == dns.RcodeServerFailure) {
			t.Errorf("%s: authority %q", q, soa)
		}
	}
}

func TestNamesOfOthers(t *testing.T) {
	z := newZone(t, "cluster.local", table())
	for _, host := range []string{"", "local", "example.com", "xcluster.local", "web.shop.svc", "1.2.0.192.in-addr.arpa", "99.0.88.10.in-addr.arpa", "88.10.in-addr.arpa", "cluster.local.example"} {
		if n, _ := message.ParseName(host); z.Has(n) {
			t.Errorf("the zone has %q", host)
		}
	}
}

// The order of a headless service's addresses changes, and none is lost.
func TestTurns(t *testing.T) {
	z, first := newZone(t, "cluster.local", table()), map[string]int{}
	for turn := range uint(10) {
		got := z.Lookup(question(t, "A db.shop.svc.cluster.local"), turn, 100)
		if len(got.Records) != 2 {
			t.Fatal(got)
		}
		first[got.Records[0].(*dns.A).A.String()]++
	}
	if len(first) != 2 || first["10.88.0.2"] != 5 {
		t.Error(first)
	}
}

// Of thousands of records as many are taken as are asked for, beginning anywhere.
func TestMost(t *testing.T) {
	many := served.Service{Namespace: "shop", Name: "many", Headless: true}
	for i := range 10 {
		many.Endpoints = append(many.Endpoints, served.Endpoint{Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 88, 0, byte(i)})}})
	}
	z := newZone(t, "cluster.local", &served.Table{Services: []served.Service{many}})
	for turn := range uint(12) {
		for most := range 13 {
			got := z.Lookup(question(t, "A many.shop.svc.cluster.local"), turn, most).Records
			if len(got) != min(most, 10) {
				t.Errorf("%d of %d in turn %d", len(got), most, turn)
			}
			for i, r := range got {
				if got, want := r.(*dns.A).A[3], byte((int(turn)+i)%10); got != want {
					t.Errorf("turn %d: %d is %d, want %d", turn, i, got, want)
				}
			}
		}
	}
}

// A service of the user's own is told of under the name by which the server is known else.
func TestKubeDNSOfTheUser(t *testing.T) {
	tab := table()
	tab.Services = append(tab.Services, served.Service{Namespace: "kube-system", Name: "kube-dns", ClusterIPs: addrs("10.96.7.7")})
	got := texts(newZone(t, "cluster.local", tab).Lookup(question(t, "A kube-dns.kube-system.svc.cluster.local"), 0, 100).Records)
	if want := []string{"kube-dns.kube-system.svc.cluster.local. 5 A 10.96.7.7"}; !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
}

func TestDomains(t *testing.T) {
	if got := texts(newZone(t, "pods", table()).Lookup(question(t, "A web.shop.svc.pods"), 0, 100).Records); !reflect.DeepEqual(got, []string{"web.shop.svc.pods. 5 A 10.96.1.1"}) {
		t.Error(got)
	}
	for _, domain := range []string{"", ".", "a..b", strings.Repeat("a", 64)} {
		if _, err := New(domain, nil, table()); err == nil || !strings.Contains(err.Error(), "cannot serve the names of a cluster below") {
			t.Errorf("%q: %v", domain, err)
		}
	}
	// Names that have no room below a long domain are left out, and so are such that are none.
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("d", 60)+".", 4), ".")
	z := newZone(t, long, table())
	if got := z.Lookup(question(t, "SOA "+long), 0, 100); len(got.Records) != 1 {
		t.Error(got)
	}
	newZone(t, "cluster.local", &served.Table{
		Services: []served.Service{{Name: "", Namespace: "x"}, {Name: "x", Namespace: strings.Repeat("n", 70)}, {Name: "e", Namespace: "x", ExternalName: "a..b"}, {Name: "h", Namespace: "x", Headless: true, Endpoints: []served.Endpoint{{Hostname: strings.Repeat("h", 70), Addrs: []netip.Addr{{}}}}}},
		Pods:     []served.Pod{{Namespace: "x", Addrs: []netip.Addr{{}}}},
	})
}

// Of a hundred services and fifty pods the zone is made in well below the time in which a change must show.
func BenchmarkNew(b *testing.B) {
	tab := &served.Table{}
	for i := range 100 {
		s := served.Service{Namespace: "shop", Name: fmt.Sprintf("s%d", i), ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 1, byte(i)})}, Ports: []served.Port{{Name: "http", Protocol: "TCP", Port: 80}}}
		if i%5 == 0 {
			s.Headless, s.ClusterIPs = true, nil
			for j := range 10 {
				s.Endpoints = append(s.Endpoints, served.Endpoint{Hostname: fmt.Sprintf("p-%d", j), Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 88, byte(i), byte(j)})}, Ports: s.Ports})
			}
		}
		tab.Services = append(tab.Services, s)
	}
	for i := range 50 {
		tab.Pods = append(tab.Pods, served.Pod{Namespace: "shop", Name: fmt.Sprintf("p%d", i), Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 88, 0, byte(i)})}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New("cluster.local", nil, tab); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	z := newZone(b, "cluster.local", table())
	q := question(b, "SRV _pg._tcp.db.shop.svc.cluster.local")
	b.ReportAllocs()
	for turn := uint(0); b.Loop(); turn++ {
		z.Lookup(q, turn, 100)
	}
}
