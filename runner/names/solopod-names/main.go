// Command solopod-names answers for the names of services while Solopod is away.
//
// solopod-keep starts it when the daemon ends, with the daemon's sockets and a file in memory of what was served (package handover), and ends
// it when the next daemon answers. It changes nothing and learns nothing of pods: what it says is what was so when the daemon ended. It
// is a program of its own to be small, as it may run for long on a box whose daemon does not come back.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/keep/wire"
	"github.com/solopod/solopod/runner/names/handover"
	"github.com/solopod/solopod/runner/names/server"
	"github.com/solopod/solopod/runner/names/upstream"
	"github.com/solopod/solopod/runner/names/zone"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	keeper, err := connect()
	if err == nil {
		err = answer(ctx, keeper)
	}
	stop()
	if err != nil {
		if keeper != nil {
			keeper.Write(append([]byte{wire.Failed}, err.Error()...)) //nolint:errcheck // it may be gone
		}
		fmt.Fprintln(os.Stderr, "solopod-names:", err)
		os.Exit(1)
	}
}

// connect makes a connection of what the keeper has left.
func connect() (net.Conn, error) {
	f := os.NewFile(wire.ProgramControl, "the keeper")
	defer f.Close() //nolint:errcheck // the connection has its own
	keeper, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("it is started by solopod-keep while Solopod is away, not by hand: %w", err)
	}
	return keeper, nil
}

// answer answers until it is told to end.
func answer(ctx context.Context, keeper net.Conn) error {
	if len(os.Args) != 2 {
		return errors.New("it needs the state directory as its argument")
	}
	locked, err := lock(os.Args[1])
	if err != nil {
		return err
	}
	defer locked.Close() //nolint:errcheck // the lock goes with it
	left, err := handover.Read(os.NewFile(wire.ProgramFiles, "what is served"))
	if err != nil {
		return err
	}
	var files []*os.File
	for i := range 2 * len(left.Addresses) { // one for UDP and one for TCP of each
		files = append(files, os.NewFile(uintptr(wire.ProgramFiles+1+i), "socket"))
	}
	udp, tcp, err := handover.Sockets(files)
	if err != nil {
		return err
	}
	defer handover.Close(udp, tcp)
	z, err := zone.New(left.Domain, left.Addresses, left.Table)
	if err != nil {
		return fmt.Errorf("cannot answer for names below %q: %w", left.Domain, err)
	}
	s := server.New(server.Config{Domain: left.Domain, Upstreams: upstream.New(left.ResolvConf, left.Addresses).List, Stubs: left.Stubs})
	s.SetZone(z)
	left = nil // the zone has what is needed
	go attend(keeper)
	return s.Serve(ctx, udp, tcp)
}

// attend tells the keeper that this one lives. Without a keeper it lives on.
func attend(keeper net.Conn) {
	said := []byte{wire.Ping}
	for {
		if _, err := keeper.Write(said); err != nil {
			return
		}
		if n, err := keeper.Read(make([]byte, 1)); err != nil || n == 0 {
			return
		}
	}
}

// lock has the next daemon find this one if its keeper is killed, for as long as the file is open. Where it cannot be had, as in a state
// directory that is full, there is no file: names matter more.
func lock(state string) (*os.File, error) {
	f, err := durable.OpenFile(filepath.Join(state, handover.Lock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil //nolint:nilerr // see above
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, errors.Join(errors.New("another solopod-names answers already"), f.Close())
	}
	return f, nil
}
