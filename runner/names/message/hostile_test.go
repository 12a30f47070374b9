package message

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
)

// longest is a name of 255 bytes, of which each takes four in the form of zone files.
var longest = "\x3f" + strings.Repeat("\x01", 63) + "\x3f" + strings.Repeat("\x02", 63) + "\x3f" + strings.Repeat("\x03", 63) + "\x3d" + strings.Repeat("\x04", 61) + "\x00"

// responseOf is an answer for a name, of records as they are in messages.
func responseOf(wire string, records ...string) []byte {
	b := append([]byte{0, 7, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}, wire...)
	b = append(b, 0, 1, 0, 1)
	binary.BigEndian.PutUint16(b[6:], uint16(len(records)))
	for _, r := range records {
		b = append(b, r...)
	}
	return b
}

// record1 is a record of the name that was asked for.
func record1(kind uint16, data string) string {
	b := []byte{0xC0, 0x0C, 0, 0, 0, 1, 0, 0, 0, 60, 0, 0}
	binary.BigEndian.PutUint16(b[2:], kind)
	binary.BigEndian.PutUint16(b[10:], uint16(len(data)))
	return string(b) + data
}

// Pointers make much of little: what is made of a message is bounded, and so is the time.
func TestMuchOfLittle(t *testing.T) {
	const name = "\xc0\x0c"
	hip := record1(dns.TypeHIP, "\x00\x02\x00\x00"+strings.Repeat(name, 32000))
	made := func(f func()) int {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return int(after.TotalAlloc - before.TotalAlloc)
	}
	for what, c := range map[string]struct {
		packet []byte
		fails  bool
	}{
		"names of one record": {responseOf(longest, hip), false}, // they pass as they are
		"names of many":       {responseOf(longest, slices.Repeat([]string{record1(dns.TypeSOA, name+name+strings.Repeat("\x00", 20))}, 1700)...), true},
		"owners":              {responseOf(longest, slices.Repeat([]string{record1(dns.TypeA, "\x0a\x00\x00\x01")}, 4000)...), true},
		"a short name":        {responseOf("\x01a\x00", slices.Repeat([]string{record1(dns.TypeA, "\x0a\x00\x00\x01")}, 4000)...), false},
	} {
		if len(c.packet) > MaxTCP {
			t.Fatalf("%s: %d bytes", what, len(c.packet))
		}
		if n := made(func() {
			if _, err := Keep(c.packet); (err != nil) != c.fails {
				t.Errorf("%s: %v", what, err)
			}
		}); n > 4<<20 {
			t.Errorf("%s: of %d bytes %d were made", what, len(c.packet), n)
		}
	}
	// Of a query no more than a few names are read.
	one := question1(longest)
	one[11] = 1
	one = append(one, record1(dns.TypeHIP, "\x00\x02\x00\x00"+strings.Repeat(name, 1800))...)
	if n := made(func() {
		if _, _, err := ParseQuery(one); err != nil {
			t.Error(err)
		}
	}); n > 64<<10 {
		t.Errorf("of a query of %d bytes %d were made", len(one), n)
	}
	query := question1(longest)
	binary.BigEndian.PutUint16(query[10:], 300)
	query = append(query, strings.Repeat(record1(dns.TypeA, "\x0a\x00\x00\x01"), 200)...)
	if _, code, err := ParseQuery(query); err == nil || code != dns.RcodeFormatError {
		t.Errorf("%d, %v", code, err)
	}
}

// Of a long answer that is kept, no more is read for a short one than has room in it.
func TestShortOfLong(t *testing.T) {
	k, err := Keep(responseOf("\x01a\x00", slices.Repeat([]string{record1(dns.TypeA, "\x0a\x00\x00\x01")}, 4000)...))
	if err != nil {
		t.Fatal(err)
	}
	q, _, err := ParseQuery(question1("\x01a\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if m := unpack(t, k.Reply(q, 512, 0)); !m.Truncated || len(m.Answers) != (512-HeaderSize-7)/16 {
		t.Errorf("%d answers, truncated: %t", len(m.Answers), m.Truncated)
	}
	if records, err := k.Records(512, 0); err != nil || len(records) > 50 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if m := unpack(t, k.Reply(q, MaxTCP, 0)); m.Truncated || len(m.Answers) != 4000 {
		t.Errorf("%d answers, truncated: %t", len(m.Answers), m.Truncated)
	}
}

// Records of types that nobody knows, and those that do not hold what their type says, pass byte by byte; but not such that may hold
// names by pointers, which would lead elsewhere in another message.
func TestRecordsThatAreOdd(t *testing.T) {
	for what, c := range map[string]struct {
		kind   uint16
		data   string
		passes bool
	}{
		"unknown":              {65280, "\x00\xff\xc0\x0c", true},
		"unknown and empty":    {65280, "", true},
		"HTTPS":                {dns.TypeHTTPS, "\x00\x01\x00\x00\x01\x00\x03\x02h2", true},
		"HTTPS with odd keys":  {dns.TypeHTTPS, "\x00\x01\x00\x00\x04\x00\x03abc", true},
		"address that is long": {dns.TypeA, "\x0a\x00\x00\x01\x02", true},
		"address that is none": {dns.TypeA, "", true},
		"key":                  {dns.TypeDNSKEY, "\x01\x01\x03\x0dkey", true},
		"alias cut":            {dns.TypeCNAME, "\xc0", false},
		"alias and more":       {dns.TypeCNAME, "\xc0\x0c\x00", false},
		"server cut":           {dns.TypeSRV, "\x00\x01\x00", false},
		"alias beyond":         {dns.TypeCNAME, "\x01x", false},
	} {
		k, err := Keep(responseOf("\x01a\x00", record1(c.kind, c.data)))
		if (err == nil) != c.passes {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil {
			continue
		}
		q, _, err := ParseQuery(question1("\x01a\x00"))
		if err != nil {
			t.Fatal(err)
		}
		if b := k.Reply(q, 512, 0); !strings.HasSuffix(string(b), record1(c.kind, c.data)) {
			t.Errorf("%s: %q", what, b)
		}
	}
}

// What is between two servers alone is not passed on.
func TestSignatureOfServers(t *testing.T) {
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true}, Question: []dns.Question{{Name: "a.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}}
	for i := range 100 {
		m.Answer = append(m.Answer, rr(t, fmt.Sprintf("a. 5 A %s", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))))
	}
	m.SetEdns0(1232, true)
	m.SetTsig("key.", dns.HmacSHA256, 300, 0)
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	k, err := Keep(b)
	if err != nil {
		t.Fatal(err)
	}
	q := asked(t, dnsmessage.Message{Questions: question("a.", dnsmessage.TypeA)})
	if got := unpack(t, k.Reply(q, 512, 0)); len(got.Additionals) != 0 || !got.Truncated || len(got.Answers) == 0 {
		t.Errorf("%+v", got)
	}
}

func BenchmarkReplyOfKept(b *testing.B) {
	k, err := Keep(responseOf("\x01a\x00", slices.Repeat([]string{record1(dns.TypeA, "\x0a\x00\x00\x01")}, 4000)...))
	if err != nil {
		b.Fatal(err)
	}
	q, _, err := ParseQuery(question1("\x01a\x00"))
	if err != nil {
		b.Fatal(err)
	}
	for _, limit := range []int{512, MaxTCP} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k.Reply(q, limit, 1)
			}
		})
	}
}
