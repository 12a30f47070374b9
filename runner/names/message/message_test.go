package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
)

// The tests read and write messages with another package as well, so that mistakes are not made twice.

func pack(t testing.TB, m dnsmessage.Message) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpack(t testing.TB, b []byte) (m dnsmessage.Message) {
	t.Helper()
	if err := m.Unpack(b); err != nil {
		t.Fatalf("%v: %x", err, b)
	}
	return m
}

func question(text string, kind dnsmessage.Type) []dnsmessage.Question {
	return []dnsmessage.Question{{Name: dnsmessage.MustNewName(text), Type: kind, Class: dnsmessage.ClassINET}}
}

func opt(t testing.TB, size int, do bool) dnsmessage.Resource {
	t.Helper()
	var h dnsmessage.ResourceHeader
	if err := h.SetEDNS0(size, dnsmessage.RCodeSuccess, do); err != nil {
		t.Fatal(err)
	}
	return dnsmessage.Resource{Header: h, Body: &dnsmessage.OPTResource{}}
}

func a(text string, ttl uint32, last byte) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(text), Class: dnsmessage.ClassINET, TTL: ttl},
		Body:   &dnsmessage.AResource{A: [4]byte{10, 0, 0, last}},
	}
}

func soa(ttl, minimum uint32) dnsmessage.Resource {
	n := dnsmessage.MustNewName("example.com.")
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: n, Class: dnsmessage.ClassINET, TTL: ttl},
		Body:   &dnsmessage.SOAResource{NS: n, MBox: n, Serial: 1, Refresh: 2, Retry: 3, Expire: 4, MinTTL: minimum},
	}
}

// asked is a client's query.
func asked(t testing.TB, m dnsmessage.Message) *Query {
	t.Helper()
	q, code, err := ParseQuery(pack(t, m))
	if err != nil {
		t.Fatal(code, err)
	}
	return q
}

func TestParseQuery(t *testing.T) {
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: 7, RecursionDesired: true, CheckingDisabled: true},
		Questions:   question("Web.Shop.", dnsmessage.TypeAAAA),
		Additionals: []dnsmessage.Resource{opt(t, 4096, true)},
	}
	q := asked(t, m)
	if q.came.Id != 7 || q.Name != "web.shop." || q.Qtype != dns.TypeAAAA || !q.RD || !q.CD || !q.EDNS || !q.DO || q.Size != 4096 || q.Limit() != MaxUDP {
		t.Errorf("%+v", q)
	}
	m.Additionals = nil
	if q := asked(t, m); q.EDNS || q.Limit() != 512 {
		t.Errorf("%+v", q)
	}
	m.Additionals = []dnsmessage.Resource{opt(t, 100, false)}
	if q := asked(t, m); q.Limit() != 512 {
		t.Errorf("%+v", q)
	}
}

