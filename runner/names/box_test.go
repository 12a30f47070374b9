package names

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/names/handover"
	"github.com/solopod/solopod/runner/served"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// table serves one service at an address, to one pod.
func table(at string) *served.Table {
	return &served.Table{
		Services: []served.Service{{
			Namespace: "shop", Name: "web", ClusterIPs: []netip.Addr{addr(at)}, Ports: []served.Port{{Name: "http", Protocol: "TCP", Port: 80}},
		}},
		Pods: []served.Pod{{Namespace: "shop", Name: "client", Addrs: []netip.Addr{addr("10.88.0.2")}}},
	}
}

// box is a state directory with a daemon that may be there or not.
type box struct {
	t     *testing.T
	dir   string
	order order

	daemon *exec.Cmd
	says   *bufio.Scanner
}

func newBox(t *testing.T, addrs ...string) *box {
	t.Helper()
	b := &box{t: t, dir: t.TempDir(), order: order{Keeper: keeper, Program: program, Table: table("10.96.1.1")}}
	for _, a := range addrs {
		b.order.Addresses = append(b.order.Addresses, addr(a))
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(b.dir, daemonName))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.daemon != nil {
			b.stop(unix.SIGKILL)
		}
		eventually(t, "nothing runs, and its addresses are free", func() bool { // what is killed may just have begun another
			pids := append(b.keepers(), b.programs()...)
			for _, pid := range pids {
				unix.Kill(pid, unix.SIGKILL) //nolint:errcheck // it may have ended
			}
			return len(pids) == 0 && free(b.order.Addresses)
		})
	})
	return b
}

// start starts a daemon and returns what it says to the first table.
func (b *box) start() string {
	b.t.Helper()
	b.write()
	cmd := exec.Command(filepath.Join(b.dir, daemonName), b.dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.daemon, b.says = cmd, bufio.NewScanner(out)
	return b.published()
}

// starts is start where nothing is wrong.
func (b *box) starts() {
	b.t.Helper()
	if said := b.start(); said != "" {
		b.t.Fatal(said)
	}
}

// publishes is publish where nothing is wrong.
func (b *box) publishes() {
	b.t.Helper()
	if said := b.publish(); said != "" {
		b.t.Fatal(said)
	}
}

func (b *box) write() {
	b.t.Helper()
	text, err := json.Marshal(b.order)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, "order"), text, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// published returns what the daemon says until it has published: warnings, and the error if there is one.
func (b *box) published() string {
	b.t.Helper()
	var said []string
	for b.says.Scan() {
		if end, ok := strings.CutPrefix(b.says.Text(), "published "); ok {
			if end != "<nil>" {
				said = append(said, end)
			}
			return strings.Join(said, "\n")
		}
		said = append(said, b.says.Text())
	}
	b.t.Fatal("the daemon has ended: ", said, b.says.Err())
	return ""
}

// publish has the daemon publish the order as it is now.
func (b *box) publish() string {
	b.t.Helper()
	b.write()
	if err := b.daemon.Process.Signal(unix.SIGHUP); err != nil {
		b.t.Fatal(err)
	}
	return b.published()
}

// kept waits until the keeper has what was published: the daemon does not wait for that.
func (b *box) kept() {
	b.t.Helper()
	k := keep.New(b.dir, keeper)
	defer k.Close()
	eventually(b.t, "the keeper has what was published", func() bool {
		files, _, err := k.Take(b.t.Context(), handover.Key)
		defer func() {
			for _, f := range files {
				f.Close()
			}
		}()
		if err != nil || len(files) != 1+2*len(b.order.Addresses) {
			return false
		}
		left, err := handover.Read(files[0])
		return err == nil && reflect.DeepEqual(left.Table, b.order.Table)
	})
}

// stop ends the daemon by a signal.
func (b *box) stop(signal os.Signal) {
	b.t.Helper()
	if err := b.daemon.Process.Signal(signal); err != nil {
		b.t.Fatal(err)
	}
	if err := b.daemon.Wait(); err != nil && signal == unix.SIGTERM {
		b.t.Fatalf("the daemon has failed: %v", err)
	}
	b.daemon = nil
}

// programs are those that answer in the daemon's place.
func (b *box) programs() []int { return testbox.Running(b.t, program, b.dir) }

func (b *box) keepers() []int { return testbox.Running(b.t, keeper, b.dir) }

// nothing waits until nothing is left of the names.
func (b *box) nothing() {
	b.t.Helper()
	eventually(b.t, "nothing is left", func() bool { return len(b.programs()) == 0 && free(b.order.Addresses) })
}

// free: nobody has port 53 of the addresses.
func free(addrs []netip.Addr) bool {
	for _, a := range addrs {
		for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_STREAM} {
			f, err := bind(kind, a)
			if err != nil {
				return false
			}
			f.Close()
		}
	}
	return true
}

