package hosts

import (
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

func request(host string) *http.Request { return &http.Request{Host: host} }

// Which names lead to this machine, on a port and on the socket.
func TestHosts(t *testing.T) {
	kernel, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{Node: "Node-1.example.com", Allowed: []string{"box.example.net", "*.lan", "192.0.2.77", "2001:DB8:0::7"}}
	reached := &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 10255}
	certificate := &x509.Certificate{DNSNames: []string{"cert.example.org"}}
	for host, want := range map[string]struct{ port, socket bool }{
		"":                               {true, true}, // HTTP/1.0
		"localhost":                      {true, true},
		"localhost:10255":                {true, true},
		"LOCALHOST.:10255":               {true, true},
		"127.0.0.1:10255":                {true, true},
		"127.8.9.1":                      {true, true},
		"[::1]:10255":                    {true, true},
		"[::1]":                          {true, true},
		"[::ffff:127.0.0.1]:1":           {true, true},
		"198.51.100.1:10255":             {true, false}, // the end of the port's connection
		"198.51.100.2:10255":             {false, false},
		"0.0.0.0:10255":                  {false, false},
		"[::]":                           {false, false},
		"192.0.2.77:10255":               {true, true},
		"[2001:db8::7]:10255":            {true, true},
		"[2001:DB8:0:0::7]":              {true, true},
		"[2001:db8::8]":                  {false, false},
		"node-1":                         {true, true},
		"node-1.example.com:80":          {true, true},
		"node-1.attacker.example":        {false, false},
		kernel:                           {true, true},
		kernel + ".attacker.example":     {false, false},
		"box.example.net":                {true, true},
		"x.box.example.net":              {false, false},
		"printer.lan":                    {true, true},
		"lan":                            {false, true},
		"notlan":                         {false, true},
		"attacker.example:10255":         {false, false},
		"localhost.attacker.example":     {false, false},
		"127.0.0.1.attacker.example":     {false, false},
		"cert.example.org":               {true, false},
		"solopod":                        {false, true},
		"x":                              {false, true},
		"127.0.0.1:10255:10255":          {false, false},
		"[fe80::1%25eth9]":               {false, false},
		strings.Repeat("x", 4000) + ".y": {false, false},
	} {
		if err := m.Port(request(host), reached, certificate); (err == nil) != want.port || err != nil && !strings.Contains(err.Error(), "allowedHosts") {
			t.Errorf("%q on a port: %v", host, err)
		}
		if err := m.Local(request(host)); (err == nil) != want.socket {
			t.Errorf("%q on the socket: %v", host, err)
		}
	}
	if n := len(m.told.names); n == 0 || n > mostTold {
		t.Errorf("%d names were told of", n)
	}
	if err := m.Port(request("cert.example.org"), reached, nil); err == nil {
		t.Error("the name of a certificate, without one")
	}
}

// An address of one of the machine's links is the machine's, whichever the client has reached.
func TestOwnAddresses(t *testing.T) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{}
	for _, a := range own {
		host := net.JoinHostPort(a.(*net.IPNet).IP.String(), "10255")
		if err := m.Port(request(host), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, nil); err != nil {
			t.Error(err)
		}
	}
}

// What /etc/hosts calls the machine.
func TestAliases(t *testing.T) {
	text := "127.0.0.1 localhost\n127.0.1.1\tbox.example.com box # me\n# 192.0.2.1 box.no box\n192.0.2.2 other.example.com other\n192.0.2.3\n"
	if got := strings.Join(aliasesIn([]byte(text), "box"), " "); got != "box.example.com box" {
		t.Errorf("%q", got)
	}
}

func TestCheck(t *testing.T) {
	if err := Check([]string{"box", "Box.example.com", "*.example.com", "192.0.2.1", "::1"}); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"", "*", "*.", "http://box", "box:80", "a b", "*.*.x", "[::1]"} {
		if err := Check([]string{wrong}); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}

// Whatever Host says, only names of the machine pass.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"localhost:1", "[::1]:1", "a.b", "127.0.0.1", "[fe80::1%25eth0]:1", "*.lan", ".", "..", "[", "]:", "%", "\x00", "xn--a.lan", "0x7f.1", "localhost."} {
		f.Add(seed)
	}
	m := &Machine{Node: "node", Allowed: []string{"*.lan"}}
	f.Fuzz(func(t *testing.T, host string) {
		port, socket := m.Port(request(host), nil, nil), m.Local(request(host))
		if port == nil && socket != nil {
			t.Errorf("%q may be used on a port and not on the socket", host)
		}
		if (port == nil || socket == nil) && strings.HasSuffix(name(host), ".attacker.example") {
			t.Errorf("%q passes", host)
		}
	})
}