func TestQueriesThatAreNone(t *testing.T) {
	plain := dnsmessage.Message{Questions: question("a.b.", dnsmessage.TypeA)}
	change := func(f func(m *dnsmessage.Message)) []byte {
		m := plain
		f(&m)
		return pack(t, m)
	}
	badVersion := opt(t, 1232, false)
	badVersion.Header.TTL |= 1 << 16
	named := opt(t, 1232, false)
	named.Header.Name = dnsmessage.MustNewName("a.")
	for what, c := range map[string]struct {
		packet []byte
		code   int
		err    error
	}{
		"short":        {make([]byte, 11), 0, ErrNoQuery},
		"response":     {change(func(m *dnsmessage.Message) { m.Response = true }), 0, ErrNoQuery},
		"notify":       {change(func(m *dnsmessage.Message) { m.OpCode = 4 }), dns.RcodeNotImplemented, ErrRefused},
		"update":       {change(func(m *dnsmessage.Message) { m.OpCode = 5 }), dns.RcodeNotImplemented, ErrRefused},
		"no question":  {change(func(m *dnsmessage.Message) { m.Questions = nil }), dns.RcodeFormatError, ErrRefused},
		"two":          {change(func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions...) }), dns.RcodeFormatError, ErrRefused},
		"chaos":        {change(func(m *dnsmessage.Message) { m.Questions = question("version.bind.", 16); m.Questions[0].Class = 3 }), dns.RcodeRefused, ErrRefused},
		"transfer":     {change(func(m *dnsmessage.Message) { m.Questions = question("cluster.local.", 252) }), dns.RcodeRefused, ErrRefused},
		"ixfr":         {change(func(m *dnsmessage.Message) { m.Questions = question("cluster.local.", 251) }), dns.RcodeRefused, ErrRefused},
		"opt":          {change(func(m *dnsmessage.Message) { m.Questions = question("a.", 41) }), dns.RcodeFormatError, ErrRefused},
		"version":      {change(func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{badVersion} }), dns.RcodeBadVers, ErrRefused},
		"two opts":     {change(func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{opt(t, 1, true), opt(t, 1, true)} }), dns.RcodeFormatError, ErrRefused},
		"opt's name":   {change(func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{named} }), dns.RcodeFormatError, ErrRefused},
		"opt's place":  {change(func(m *dnsmessage.Message) { m.Answers = []dnsmessage.Resource{opt(t, 1232, false)} }), dns.RcodeFormatError, ErrRefused},
		"more behind":  {append(pack(t, plain), 0), dns.RcodeFormatError, ErrRefused},
		"cut":          {pack(t, plain)[:20], dns.RcodeFormatError, ErrRefused},
		"no name":      {pack(t, plain)[:12], dns.RcodeFormatError, ErrRefused},
		"pointer":      {append(pack(t, plain)[:12], 0xC0, 12, 0, 1, 0, 1), dns.RcodeFormatError, ErrRefused},
		"many records": {append(pack(t, plain)[:10:10], 0xFF, 0xFF, 0, 0, 1, 0, 1), dns.RcodeFormatError, ErrRefused},
	} {
		q, code, err := ParseQuery(c.packet)
		if !errors.Is(err, c.err) || code != c.code || (q == nil) != errors.Is(c.err, ErrNoQuery) {
			t.Errorf("%s: %+v, %d, %v", what, q, code, err)
			continue
		}
		if q == nil {
			continue
		}
		m := unpack(t, Reply(q, code))
		got := int(m.RCode)
		for _, r := range m.Additionals {
			got |= int(r.Header.ExtendedRCode(m.RCode)) &^ 0xF
		}
		if !m.Response || got != code || m.OpCode != dnsmessage.OpCode(c.packet[2]>>3&0xF) {
			t.Errorf("%s: %+v", what, m)
		}
	}
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Names that were written before are pointed to, another package reads the same, and records that others have too are not changed.
func TestWrite(t *testing.T) {
	q := asked(t, dnsmessage.Message{Header: dnsmessage.Header{ID: 9, RecursionDesired: true}, Questions: question("WEB.shop.cluster.local.", dnsmessage.TypeA), Additionals: []dnsmessage.Resource{opt(t, 1232, false)}})
	alias := rr(t, "web.shop.cluster.local. 5 CNAME db.other.cluster.local.")
	b := Write(q, Response{
		Authoritative: true, Authentic: true,
		Answer:    []dns.RR{alias, rr(t, "db.other.cluster.local. 6 A 10.0.0.1"), rr(t, "x.db.other.cluster.local. 6 A 10.0.0.2")},
		Authority: []dns.RR{rr(t, "other.cluster.local. 7 NS ns.local.")},
		More:      []dns.RR{rr(t, ". 8 TXT hi")},
	}, 512)
	m := unpack(t, b)
	if m.ID != 9 || !m.Response || !m.Authoritative || m.AuthenticData || m.Truncated || !m.RecursionAvailable || !m.RecursionDesired || len(m.Answers) != 3 || len(m.Authorities) != 1 || len(m.Additionals) != 2 {
		t.Fatalf("%+v", m)
	}
	for i, want := range []string{"WEB.shop.cluster.local.", "db.other.cluster.local.", "x.db.other.cluster.local."} { // the first as it was asked for
		if got := m.Answers[i].Header.Name.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := m.Authorities[0].Header.Name.String(); got != "other.cluster.local." {
		t.Error(got)
	}
	if strings.Count(string(b), "\x05local") != 1 || strings.Count(string(b), "\x05other") != 1 {
		t.Errorf("%q", b)
	}
	if alias.Header().Name != "web.shop.cluster.local." {
		t.Error("another's record was changed")
	}
}

func TestNoRoom(t *testing.T) {
	for what, c := range map[string]struct {
		more      bool
		limit     int
		opt       bool
		truncated bool
	}{
		"answers": {false, 512, false, true}, "answers with EDNS": {false, 512, true, true}, "additions": {true, 512, false, false}, "by TCP": {false, MaxTCP, true, true},
	} {
		m := dnsmessage.Message{Questions: question("a.b.", dnsmessage.TypeA)}
		if c.opt {
			m.Additionals = []dnsmessage.Resource{opt(t, 1232, false)}
		}
		q := asked(t, m)
		var r Response
		to := &r.Answer
		if c.more {
			to = &r.More
		}
		for range 10000 {
			*to = append(*to, rr(t, "a.b. 5 A 1.2.3.4"))
		}
		b := Write(q, r, c.limit)
		if len(b) > c.limit || len(b) < c.limit-16-optSize {
			t.Errorf("%s: %d bytes", what, len(b))
		}
		if got := unpack(t, b); got.Truncated != c.truncated || c.opt != (len(got.Additionals) == 1) && !c.more {
			t.Errorf("%s: %+v", what, got.Header)
		}
	}
}

// optSize is that of an OPT record without options.
const optSize = 11

func TestAnswers(t *testing.T) {
	good := dnsmessage.Message{Header: dnsmessage.Header{ID: 5, Response: true}, Questions: question("a.b.", dnsmessage.TypeA)}
	q := dns.Question{Name: "a.b.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
	if !Answers(pack(t, good), 5, q) {
		t.Error("it is one")
	}
	for what, f := range map[string]func(*dnsmessage.Message){
		"another number": func(m *dnsmessage.Message) { m.ID = 6 },
		"a query":        func(m *dnsmessage.Message) { m.Response = false },
		"another opcode": func(m *dnsmessage.Message) { m.OpCode = 4 },
		"another name":   func(m *dnsmessage.Message) { m.Questions = question("a.c.", dnsmessage.TypeA) },
		"a name below":   func(m *dnsmessage.Message) { m.Questions = question("x.a.b.", dnsmessage.TypeA) },
		"another type":   func(m *dnsmessage.Message) { m.Questions = question("a.b.", dnsmessage.TypeAAAA) },
		"another class": func(m *dnsmessage.Message) {
			m.Questions = question("a.b.", dnsmessage.TypeA)
			m.Questions[0].Class = 3
		},
		"two questions":    func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions...) },
		"none, but a code": func(m *dnsmessage.Message) { m.Questions = nil },
		"none, a negative": func(m *dnsmessage.Message) { m.Questions, m.RCode = nil, dnsmessage.RCodeNameError },
	} {
		m := good
		f(&m)
		if Answers(pack(t, m), 5, q) {
			t.Errorf("%s is taken", what)
		}
	}
	m := good
	m.Questions, m.RCode = nil, dnsmessage.RCodeFormatError
	if !Answers(pack(t, m), 5, q) || Answers(append(pack(t, m), 0), 5, q) {
		t.Error("a mere code")
	}
	m = good
	m.Questions = question("A.B.", dnsmessage.TypeA)
	if !Answers(pack(t, m), 5, q) {
		t.Error("the case does not matter")
	}
}