// question is a query for the addresses of a name of the family.
func question(name string, kind dnsmessage.Type, id uint16) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// answers reads an answer: its id, and the addresses in it, or its code when it is no success.
func answers(b []byte) (uint16, string, error) {
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return 0, "", err
	}
	var out []string
	for _, r := range m.Answers {
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			out = append(out, netip.AddrFrom4(body.A).String())
		case *dnsmessage.AAAAResource:
			out = append(out, netip.AddrFrom16(body.AAAA).String())
		}
	}
	if m.RCode != dnsmessage.RCodeSuccess {
		out = append(out, m.RCode.String())
	}
	return m.ID, strings.Join(out, " "), nil
}

// ask asks a server by a network for the addresses of IPv4 of a name.
func ask(network string, server netip.Addr, name string) (string, error) {
	c, err := net.DialTimeout(network, netip.AddrPortFrom(server, port).String(), 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return askOn(c, name, 5*time.Second)
}

func askOn(c net.Conn, name string, limit time.Duration) (string, error) {
	q := question(name, dnsmessage.TypeA, uint16(time.Now().UnixNano()))
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	stream := strings.HasPrefix(c.LocalAddr().Network(), "tcp")
	if stream {
		q = append([]byte{byte(len(q) >> 8), byte(len(q))}, q...)
	}
	if _, err := c.Write(q); err != nil {
		return "", err
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		return "", err
	}
	if b = b[:n]; stream {
		if n < 2 || int(b[0])<<8+int(b[1]) != n-2 {
			return "", errors.New("an answer in parts")
		}
		b, q = b[2:], q[2:]
	}
	id, is, err := answers(b)
	if err == nil && id != uint16(q[0])<<8+uint16(q[1]) {
		err = errors.New("another answer")
	}
	return is, err
}

// answered checks that all addresses answer by both protocols.
func (b *box) answered(name, want string) {
	b.t.Helper()
	for _, a := range b.order.Addresses {
		for _, network := range []string{"udp", "tcp"} {
			if got, err := ask(network, a, name); got != want || err != nil {
				b.t.Errorf("%s at %s says %s is at %q: %v", network, a, name, got, err)
			}
		}
	}
}

// fake answers every query for IPv4 with an address.
func fake(t *testing.T, at, says string) {
	t.Helper()
	c, err := net.ListenPacket("udp", netip.AddrPortFrom(addr(at), port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil {
				continue
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: addr(says).As4()},
			}}
			if out, err := m.Pack(); err == nil {
				if _, err := c.WriteTo(out, from); err != nil {
					return
				}
			}
		}
	}()
}

// memory is what a process has for itself, in KiB.
func memory(pid int) (out string) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(text)) {
		for _, name := range []string{"Rss:", "Pss:", "Pss_Anon:"} {
			if strings.HasPrefix(line, name) {
				out += strings.Join(strings.Fields(line), " ") + "; "
			}
		}
	}
	return out
}

// onTmpfs puts the box's state onto a small file system.
func onTmpfs(t *testing.T, b *box) *box {
	t.Helper()
	if err := unix.Mount("tmpfs", b.dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(b.dir, unix.MNT_DETACH) }) //nolint:errcheck // a mount of the test's own
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(b.dir, daemonName))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
