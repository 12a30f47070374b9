package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/names/zone"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/runner/thread"
)

// These tests ask as pods do: with the resolvers of glibc, musl and Go, and with dig, by a resolv.conf like a pod's, over both families.

// lookups is what the test's own program does instead, where Go's resolver is asked in another namespace.
const lookups = "SOLOPOD_TEST_LOOKUP"

func TestMain(m *testing.M) {
	if kind, name, ok := strings.Cut(os.Getenv(lookups), " "); ok {
		os.Exit(lookup(kind, name))
	}
	if arguments, ok := os.LookupEnv(flooding); ok {
		os.Exit(flood(arguments))
	}
	os.Exit(m.Run())
}

// lookup asks Go's own resolver.
func lookup(kind, name string) int {
	r, ctx := net.Resolver{PreferGo: true}, context.Background()
	var out []string
	var err error
	switch kind {
	case "host":
		out, err = r.LookupHost(ctx, name)
	case "addr":
		out, err = r.LookupAddr(ctx, name)
	case "srv":
		var found []*net.SRV
		_, found, err = r.LookupSRV(ctx, "pg", "tcp", name)
		for _, s := range found {
			out = append(out, fmt.Sprintf("%s:%d", s.Target, s.Port))
		}
	}
	if e := (*net.DNSError)(nil); errors.As(err, &e) && e.IsNotFound {
		out, err = []string{"not found"}, nil
	}
	slices.Sort(out)
	fmt.Fprintln(os.Stdout, strings.Join(out, "\n"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// space is a network namespace with a server at the addresses that pods use.
type space struct {
	net  string
	dir  string
	musl string
}

const dns4, dns6 = "10.96.0.10", "fd00:96::10"

func newSpace(t *testing.T, table *served.Table) *space {
	t.Helper()
	s := New(Config{Domain: "cluster.local", Upstreams: elsewhere(t, world)})
	z, err := zone.New("cluster.local", []netip.Addr{addr(dns4), addr(dns6)}, table)
	if err != nil {
		t.Fatal(err)
	}
	s.SetZone(z)
	var ns *os.File
	var udp []net.PacketConn
	var tcp []net.Listener
	if err := thread.Own(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			return err
		}
		for _, at := range []string{dns4 + "/32", dns6 + "/128"} {
			a, err := netlink.ParseAddr(at)
			if err == nil {
				if a.IP.To4() == nil {
					a.Flags = unix.IFA_F_NODAD
				}
				err = netlink.AddrAdd(lo, a)
			}
			if err != nil {
				return err
			}
		}
		for _, at := range []string{dns4, dns6} {
			u, err := net.ListenPacket("udp", net.JoinHostPort(at, "53"))
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", net.JoinHostPort(at, "53"))
			if err != nil {
				return err
			}
			udp, tcp = append(udp, u), append(tcp, l)
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, udp, tcp) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for i := range udp {
			udp[i].Close()
			tcp[i].Close()
		}
		ns.Close()
	})
	dir := t.TempDir()
	return &space{net: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.Fd()), dir: dir, musl: compile(t, dir)}
}