func TestKeep(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*dnsmessage.Message)
		ttl    uint32
		fails  bool
	}{
		"the least TTL":         {func(m *dnsmessage.Message) { m.Answers = []dnsmessage.Resource{a("a.b.", 300, 1), a("a.b.", 60, 2)} }, 60, false},
		"no TTL":                {func(m *dnsmessage.Message) { m.Answers = []dnsmessage.Resource{a("a.b.", 0, 1)} }, 0, false},
		"TTL with highest bit":  {func(m *dnsmessage.Message) { m.Answers = []dnsmessage.Resource{a("a.b.", 1<<31, 1)} }, 0, false},
		"nothing, by SOA":       {func(m *dnsmessage.Message) { m.Authorities = []dnsmessage.Resource{soa(600, 30)} }, 30, false},
		"nothing, by SOA's TTL": {func(m *dnsmessage.Message) { m.Authorities = []dnsmessage.Resource{soa(20, 30)} }, 20, false},
		"no such name": {func(m *dnsmessage.Message) {
			m.RCode, m.Authorities = dnsmessage.RCodeNameError, []dnsmessage.Resource{soa(600, 40)}
		}, 40, false},
		"nothing, without SOA": {func(*dnsmessage.Message) {}, 0, false},
		"failure":              {func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure }, 0, false},
		"EDNS, and behind it": {func(m *dnsmessage.Message) {
			m.Answers, m.Additionals = []dnsmessage.Resource{a("a.b.", 7, 1)}, []dnsmessage.Resource{a("c.", 1, 9), opt(t, 512, true), a("d.", 1, 9)}
		}, 7, false},
		"extended code": {func(m *dnsmessage.Message) {
			o := opt(t, 512, true)
			o.Header.TTL |= 1 << 24
			m.Additionals = []dnsmessage.Resource{o}
		}, 0, true},
		"EDNS elsewhere": {func(m *dnsmessage.Message) { m.Answers = []dnsmessage.Resource{opt(t, 512, true)} }, 0, true},
	} {
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: 5, Response: true, Authoritative: true, AuthenticData: true}, Questions: question("a.b.", dnsmessage.TypeA)}
		c.change(&m)
		k, err := Keep(pack(t, m))
		if (err != nil) != c.fails || err == nil && k.TTL != c.ttl {
			t.Errorf("%s: %+v, %v", what, k, err)
		}
		if err != nil {
			continue
		}
		q := asked(t, dnsmessage.Message{Header: dnsmessage.Header{ID: 77}, Questions: question("A.b.", dnsmessage.TypeA), Additionals: []dnsmessage.Resource{opt(t, 4096, false)}})
		got := unpack(t, k.Reply(q, 1232, 3))
		if got.ID != 77 || got.RCode != m.RCode || got.Questions[0].Name.String() != "A.b." || len(got.Answers) != len(m.Answers) || got.Authoritative || got.AuthenticData {
			t.Errorf("%s: %+v", what, got)
		}
		for i, r := range got.Answers {
			want := m.Answers[i].Header.TTL
			if want == 1<<31 {
				want = 0
			}
			if r.Header.TTL != want-min(3, want) {
				t.Errorf("%s: a TTL of %d", what, r.Header.TTL)
			}
		}
		opts := 0
		for _, r := range got.Additionals {
			if r.Header.Type == dnsmessage.TypeOPT {
				opts++
			}
		}
		if opts != 1 {
			t.Errorf("%s: %d records of EDNS", what, opts)
		}
	}
	if _, err := Keep([]byte("no message")); err == nil {
		t.Error("it keeps anything")
	}
}

