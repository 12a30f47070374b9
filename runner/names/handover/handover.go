// Package handover is what the daemon leaves to the program that answers for names in its place (solopod-names): the sockets, and in a file
// in memory all that the answers are made of.
//
// A file in memory, which the keeper has open, is there for as long as the sockets are: no disk or state directory that is full or emptied
// takes the names away, nothing has to be cleaned up, and nobody else can write it. It may be of an earlier version than the program, or of
// a later one: fields are added and keep their meaning.
package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/served"
)

// Key is the keeper's for what is left.
const Key = "names"

// Program is the name of the program.
const Program = "solopod-names"

// Lock is the name of the file in the state directory that the program has locked while it runs (fcntl(2)).
const Lock = "names.lock"

// Left is what answers are made of.
type Left struct {
	// Domain ends the names of services; Addresses are those at which they are asked for.
	Domain    string       `json:"domain"`
	Addresses []netip.Addr `json:"addresses"`
	// ResolvConf names the servers for the world's names, Stubs those for some zones.
	ResolvConf string                      `json:"resolvConf,omitempty"`
	Stubs      map[string][]netip.AddrPort `json:"stubs,omitempty"`
	Table      *served.Table               `json:"table"`
}

// most bounds what is read, in bytes: thousands of services have some.
const most = 256 << 20

// Write writes it into a file in memory that cannot be changed any more. The caller closes it.
func (l *Left) Write() (*os.File, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("cannot write down what is served: %w", err)
	}
	fd, err := unix.MemfdCreate("solopod-names", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "what is served")
	_, err = f.Write(text)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		f.Close() //nolint:errcheck // it is of no use
		return nil, fmt.Errorf("cannot write a file in memory: %w", err)
	}
	return f, nil
}

// Read reads what was written, as often as it is asked.
func Read(f *os.File) (*Left, error) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, most+1))
	if err == nil && len(text) > most {
		err = errors.New("it is too large")
	}
	l := &Left{}
	if err == nil {
		err = json.Unmarshal(text, l)
	}
	if err == nil && l.Table == nil {
		err = errors.New("it has no table")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what is served: %w", err)
	}
	return l, nil
}

// Sockets makes connections and listeners of sockets. The files stay the caller's, and stay as they are: others have them, too.
func Sockets(files []*os.File) (udp []net.PacketConn, tcp []net.Listener, err error) {
	for _, f := range files {
		var kind int
		if kind, err = unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_TYPE); err == nil && kind == unix.SOCK_DGRAM {
			var conn net.PacketConn
			if conn, err = net.FilePacketConn(f); err == nil {
				udp = append(udp, conn)
			}
		} else if err == nil {
			var listener net.Listener
			if listener, err = net.FileListener(f); err == nil {
				tcp = append(tcp, listener)
			}
		}
		if err != nil {
			Close(udp, tcp)
			return nil, nil, fmt.Errorf("cannot use a socket: %w", err)
		}
	}
	return udp, tcp, nil
}

// Close closes what Sockets has made.
func Close(udp []net.PacketConn, tcp []net.Listener) {
	for _, c := range udp {
		c.Close() //nolint:errcheck // nothing is in it that others would not read
	}
	for _, l := range tcp {
		l.Close() //nolint:errcheck // nothing is in it that others would not accept
	}
}
