// Package names answers for the names of services: a DNS server in the daemon, and a program in its place while the daemon is away.
//
// How it is used. The daemon makes one Names, calls Publish with every new table, and Close at its end:
//
//   - The first Publish of a start is called when the manifests were read and the pods of an earlier run were taken up, with an empty table
//     too: until then the program that answers in the daemon's place goes on, with what it knows. From then on the daemon answers.
//   - Publish with an empty table ends all: no socket, no program, no memory is left.
//   - Close leaves the sockets to the program, so that no query is lost. It is called before the keeper's Close (runner.Stop). Where
//     the last table had no pods, as after a drain, nobody is left to ask, and all ends.
//   - Pods are told of the addresses by their resolver configuration: runner.Runner.ServeNames, before pods of the same manifests are
//     applied.
//
// How it works. The sockets are bound to addresses that need not exist yet (IP_FREEBIND), and are the keeper's too (solopod-keep). When the
// daemon ends, be it by SIGKILL, the keeper starts solopod-names, which inherits the sockets and a file in memory with all that answers are
// made of (package handover). What comes in meanwhile waits in the sockets. The next daemon is given the same sockets by the keeper, answers
// beside the program, and then that is told to end. See docs/decisions, 12.
package names

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/names/handover"
	"github.com/solopod/solopod/runner/names/server"
	"github.com/solopod/solopod/runner/names/zone"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/runner/turn"
)

// Keeper keeps sockets while the daemon is away, and has a program serve them. Package keep implements it.
type Keeper interface {
	Serve(key string, s keep.Service) error
	Leave(key string)
	End(key string)
	Take(ctx context.Context, key string) (files []*os.File, failure string, err error)
}

// Config says what is answered, and where.
type Config struct {
	// Domain is the cluster's.
	Domain string
	// Addresses are those at which queries are answered, of a family at most one, the pods' first family first. It is asked with each
	// Publish; with none nothing is served.
	Addresses func() []netip.Addr
	// ResolvConf is the machine's resolver configuration, whose servers are asked for the world's names; empty means none.
	ResolvConf string
	// Stubs are the servers for zones of their own.
	Stubs map[string][]netip.AddrPort
	// Observe is told of each answer; nil tells nobody. It must not wait.
	Observe func(server.Answered)
	Keeper  Keeper
	// Program is the path of solopod-names; empty when it is not installed.
	Program string
	// State is the state directory.
	State string
	// Warn tells the operator what is wrong, as an event with a reason; nil logs it.
	Warn func(reason, message string)
}

// Limits of time.
const (
	// publishLimit is how long somebody waits for others to have published.
	publishLimit = 10 * time.Second
	// lookLimit is for a look whether the program is there.
	lookLimit = time.Second
)

// Names answers for names. It is safe for concurrent use.
type Names struct {
	config Config
	turn   turn.Turn // is of who changes what follows
	places aside.Places

	serving *serving
	sockets []socket
	asked   bool // there are pods to ask
	left    bool // what an earlier daemon has left was taken or ended
	warned  bool
	failed  bool // the last Publish, and that was told
	closed  bool
}

// New prepares Names. Nothing is answered before Publish.
func New(c Config) *Names {
	if c.Warn == nil {
		c.Warn = func(reason, message string) { slog.Warn(message, "reason", reason) }
	}
	return &Names{config: c, turn: turn.New(publishLimit, errors.New("what was published before is not answered yet"))}
}

// ErrClosed says that the daemon ends.
var ErrClosed = errors.New("names are not answered by this daemon any more: it ends")

// Publish has the names of a table answered from now on, by whoever answers; those of an empty table by nobody. It is to be called again
// after an error: until then what was published before is answered. It takes milliseconds; the first one, where an earlier daemon has left
// something that does not answer, a few seconds.
func (n *Names) Publish(ctx context.Context, t *served.Table) error {
	give, err := n.turn.Take(ctx)
	if err != nil {
		return fmt.Errorf("cannot publish names: %w", err)
	}
	defer give()
	if n.closed {
		return ErrClosed
	}
	err = n.publish(ctx, t)
	if err != nil && !n.failed && ctx.Err() == nil {
		n.config.Warn("NamesFailed", err.Error()+"; it is tried again")
	}
	n.failed = err != nil && (n.failed || ctx.Err() == nil)
	return err
}