func TestKeptIsCut(t *testing.T) {
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Questions: question("a.b.", dnsmessage.TypeA)}
	for i := range 60 {
		m.Answers = append(m.Answers, a("a.b.", 60, byte(i)))
	}
	m.Additionals = []dnsmessage.Resource{a("ns.b.", 60, 200)}
	k, err := Keep(pack(t, m))
	if err != nil {
		t.Fatal(err)
	}
	plain, edns := dnsmessage.Message{Questions: question("a.b.", dnsmessage.TypeA)}, dnsmessage.Message{Questions: question("a.b.", dnsmessage.TypeA), Additionals: []dnsmessage.Resource{opt(t, 1232, true)}}
	for _, c := range []struct {
		q          dnsmessage.Message
		limit, has int
		cut        bool
	}{
		{plain, 512, 30, true}, {edns, 512, 30, true}, {plain, 12 + 9 + 16*60, 60, false}, {edns, 12 + 9 + 16*60, 59, true}, {edns, 12 + 9 + 16*60 + optSize, 60, false}, {edns, 1232, 60, false},
	} {
		b := k.Reply(asked(t, c.q), c.limit, 0)
		if got := unpack(t, b); len(got.Answers) != c.has || got.Truncated != c.cut || len(b) > c.limit {
			t.Errorf("%d: %d answers in %d bytes, cut: %t", c.limit, len(got.Answers), len(b), got.Truncated)
		}
	}
}

