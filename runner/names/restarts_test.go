package names

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var rounds = flag.Int("restarts", 6, "how often TestRestarts restarts the daemon")

// client asks over and over until its context ends.
type client struct {
	network string
	server  netip.Addr

	took   []time.Duration
	failed []failure
}

// failure is a query without an answer, or with a wrong one.
type failure struct {
	span
	text string
}

// span is a time, both ends included.
type span struct{ from, to time.Time }

func (s span) overlaps(o span) bool { return !s.from.After(o.to) && !o.from.After(s.to) }

// pauses between two questions of a client.
const pauses = time.Millisecond

func (c *client) run(ctx context.Context) {
	var conn net.Conn
	for ctx.Err() == nil {
		began := time.Now()
		is, err := "", error(nil)
		if conn == nil || c.network == "tcp" { // by TCP each on a connection of its own, as resolvers do
			conn, err = net.DialTimeout(c.network, netip.AddrPortFrom(c.server, port).String(), patience)
		}
		if err == nil {
			is, err = askOn(conn, web, patience)
		}
		if err != nil || is != "10.96.1.1" {
			c.failed = append(c.failed, failure{span{began, time.Now()}, fmt.Sprintf("%s %s: %q %v", c.network, c.server, is, err)})
		}
		c.took = append(c.took, time.Since(began))
		if conn != nil && (c.network == "tcp" || err != nil) {
			conn.Close()
			conn = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauses):
		}
	}
	if conn != nil {
		conn.Close()
	}
}

// patience is that of resolvers (resolv.conf(5), timeout).
const patience = 5 * time.Second

// TestRestarts: no query is lost or refused over stops and starts of the daemon. Of one that is killed those are that it has read and not
// answered: of each client the one, as none asks a second before the first is answered.
func TestRestarts(t *testing.T) {
	for name, signal := range map[string]unix.Signal{"stopped": unix.SIGTERM, "killed": unix.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "127.96.0.10", "fd00:96::a")
			b.starts()
			ctx, cancel := context.WithCancel(t.Context())
			var clients []*client
			var group sync.WaitGroup
			for _, server := range b.order.Addresses {
				for _, network := range []string{"udp", "udp", "tcp"} {
					c := &client{network: network, server: server}
					clients = append(clients, c)
					group.Go(func() { c.run(ctx) })
				}
			}
			var kills []span
			for range *rounds {
				b.kept()
				began := time.Now()
				b.stop(signal)
				if signal == unix.SIGKILL {
					kills = append(kills, span{began, time.Now()})
				}
				b.answered(web, "10.96.1.1")
				eventually(t, "the program answers", func() bool { return len(b.programs()) == 1 })
				b.starts()
				eventually(t, "the program ends", func() bool { return len(b.programs()) == 0 })
			}
			cancel()
			group.Wait()
			judge(t, clients, kills)
		})
	}
}

func judge(t *testing.T, clients []*client, kills []span) {
	t.Helper()
	var took []time.Duration
	failed := 0
	for _, c := range clients {
		took = append(took, c.took...)
		failed += len(c.failed)
		left := slices.Clone(kills)
		for _, f := range c.failed {
			t.Log(f.text)
			// A query that waited in vain for long may have been under way at later kills, too: it is the first one's.
			if i := slices.IndexFunc(left, f.overlaps); i >= 0 {
				left = left[i+1:]
			} else {
				t.Errorf("a query failed that was not under way at a kill, or its client lost another one at the same: %s", f.text)
			}
		}
	}
	slices.Sort(took)
	t.Logf("%d queries over %d restarts: %d failed; half took %s at most, 99.9 %% %s, the longest %s",
		len(took), *rounds, failed, took[len(took)/2], took[len(took)*999/1000], took[len(took)-1])
}
