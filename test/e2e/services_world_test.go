package e2e

import (
	wire "encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const silent4, corp4 = "192.0.2.3", "192.0.2.4" // of other machines

// worlds are servers of names on the neighbour: the world's at its address, one at another that is silent, and one of a zone of its own at a third.
type worlds struct {
	asked, silent atomic.Int64 // how often
}

func newWorlds(t *testing.T, neighbor string) *worlds {
	t.Helper()
	w := &worlds{}
	for _, ip := range []string{silent4, corp4} {
		command(t, "nsenter", "--net="+neighbor, "ip", "address", "add", ip+"/24", "dev", "up0")
	}
	packets(t, neighbor, silent4+":53", func([]byte, net.Addr) []byte {
		w.silent.Add(1)
		return nil
	})
	serveDNS(t, neighbor, there4+":53", func(name string) []dnsmessage.ResourceBody {
		w.asked.Add(1)
		switch name {
		case "world.example.":
			return []dnsmessage.ResourceBody{&dnsmessage.AResource{A: [4]byte{198, 51, 100, 1}}}
		case "big.example.":
			var out []dnsmessage.ResourceBody
			for i := range 100 {
				out = append(out, &dnsmessage.TXTResource{TXT: []string{fmt.Sprintf("%03d ", i) + strings.Repeat("x", 100)}})
			}
			return out
		}
		return nil
	})
	serveDNS(t, neighbor, corp4+":5353", func(name string) []dnsmessage.ResourceBody {
		if name != "www.corp.example." {
			return nil
		}
		return []dnsmessage.ResourceBody{&dnsmessage.AResource{A: [4]byte{198, 51, 100, 2}}}
	})
	return w
}

// connections has each connection of TCP in a network namespace answered, until the test ends.
func connections(t *testing.T, space, address string, answer func(net.Conn)) {
	t.Helper()
	l, err := inSpace(space, func() (net.Listener, error) { return net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer(c)
			}()
		}
	}()
}

// packets answers packets of UDP in a network namespace, but those for which there is no answer, until the test ends.
func packets(t *testing.T, space, address string, answer func(packet []byte, from net.Addr) []byte) {
	t.Helper()
	u, err := inSpace(space, func() (net.PacketConn, error) { return net.ListenPacket("udp", address) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			if out := answer(buf[:n], from); out != nil {
				u.WriteTo(out, from) //nolint:errcheck // who asks sees whether it comes
			}
		}
	}()
}

// serveDNS answers questions for names by UDP and TCP in a network namespace, until the test ends. There is no name that has nothing.
func serveDNS(t *testing.T, space, address string, has func(name string) []dnsmessage.ResourceBody) {
	t.Helper()
	packets(t, space, address, func(q []byte, _ net.Addr) []byte { return answerDNS(q, true, has) })
	connections(t, space, address, func(c net.Conn) {
		for {
			var size uint16
			if err := wire.Read(c, wire.BigEndian, &size); err != nil {
				return
			}
			q := make([]byte, size)
			if _, err := io.ReadFull(c, q); err != nil {
				return
			}
			out := answerDNS(q, false, has)
			if _, err := c.Write(append(wire.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
				return
			}
		}
	})
}

// answerDNS is the answer to a question; one by UDP is cut if it is longer than who asks can take.
func answerDNS(question []byte, udp bool, has func(name string) []dnsmessage.ResourceBody) []byte {
	var q dnsmessage.Message
	if err := q.Unpack(question); err != nil || len(q.Questions) != 1 {
		return nil
	}
	out := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionDesired: q.RecursionDesired, RecursionAvailable: true}, Questions: q.Questions}
	limit := 512
	for _, r := range q.Additionals {
		if r.Header.Type == dnsmessage.TypeOPT {
			limit = int(r.Header.Class)
		}
	}
	all := has(strings.ToLower(q.Questions[0].Name.String()))
	for _, body := range all {
		kind := dnsmessage.TypeA
		if _, ok := body.(*dnsmessage.TXTResource); ok {
			kind = dnsmessage.TypeTXT
		}
		if kind == q.Questions[0].Type {
			out.Answers = append(out.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: kind, Class: dnsmessage.ClassINET, TTL: 60}, Body: body})
		}
	}
	if len(out.Answers) == 0 {
		zone := dnsmessage.MustNewName("example.")
		out.Authorities = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: zone, Type: dnsmessage.TypeSOA, Class: dnsmessage.ClassINET, TTL: 60},
			Body: &dnsmessage.SOAResource{NS: zone, MBox: zone, Serial: 1, Refresh: 60, Retry: 60, Expire: 60, MinTTL: 60}}}
	}
	if len(all) == 0 {
		out.RCode = dnsmessage.RCodeNameError
	}
	text, err := out.Pack()
	if err == nil && udp && len(text) > limit {
		out.Answers, out.Truncated = nil, true
		text, err = out.Pack()
	}
	if err != nil {
		return nil
	}
	return text
}