// The records of an answer stand by themselves, and can be put behind others.
func TestRecords(t *testing.T) {
	n := dnsmessage.MustNewName
	header := func(s string) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: n(s), Class: dnsmessage.ClassINET, TTL: 100}
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Questions: question("www.example.com.", dnsmessage.TypeA), Answers: []dnsmessage.Resource{
		{Header: header("www.example.com."), Body: &dnsmessage.CNAMEResource{CNAME: n("cdn.example.com.")}},
		{Header: header("cdn.example.com."), Body: &dnsmessage.MXResource{Pref: 5, MX: n("mail.example.com.")}},
		{Header: header("cdn.example.com."), Body: &dnsmessage.SRVResource{Port: 6, Target: n("srv.example.com.")}},
		{Header: header("cdn.example.com."), Body: &dnsmessage.SOAResource{NS: n("ns.example.com."), MBox: n("me.example.com."), MinTTL: 8}},
		{Header: header("cdn.example.com."), Body: &dnsmessage.TXTResource{TXT: []string{"text"}}},
		a("cdn.example.com.", 100, 9),
	}}
	k, err := Keep(pack(t, m))
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Records(MaxTCP, 10)
	if err != nil || len(got) != len(m.Answers) {
		t.Fatal(got, err)
	}
	back := unpack(t, Write(asked(t, dnsmessage.Message{Questions: question("away.shop.", dnsmessage.TypeA)}), Response{Answer: got}, 1232))
	for i, r := range back.Answers {
		if want := strings.ReplaceAll(fmt.Sprint(m.Answers[i].Body), "\x00", ""); strings.ReplaceAll(fmt.Sprint(r.Body), "\x00", "") != want || r.Header.Name != m.Answers[i].Header.Name || r.Header.TTL != 90 {
			t.Errorf("%s, want %s", r.Body.GoString(), m.Answers[i].Body.GoString())
		}
	}
}

func TestAsk(t *testing.T) {
	b, err := Ask(3, dns.Question{Name: "a.b.", Qtype: dns.TypeSRV, Qclass: dns.ClassINET}, Asking{RD: true, DO: true, EDNS: true})
	if err != nil {
		t.Fatal(err)
	}
	m := unpack(t, b)
	if m.ID != 3 || !m.RecursionDesired || !m.AuthenticData || m.CheckingDisabled || m.Response || m.Questions[0].Name.String() != "a.b." || m.Questions[0].Type != dnsmessage.TypeSRV ||
		len(m.Additionals) != 1 || !m.Additionals[0].Header.DNSSECAllowed() || m.Additionals[0].Header.Class != MaxUDP {
		t.Errorf("%+v", m)
	}
	b, err = Ask(3, dns.Question{Name: ".", Qtype: dns.TypeNS, Qclass: dns.ClassINET}, Asking{CD: true, DO: true})
	if err != nil {
		t.Fatal(err)
	}
	if m := unpack(t, b); len(m.Additionals) != 0 || m.Questions[0].Name.String() != "." || m.RecursionDesired || !m.CheckingDisabled {
		t.Errorf("%+v", m)
	}
}

