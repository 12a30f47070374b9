package message

import (
	"bytes"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func name(t testing.TB, text string) string {
	t.Helper()
	n, err := ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestParseName(t *testing.T) {
	long := strings.Repeat("a", 63)
	for text, want := range map[string]string{
		"": ".", ".": ".", "a": "a.", "Web.Shop.": "Web.Shop.", long + ".b": long + ".b.", "a b.ü": `a\ b.\195\188.`, "_http._tcp": "_http._tcp.",
		"a..b": "", ".a": "", "..": "", "a..": "", `a\.b`: "", `a\`: "", `a\.`: "", `\097`: "", long + "a": "", strings.Repeat(long+".", 4): "",
		strings.Repeat(long+".", 3) + strings.Repeat("b", 61): strings.Repeat(long+".", 3) + strings.Repeat("b", 61) + ".", strings.Repeat(long+".", 3) + strings.Repeat("b", 62): "",
	} {
		n, err := ParseName(text)
		if (err == nil) != (want != "") || err == nil && n != want {
			t.Errorf("%q: %q, %v; want %q", text, n, err, want)
		}
	}
}

func TestBelow(t *testing.T) {
	if n, ok := Below("local.", "a", "b"); !ok || n != "a.b.local." {
		t.Error(n, ok)
	}
	if n, ok := Below(".", "a"); !ok || n != "a." {
		t.Error(n, ok)
	}
	if n, ok := Below(`\195\188.`, "ü"); !ok || n != `\195\188.\195\188.` {
		t.Error(n, ok)
	}
	if p, ok := Parent("a.b."); !ok || p != "b." {
		t.Error(p, ok)
	}
	if p, ok := Parent(`a\.b.c.`); !ok || p != "c." {
		t.Error(p, ok)
	}
	if p, ok := Parent("a."); !ok || p != "." {
		t.Error(p, ok)
	}
	if _, ok := Parent("."); ok {
		t.Error("the root has a parent")
	}
	long := strings.Repeat("a", 63)
	for _, labels := range [][]string{{""}, {"a", ""}, {"a.b"}, {`a\`}, {`\097`}, {strings.Repeat("a", 64)}, {long, long, long, long}} {
		if n, ok := Below(".", labels...); ok {
			t.Errorf("%d labels make %s", len(labels), n)
		}
	}
	if n, ok := Below(strings.Repeat(long+".", 3), strings.Repeat("b", 62)); ok {
		t.Errorf("%s is too long", n)
	}
	if _, ok := Below(strings.Repeat(long+".", 3), strings.Repeat("b", 61)); !ok {
		t.Error("it is not too long")
	}
}

// question1 is a query for a name as a message has it.
func question1(wire string) []byte {
	return append(append([]byte{0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, wire...), 0, 1, 0, 1)
}

// Names may hold any byte; they are compared without looking at the case of ASCII's letters, and answered as they came.
func TestOddNames(t *testing.T) {
	for wire, want := range map[string]string{
		"\x00":             ".",
		"\x03a.b\x01c\x00": `a\.b.c.`, "\x04a\x00\n\\\x00": `a\000\010\\.`, "\x02\xffz\x00": `\255z.`, "\x03WeB\x04SHOP\x00": "web.shop.",
		"\x02\xc3\x9c\x00": `\195\156.`, "\x02\xc3\x9f\x00": `\195\159.`, "\x05\\0655\x00": `\\0655.`, "\x04\"();\x00": `\"\(\)\;.`, "\x01@\x01 \x00": `\@.\ .`,
		"\x3f" + strings.Repeat("\x00", 63) + "\x00": strings.Repeat(`\000`, 63) + ".",
	} {
		q, _, err := ParseQuery(question1(wire))
		if err != nil || q.Name != want {
			t.Errorf("%q: %v, %v; want %s", wire, q, err, want)
			continue
		}
		r := dns.RR(&dns.A{Hdr: dns.RR_Header{Name: want, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{10, 0, 0, 1}})
		for _, b := range [][]byte{Reply(q, 0), Write(q, Response{Answer: []dns.RR{r}}, 512)} {
			if !bytes.HasPrefix(b[HeaderSize:], []byte(wire+"\x00\x01\x00\x01")) {
				t.Errorf("%q is answered by %q", wire, b)
			}
		}
	}
	zone := name(t, "cluster.local")
	for wire, want := range map[string]bool{
		"\x07cluster\x05local\x00": true, "\x03web\x07CLUSTER\x05local\x00": true, "\x05local\x00": false, "\x08xcluster\x05local\x00": false, "\x00": false,
		"\x0e\x07cluster\x05local\x05other\x00": false, "\x0dcluster.local\x00": false, "\x10x\\.cluster.local\x00": false, "\x02x.\x07cluster\x05local\x00": true,
		"\x0exxxxx.\x07cluster\x05local\x00": false,
	} {
		q, _, err := ParseQuery(question1(wire))
		if err != nil {
			t.Fatal(err)
		}
		if got := dns.IsSubDomain(zone, q.Name); got != want {
			t.Errorf("%s: %t", q.Name, got)
		}
	}
}

// Pointers of a record's name may lead anywhere, but not round, and not to what is too long.
func TestPointers(t *testing.T) {
	long := "\x3f" + strings.Repeat("a", 63)
	head := "\x00\x00\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00"
	const rest = "\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01"
	for what, c := range map[string]struct {
		asked, owner, want string
	}{
		"plain":               {"\x01a\x00", "\x01b\x00", "b."},
		"pointer":             {"\x01a\x00", "\x01b\xc0\x0c", "b.a."},
		"to a label":          {"\x01x\x01a\x00", "\x01b\xc0\x0e", "b.a."},
		"to itself":           {"\x01a\x00", "\xc0\x13", ""},
		"round":               {"\x01a\x00", "\x01b\xc0\x13", ""},
		"no end":              {"\x01a\x00", "\x01", ""},
		"reserved":            {"\x01a\x00", "\x40a\x00", ""},
		"a long name":         {long + long + long + "\x00", "\x3d" + strings.Repeat("b", 61) + "\xc0\x0c", strings.Repeat("b", 61) + "." + strings.Repeat(strings.Repeat("a", 63)+".", 3)},
		"too long a name":     {long + long + long + "\x00", "\x3e" + strings.Repeat("b", 62) + "\xc0\x0c", ""},
		"beyond what's there": {"\x01a\x00", "\xff\xff", ""},
	} {
		m, err := read([]byte(head+c.asked+"\x00\x01\x00\x01"+c.owner+rest), 10)
		if (err == nil) != (c.want != "") || err == nil && m.Answer[0].Header().Name != c.want {
			t.Errorf("%s: %v, %v", what, m, err)
		}
	}
}