// compile makes a program that asks musl's resolver.
func compile(t *testing.T, dir string) string {
	t.Helper()
	source, program := filepath.Join(dir, "lookup.c"), filepath.Join(dir, "lookup")
	if err := os.WriteFile(source, []byte(`
#include <stdio.h>
#include <string.h>
#include <netdb.h>
#include <arpa/inet.h>
int main(int n, char **v) {
	char text[300];
	if (!strcmp(v[1], "addr")) {
		struct sockaddr_in six4 = { .sin_family = AF_INET };
		inet_pton(AF_INET, v[2], &six4.sin_addr);
		int e = getnameinfo((void *)&six4, sizeof six4, text, sizeof text, 0, 0, NI_NAMEREQD);
		puts(e ? gai_strerror(e) : text);
		return 0;
	}
	struct addrinfo *all, hints = { .ai_socktype = SOCK_STREAM, .ai_family = !strcmp(v[1], "4") ? AF_INET : !strcmp(v[1], "6") ? AF_INET6 : AF_UNSPEC };
	int e = getaddrinfo(v[2], 0, &hints, &all);
	if (e) { puts(gai_strerror(e)); return 0; }
	for (; all; all = all->ai_next) {
		getnameinfo(all->ai_addr, all->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
		puts(text);
	}
}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("musl-gcc", "-O1", "-static", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("cannot compile for musl: %v\n%s", err, out)
	}
	return program
}

// run runs a program with a resolv.conf like that of a pod of the namespace shop, and gives its lines, sorted.
func (s *space) run(t *testing.T, server string, args ...string) []string {
	t.Helper()
	conf := filepath.Join(s.dir, "resolv.conf."+server)
	if err := os.WriteFile(conf, []byte("nameserver "+server+"\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"--net=" + s.net, "--", "unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, conf,
	}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	for i, a := range args {
		if strings.HasPrefix(a, lookups) {
			cmd.Env = append(cmd.Env, a)
			cmd.Args = append(cmd.Args[:len(cmd.Args)-len(args)+i:len(cmd.Args)-len(args)+i], os.Args[0])
		}
	}
	out, err := cmd.Output()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) && len(e.Stderr) > 0 || err != nil && e == nil {
		t.Fatalf("%q: %v\n%s", args, err, e.Stderr)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return lines
}

// resolvable is the shop, with more endpoints than have room in 512 bytes.
func resolvable() *served.Table {
	table := shop()
	many := served.Service{Namespace: "shop", Name: "many", Headless: true}
	for i := range 60 {
		many.Endpoints = append(many.Endpoints, served.Endpoint{Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 88, 1, byte(i)})}})
	}
	table.Services = append(table.Services, many)
	return table
}

func TestResolvers(t *testing.T) {
	s := newSpace(t, resolvable())
	own := func(kind, name string) []string { return []string{lookups + "=" + kind + " " + name} }
	for _, server := range []string{dns4, dns6} {
		for _, c := range []struct {
			args []string
			want string // lines
		}{
			// glibc.
			{[]string{"getent", "ahostsv4", "web"}, "10.96.1.1 DGRAM|10.96.1.1 RAW|10.96.1.1 STREAM web.shop.svc.cluster.local"},
			{[]string{"getent", "ahostsv6", "web"}, "fd00::1:1 DGRAM|fd00::1:1 RAW|fd00::1:1 STREAM web.shop.svc.cluster.local"},
			{[]string{"getent", "ahosts", "four.shop"}, "10.96.1.2 DGRAM|10.96.1.2 RAW|10.96.1.2 STREAM four.shop.svc.cluster.local"},
			{[]string{"getent", "ahostsv4", "db-0.db"}, "10.88.0.2 DGRAM|10.88.0.2 RAW|10.88.0.2 STREAM db-0.db.shop.svc.cluster.local"},
			{[]string{"getent", "ahostsv4", "away"}, "192.0.2.1 DGRAM|192.0.2.1 RAW|192.0.2.1 STREAM www.example.com"},
			{[]string{"getent", "ahostsv4", "www.example.com"}, "192.0.2.1 DGRAM|192.0.2.1 RAW|192.0.2.1 STREAM www.example.com"},
			{[]string{"getent", "ahosts", "nope"}, ""},
			{[]string{"getent", "hosts", "10.96.1.1"}, "10.96.1.1 web.shop.svc.cluster.local"},
			{[]string{"getent", "hosts", "fd00::1:1"}, "fd00::1:1 web.shop.svc.cluster.local"},
			{[]string{"getent", "hosts", "10.88.0.3"}, "10.88.0.3 db-1.db.shop.svc.cluster.local"},
			// musl. A name that has an address of one family alone must say so for the other.
			{[]string{s.musl, "any", "web"}, "10.96.1.1|fd00::1:1"},
			{[]string{s.musl, "any", "four"}, "10.96.1.2"},
			{[]string{s.musl, "any", "db.shop"}, "10.88.0.2|10.88.0.3"},
			{[]string{s.musl, "4", "db-1.db.shop.svc.cluster.local"}, "10.88.0.3"},
			{[]string{s.musl, "any", "away"}, "192.0.2.1|2001:db8::1"},
			{[]string{s.musl, "any", "www.example.com"}, "192.0.2.1|2001:db8::1"},
			{[]string{s.musl, "any", "nope"}, "Name does not resolve"},
			{[]string{s.musl, "addr", "10.96.1.1"}, "web.shop.svc.cluster.local"},
			// Go.
			{own("host", "web"), "10.96.1.1|fd00::1:1"},
			{own("host", "four"), "10.96.1.2"},
			{own("host", "db-0.db"), "10.88.0.2"},
			{own("host", "away"), "192.0.2.1|2001:db8::1"},
			{own("host", "www.example.com"), "192.0.2.1|2001:db8::1"},
			{own("host", "nope"), "not found"},
			{own("addr", "10.88.0.2"), "db-0.db.shop.svc.cluster.local."},
			{own("srv", "db"), "db-0.db.shop.svc.cluster.local.:5432|db-1.db.shop.svc.cluster.local.:5432"},
			// dig, by UDP and TCP, with and without EDNS.
			{[]string{"dig", "+short", "web.shop.svc.cluster.local"}, "10.96.1.1"},
			{[]string{"dig", "+short", "+tcp", "+search", "web", "AAAA"}, "fd00::1:1"},
			{[]string{"dig", "+short", "+noedns", "SRV", "_pg._tcp.db.shop.svc.cluster.local"}, "0 100 5432 db-0.db.shop.svc.cluster.local.|0 100 5432 db-1.db.shop.svc.cluster.local."},
			{[]string{"dig", "+short", "-x", "10.96.1.1"}, "web.shop.svc.cluster.local."},
			{[]string{"dig", "+short", "away.shop.svc.cluster.local"}, "192.0.2.1|www.example.com."},
			{[]string{"dig", "+short", "TXT", "dns-version.cluster.local"}, `"1.1.0"`},
			{[]string{"dig", "+short", "NS", "cluster.local"}, "ns.dns.cluster.local."},
			{[]string{"dig", "+short", "10-88-0-2.shop.pod.cluster.local"}, "10.88.0.2"},
		} {
			var got []string
			for _, line := range s.run(t, server, c.args...) {
				got = append(got, strings.Join(strings.Fields(line), " "))
			}
			if !slices.Equal(got, strings.Split(c.want, "|")) {
				t.Errorf("%s says to %q: %q, want %s", server, c.args, got, c.want)
			}
		}
		// More than have room: glibc, Go and dig ask again by TCP; musl, before 1.2.4, takes what is there.
		if got := s.run(t, server, "getent", "ahostsv4", "many"); len(got) != 180 {
			t.Errorf("glibc has %d lines for 60 endpoints", len(got))
		}
		if got := s.run(t, server, own("host", "many")...); len(got) != 60 {
			t.Errorf("Go has %d of 60 endpoints", len(got))
		}
		if got := s.run(t, server, "dig", "+short", "+noedns", "many.shop.svc.cluster.local"); len(got) != 60 {
			t.Errorf("dig has %d of 60 endpoints", len(got))
		}
		if got := s.run(t, server, s.musl, "any", "many"); len(got) < 25 {
			t.Errorf("musl has %d of 60 endpoints", len(got))
		}
	}
}

// dig tells what is wrong with a message.
func TestDig(t *testing.T) {
	s := newSpace(t, resolvable())
	for _, c := range []struct {
		args []string
		has  []string
	}{
		{[]string{"web.shop.svc.cluster.local", "AAAA", "+edns"}, []string{"status: NOERROR", "flags: qr aa rd ra;", "EDNS: version: 0"}},
		{[]string{"four.shop.svc.cluster.local", "AAAA"}, []string{"status: NOERROR", "ANSWER: 0, AUTHORITY: 1", "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"}},
		{[]string{"nope.shop.svc.cluster.local"}, []string{"status: NXDOMAIN", "AUTHORITY: 1"}},
		{[]string{"+edns=1", "+noednsneg", "web.shop.svc.cluster.local"}, []string{"status: BADVERS"}},
		{[]string{"+opcode=2", "+noedns", "web.shop.svc.cluster.local"}, []string{"status: NOTIMP"}},
		{[]string{"CH", "TXT", "version.bind"}, []string{"status: REFUSED"}},
		{[]string{"+dnssec", "+adflag", "www.example.com"}, []string{"status: NOERROR", "flags: do;", "192.0.2.1"}},
		{[]string{"+cookie", "+nsid", "+padding=128", "web.shop.svc.cluster.local"}, []string{"status: NOERROR", "10.96.1.1"}},
		{[]string{"+ignore", "+noedns", "many.shop.svc.cluster.local"}, []string{"flags: qr aa tc rd ra;"}},
		{[]string{"+tcp", "+keepopen", "web.shop.svc.cluster.local", "four.shop.svc.cluster.local"}, []string{"10.96.1.1", "10.96.1.2"}},
		{[]string{"a\\.b.cluster.local"}, []string{"status: NXDOMAIN"}},
		{[]string{"."}, []string{"status: NXDOMAIN"}}, // as the test's other server says
	} {
		got := strings.Join(s.run(t, dns4, append([]string{"dig", "+tries=1", "+time=5"}, c.args...)...), "\n")
		flat := strings.Join(strings.Fields(got), " ")
		for _, want := range c.has {
			if !strings.Contains(flat, want) {
				t.Errorf("%q lacks %q:\n%s", c.args, want, got)
			}
		}
		for _, bad := range []string{"WARNING", "Warning", "Got bad packet", "malformed"} {
			if strings.Contains(strings.ReplaceAll(got, "WARNING: .local is reserved", ""), bad) {
				t.Errorf("%q:\n%s", c.args, got)
			}
		}
	}
}
