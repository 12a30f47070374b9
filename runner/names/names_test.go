package names

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/keep/wire"
	"github.com/solopod/solopod/runner/names/handover"
	"github.com/solopod/solopod/runner/served"
)

const web = "web.shop.svc.cluster.local."

// TestAway: while the daemon is away, ended in whichever way, the program answers what the daemon did, and the next daemon in its place.
func TestAway(t *testing.T) {
	for name, signal := range map[string]unix.Signal{"stopped": unix.SIGTERM, "killed": unix.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "127.96.0.10", "fd00:96::a")
			upstream := "127.96.0.53"
			fake(t, upstream, "192.0.2.80")
			b.order.ResolvConf = filepath.Join(b.dir, "resolv.conf")
			if err := os.WriteFile(b.order.ResolvConf, []byte("nameserver 127.96.0.10\nnameserver "+upstream+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			b.starts()
			b.answered(web, "10.96.1.1")
			b.answered("example.org.", "192.0.2.80")
			b.answered("gone.shop.svc.cluster.local.", "RCodeNameError")
			if len(b.programs()) != 0 {
				t.Error("the program runs beside the daemon")
			}
			b.order.Table = table("10.96.1.2")
			b.publishes()
			b.answered(web, "10.96.1.2")
			b.kept()
			b.stop(signal)
			b.answered(web, "10.96.1.2")
			b.answered("other.example.org.", "192.0.2.80")
			if len(b.programs()) != 1 {
				t.Fatalf("the program runs as %v", b.programs())
			}
			t.Log("the program has", memory(b.programs()[0]), "the keeper", memory(b.keepers()[0]))
			b.order.Table = table("10.96.1.3") // edited meanwhile
			b.starts()
			eventually(t, "the program ends", func() bool { return len(b.programs()) == 0 })
			b.answered(web, "10.96.1.3")
			b.kept()
			b.stop(signal)
			b.answered(web, "10.96.1.3")
			b.order.Table = &served.Table{} // removed meanwhile
			b.starts()
			b.nothing()
			b.publishes()
			b.order.Table = table("10.96.1.4")
			b.publishes()
			b.answered(web, "10.96.1.4")
			b.order.Table = &served.Table{}
			b.publishes()
			b.nothing()
			b.stop(unix.SIGTERM)
			eventually(t, "the keeper ends", func() bool { return len(b.keepers()) == 0 })
			b.nothing()
		})
	}
}