// dig asks a server from within a network namespace; args are as dig has them.
func dig(space, server string, args ...string) (string, error) {
	out, err := exec.Command("nsenter", append([]string{"--net=" + space, "dig", "+time=2", "+tries=1", "@" + server}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("dig %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// kinds of questions.
var kindsOfNames = map[string]dnsmessage.Type{"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "SRV": dnsmessage.TypeSRV, "PTR": dnsmessage.TypePTR, "TXT": dnsmessage.TypeTXT}

// lookUp asks a server for a name from within a network namespace, by UDP or TCP, and returns what it says in order, NXDOMAIN or NODATA.
func lookUp(space, network, server, kind, name string) (string, error) {
	c, err := call(space, network, net.JoinHostPort(server, "53"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	m, err := exchange(c, kind, name)
	switch {
	case err != nil:
		return "", err
	case m.RCode == dnsmessage.RCodeNameError:
		return "NXDOMAIN", nil
	case m.RCode != dnsmessage.RCodeSuccess:
		return m.RCode.String(), nil
	case len(m.Answers) == 0:
		return "NODATA", nil
	}
	var out []string
	for _, r := range m.Answers {
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			out = append(out, netip.AddrFrom4(b.A).String())
		case *dnsmessage.AAAAResource:
			out = append(out, netip.AddrFrom16(b.AAAA).String())
		case *dnsmessage.CNAMEResource:
			out = append(out, b.CNAME.String())
		case *dnsmessage.SRVResource:
			out = append(out, fmt.Sprint(b.Port, " ", b.Target.String()))
		case *dnsmessage.PTRResource:
			out = append(out, b.PTR.String())
		case *dnsmessage.TXTResource:
			out = append(out, b.TXT...)
		}
	}
	return sorted(out...), nil
}

// exchange asks by a connection.
func exchange(c net.Conn, kind, name string) (m dnsmessage.Message, err error) {
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return m, err
	}
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return m, err
	}
	id := uint16(rand.Uint32())
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: n, Type: kindsOfNames[kind], Class: dnsmessage.ClassINET}}}
	text, err := q.Pack()
	if err != nil {
		return m, err
	}
	answer := make([]byte, 1<<16)
	if c.LocalAddr().Network() == "tcp" {
		if _, err := c.Write(append(wire.BigEndian.AppendUint16(nil, uint16(len(text))), text...)); err != nil {
			return m, err
		}
		var size uint16
		if err := wire.Read(c, wire.BigEndian, &size); err != nil {
			return m, err
		}
		answer = answer[:size]
		_, err = io.ReadFull(c, answer)
	} else {
		if _, err := c.Write(text); err != nil {
			return m, err
		}
		var size int
		size, err = c.Read(answer)
		answer = answer[:size]
	}
	if err != nil {
		return m, err
	}
	if err := m.Unpack(answer); err != nil {
		return m, err
	}
	if m.ID != id {
		return m, fmt.Errorf("the answer's number is %d, not %d", m.ID, id)
	}
	return m, nil
}

// dashed is an address as the first part of a name.
func dashed(ip string) string { return strings.NewReplacer(".", "-", ":", "-").Replace(ip) }

// reverse is an address as the name of its PTR record.
func reverse(ip string) string {
	a := netip.MustParseAddr(ip)
	name := ""
	if a.Is4() {
		for _, part := range a.As4() {
			name = fmt.Sprint(part) + "." + name
		}
		return name + "in-addr.arpa."
	}
	for _, part := range a.As16() {
		name = fmt.Sprintf("%x.%x.", part&15, part>>4) + name
	}
	return name + "ip6.arpa."
}