// publish is Publish for who has the turn.
func (n *Names) publish(ctx context.Context, t *served.Table) error {
	addrs := n.config.Addresses()
	if t.Empty() || len(addrs) == 0 {
		return n.end(ctx)
	}
	z, err := zone.New(n.config.Domain, addrs, t)
	if err != nil {
		return fmt.Errorf("cannot answer for names below %q: %w", n.config.Domain, err)
	}
	n.asked = len(t.Pods) > 0
	if n.serving.at(addrs) {
		n.serving.server.SetZone(z)
		return n.leave(ctx, addrs, t)
	}
	sockets, err := n.open(ctx, addrs)
	if err != nil {
		return err
	}
	next, err := n.serve(addrs, sockets, z)
	if err != nil {
		n.keepOnly(n.sockets, sockets)
		return err
	}
	n.serving.end()
	n.keepOnly(sockets, n.sockets)
	n.serving, n.sockets = next, sockets
	return n.leave(ctx, addrs, t)
}

// keepOnly closes those of other sockets that are not among these.
func (n *Names) keepOnly(sockets, others []socket) {
	for _, s := range others {
		if !slices.Contains(sockets, s) {
			s.file.Close() //nolint:errcheck // nobody reads from it
		}
	}
}

// end has nobody answer any more.
func (n *Names) end(ctx context.Context) error {
	if n.left && n.serving == nil {
		return nil
	}
	if err := ctx.Err(); n.serving == nil && err != nil { // who is to end before it has begun leaves what an earlier one has left
		return fmt.Errorf("cannot end what answers for names: %w", err)
	}
	n.config.Keeper.End(handover.Key)
	n.serving.end()
	n.keepOnly(nil, n.sockets)
	n.serving, n.sockets, n.warned = nil, nil, false
	if err := endOrphan(ctx, n.config.State); err != nil {
		return err
	}
	n.left = true
	return nil
}

// leave gives the keeper what the program needs that answers while the daemon is away.
func (n *Names) leave(ctx context.Context, addrs []netip.Addr, t *served.Table) error {
	program := n.config.Program
	if err := n.executable(ctx, program); err != nil {
		if !n.warned {
			n.config.Warn("NamesUnattended", "names will not be answered while Solopod is away: "+err.Error())
		}
		n.warned, program = true, "" // the sockets are kept all the same: what comes in during a restart waits
	}
	l := handover.Left{Domain: n.config.Domain, Addresses: addrs, ResolvConf: n.config.ResolvConf, Stubs: n.config.Stubs, Table: t}
	f, err := l.Write()
	if err != nil {
		return fmt.Errorf("names are answered, but will be as before while Solopod is away: %w", err)
	}
	defer f.Close() //nolint:errcheck // the keeper has its own
	files := []*os.File{f}
	for _, s := range n.sockets {
		files = append(files, s.file)
	}
	if err := n.config.Keeper.Serve(handover.Key, keep.Service{Program: program, Argument: n.config.State, Files: files}); err != nil {
		return fmt.Errorf("names are answered, but will be as before while Solopod is away: %w", err)
	}
	return nil
}

// executable says why a program cannot be started. One whose disk does not say is left to the keeper, which tries again and again.
func (n *Names) executable(ctx context.Context, program string) error {
	if program == "" {
		return errors.New("solopod-names is not installed beside it")
	}
	s, err := aside.Do(ctx, &n.places, filepath.Dir(program), lookLimit, func() (fs.FileInfo, error) { return os.Stat(program) })
	switch {
	case errors.Is(err, aside.ErrHangs), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil
	case err != nil:
		return err
	case s.Mode()&0o111 == 0 || s.IsDir():
		return fmt.Errorf("%s is no program", program)
	}
	return nil
}

// Close leaves what is answered to the program, and returns when queries that have come in are answered, or have had their time. Where
// something is being published that does not end, the keeper finds out by itself that this process has.
func (n *Names) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	give, err := n.turn.Take(ctx)
	if err != nil {
		slog.Warn("names are being changed, which does not end; it is left behind")
		return
	}
	defer give()
	if n.closed {
		return
	}
	n.closed = true
	if n.serving == nil {
		return
	}
	if n.asked {
		n.config.Keeper.Leave(handover.Key)
	} else {
		n.config.Keeper.End(handover.Key)
	}
	n.serving.end()
	n.keepOnly(nil, n.sockets)
	n.serving, n.sockets = nil, nil
}