// seeds are messages to begin with.
func seeds(f *testing.F) {
	f.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 5, RecursionDesired: true}, Questions: question("a.b.", dnsmessage.TypeA)}
	f.Add(pack(f, m))
	m.Additionals = []dnsmessage.Resource{opt(f, 1232, true)}
	f.Add(pack(f, m))
	m.Response = true
	m.Answers, m.Authorities = []dnsmessage.Resource{a("a.b.", 4, 1), a("c.a.b.", 5, 2)}, []dnsmessage.Resource{soa(1, 2)}
	f.Add(pack(f, m))
}

// valid checks what was written.
func valid(t *testing.T, b []byte, limit int) {
	t.Helper()
	if _, err := read(b, len(b)); err != nil || len(b) > limit {
		t.Errorf("%d bytes, %v: %x", len(b), err, b)
	}
}

func FuzzParseQuery(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, packet []byte) {
		q, code, err := ParseQuery(packet)
		if q == nil {
			return
		}
		b := Reply(q, code)
		if len(b) < HeaderSize || len(b) > len(packet)+optSize || binary.BigEndian.Uint16(b) != binary.BigEndian.Uint16(packet) || b[2]&0x80 == 0 {
			t.Errorf("%x is answered with %x", packet, b)
		}
		if err != nil {
			return
		}
		valid(t, b, q.Limit())
		r := &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{1, 2, 3, 4}}
		valid(t, Write(q, Response{Answer: []dns.RR{r}}, 512), 512)
		ask, err := Ask(1, q.Question, Asking{EDNS: true, DO: true})
		if err != nil {
			t.Errorf("%x cannot be asked for elsewhere: %v", packet, err)
		}
		valid(t, ask, MaxUDP)
		response := append([]byte{ask[0], ask[1], ask[2] | 0x80}, ask[3:]...)
		if !Answers(response, 1, q.Question) {
			t.Errorf("%x does not answer %x", response, packet)
		}
	})
}

func FuzzKeep(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		k, err := Keep(msg)
		if err != nil {
			return
		}
		m, err := readQuestion(msg)
		if err != nil {
			t.Fatal(err)
		}
		ask, err := Ask(1, dns.Question{Name: m.Question[0].Name, Qtype: dns.TypeA, Qclass: dns.ClassINET}, Asking{EDNS: k.Truncated})
		if err != nil {
			t.Fatal(err)
		}
		q, _, err := ParseQuery(ask)
		if err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int{512, MaxUDP, MaxTCP} {
			valid(t, k.Reply(q, limit, 7), limit)
			records, err := k.Records(limit, 7)
			if err != nil {
				t.Fatal(err)
			}
			valid(t, Write(q, Response{Code: k.Code, Answer: records}, limit), limit)
		}
	})
}

// Whether a server has validated an answer is told to those who want to know.
func TestAuthentic(t *testing.T) {
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true, AuthenticData: true}, Questions: question("a.b.", dnsmessage.TypeA), Answers: []dnsmessage.Resource{a("a.b.", 5, 1)}}
	k, err := Keep(pack(t, m))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ad, do, want bool
	}{{false, false, false}, {true, false, true}, {false, true, true}} {
		q := dnsmessage.Message{Header: dnsmessage.Header{AuthenticData: c.ad}, Questions: question("a.b.", dnsmessage.TypeA), Additionals: []dnsmessage.Resource{opt(t, 1232, c.do)}}
		if got := unpack(t, k.Reply(asked(t, q), 512, 0)); got.AuthenticData != c.want || got.Additionals[0].Header.DNSSECAllowed() != c.do {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