// TestFaults: processes that are killed or stopped while the daemon is away, or while it is there, take no names away for long.
func TestFaults(t *testing.T) {
	kill := func(t *testing.T, pids []int, signal unix.Signal) {
		t.Helper()
		if len(pids) != 1 {
			t.Fatalf("it runs as %v", pids)
		}
		if err := unix.Kill(pids[0], signal); err != nil {
			t.Fatal(err)
		}
	}
	for name, fault := range map[string]func(*testing.T, *box){
		"the program is killed": func(t *testing.T, b *box) {
			b.stop(unix.SIGKILL)
			b.answered(web, "10.96.1.1")
			kill(t, b.programs(), unix.SIGKILL)
		},
		"the program is stopped": func(t *testing.T, b *box) {
			b.stop(unix.SIGKILL)
			b.answered(web, "10.96.1.1")
			kill(t, b.programs(), unix.SIGSTOP)
			b.start() // which serves at once
		},
		"the keeper is killed beside the daemon": func(t *testing.T, b *box) {
			old := b.keepers()
			kill(t, old, unix.SIGKILL)
			b.kept() // by another
			b.stop(unix.SIGKILL)
		},
		"the keeper is killed, and the program goes on": func(t *testing.T, b *box) {
			b.stop(unix.SIGKILL)
			b.answered(web, "10.96.1.1")
			kill(t, b.keepers(), unix.SIGKILL)
		},
		"the keeper is killed, and a daemon takes over": func(t *testing.T, b *box) {
			b.stop(unix.SIGKILL)
			b.answered(web, "10.96.1.1")
			kill(t, b.keepers(), unix.SIGKILL)
			b.starts()
			eventually(t, "the program ends", func() bool { return len(b.programs()) == 0 })
		},
		"the keeper is killed, the state directory cleared, and a daemon takes over": func(t *testing.T, b *box) {
			b.stop(unix.SIGKILL)
			b.answered(web, "10.96.1.1")
			kill(t, b.keepers(), unix.SIGKILL)
			for _, name := range []string{handover.Lock, wire.Socket} {
				if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			b.starts()
			eventually(t, "the program ends", func() bool { return len(b.programs()) == 0 })
		},
		"the keeper is killed, and services are removed": func(t *testing.T, b *box) {
			b.stop(unix.SIGKILL)
			b.answered(web, "10.96.1.1")
			kill(t, b.keepers(), unix.SIGKILL)
			b.order.Table = &served.Table{}
			b.starts()
			b.nothing()
			b.order.Table = table("10.96.1.1")
			b.publish()
		},
		"the state directory is full": func(t *testing.T, b *box) {
			stuck.Fill(t, b.dir)
			b.order.Table = table("10.96.1.2")
			b.daemon.Process.Signal(unix.SIGHUP) //nolint:errcheck // the order cannot be written: it publishes what it has
			b.published()
			b.stop(unix.SIGKILL)
			b.answered(web, "10.96.1.1")
			os.Remove(filepath.Join(b.dir, "filling"))
			b.order.Table = table("10.96.1.1")
			b.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "127.96.0.10", "fd00:96::a")
			if name == "the state directory is full" {
				b = onTmpfs(t, b)
			}
			b.starts()
			b.kept()
			fault(t, b)
			b.answered(web, "10.96.1.1")
		})
	}
}

// TestNoProgram: without the program the daemon answers all the same, says once what is missing, and what comes in during a restart waits.
func TestNoProgram(t *testing.T) {
	b := newBox(t, "127.96.0.10")
	b.order.Program = ""
	if said := b.start(); !strings.Contains(said, "NamesUnattended") || !strings.Contains(said, "not installed") {
		t.Errorf("it says %q", said)
	}
	b.answered(web, "10.96.1.1")
	if said := b.publish(); said != "" {
		t.Errorf("it says %q again", said)
	}
	b.kept()
	b.stop(unix.SIGKILL)
	answered := make(chan string, 1)
	go func() {
		got, err := ask("udp", b.order.Addresses[0], web)
		answered <- got + text(err)
	}()
	b.start()
	if got := <-answered; got != "10.96.1.1" {
		t.Errorf("the answer is %q", got)
	}
}

// TestTaken: an address that another server has is told, and taken when it is free; the table before is answered meanwhile.
func TestTaken(t *testing.T) {
	b := newBox(t, "127.96.0.10")
	other, err := bind(unix.SOCK_STREAM, addr("127.96.0.10"))
	if err != nil {
		t.Fatal(err)
	}
	if said := b.start(); !strings.Contains(said, "127.96.0.10:53 (tcp)") || !strings.Contains(said, "DNS server") || !strings.Contains(said, "warning NamesFailed") {
		t.Errorf("it says %q", said)
	}
	if said := b.publish(); !strings.Contains(said, "127.96.0.10:53 (tcp)") || strings.Contains(said, "warning") {
		t.Errorf("when it is tried again it says %q", said)
	}
	other.Close()
	b.publishes()
	b.answered(web, "10.96.1.1")
	if other, err = bind(unix.SOCK_DGRAM, addr("127.96.0.11")); err != nil {
		t.Fatal(err)
	}
	first := b.order.Addresses
	b.order.Addresses = append(first, addr("127.96.0.11"))
	if said := b.publish(); !strings.Contains(said, "127.96.0.11:53 (udp)") || !strings.Contains(said, "warning NamesFailed") {
		t.Errorf("it says %q", said)
	}
	b.order.Addresses = first
	b.answered(web, "10.96.1.1")
	other.Close()
	b.order.Addresses = append(first, addr("127.96.0.11"))
	b.publishes()
	b.answered(web, "10.96.1.1")
	b.order.Addresses = b.order.Addresses[1:]
	b.publishes()
	b.answered(web, "10.96.1.1")
	eventually(t, "the first is given up", func() bool { return free(first) })
	b.order.Addresses = nil // pods get other servers instead
	b.publishes()
	b.order.Addresses = append(first, addr("127.96.0.11"))
	b.nothing()
}

// TestSideBySide: two daemons of one machine do not touch each other's names.
func TestSideBySide(t *testing.T) {
	one, two := newBox(t, "127.96.0.10", "fd00:96::a"), newBox(t, "127.96.1.10", "fd00:96::b")
	two.order.Table = table("10.97.1.1")
	if said := one.start() + two.start(); said != "" {
		t.Fatal(said)
	}
	one.kept()
	one.stop(unix.SIGKILL)
	one.answered(web, "10.96.1.1")
	two.answered(web, "10.97.1.1")
	two.stop(unix.SIGTERM)
	two.answered(web, "10.97.1.1")
	one.order.Table = &served.Table{}
	if said := one.start(); said != "" {
		t.Fatal(said)
	}
	one.nothing()
	two.answered(web, "10.97.1.1")
}

// TestDrained: a daemon that ends without a pod leaves nothing: nobody is left to ask.
func TestDrained(t *testing.T) {
	b := newBox(t, "127.96.0.10")
	b.starts()
	b.order.Table.Pods = nil
	b.publishes()
	b.answered(web, "10.96.1.1")
	b.stop(unix.SIGTERM)
	b.nothing()
	eventually(t, "the keeper ends", func() bool { return len(b.keepers()) == 0 })
}

// TestEndedAtItsStart: a daemon that is told to end before it has published leaves the program that answers in its place alone.
func TestEndedAtItsStart(t *testing.T) {
	b := newBox(t, "127.96.0.10")
	b.starts()
	b.kept()
	b.stop(unix.SIGTERM)
	b.answered(web, "10.96.1.1")
	answering := b.programs()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, next := range map[string]*served.Table{"with services": table("10.96.1.2"), "without": {}} {
		k := keep.New(b.dir, keeper)
		n := New(Config{Domain: "cluster.local", Addresses: func() []netip.Addr { return b.order.Addresses }, Keeper: k, Program: program, State: b.dir})
		for range 20 { // one that has ended may be begun with
			if err := n.Publish(ctx, next); err == nil {
				t.Errorf("%s: it has published", name)
			}
		}
		n.Close()
		k.Close()
		b.answered(web, "10.96.1.1")
		if now := b.programs(); !slices.Equal(now, answering) {
			t.Errorf("%s: the program ran as %v, and runs as %v", name, answering, now)
		}
	}
}

// TestPublishWaitsForNobody: a keeper that does not answer holds the names up for a moment only, and a socket that it may have is told of.
func TestPublishWaitsForNobody(t *testing.T) {
	b := newBox(t, "127.96.0.10")
	b.starts()
	b.kept()
	pid := b.keepers()[0]
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.order.Table = table("10.96.1.2")
	began := time.Now()
	if said := b.publish(); said != "" || time.Since(began) > 5*time.Second {
		t.Errorf("it takes %s, and it says %q", time.Since(began), said)
	}
	b.answered(web, "10.96.1.2")
	b.stop(unix.SIGKILL)
	began = time.Now()
	if said := b.start(); !strings.Contains(said, "solopod-keep") || time.Since(began) > 10*time.Second {
		t.Errorf("after %s it says %q", time.Since(began), said)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it answers then", func() bool { return b.publish() == "" })
	b.answered(web, "10.96.1.2")
}
