package access

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/api/budget"
	"github.com/solopod/solopod/runner/foreign"
)

// Peer is the process that has connected to the unix socket.
type Peer struct {
	UID uint32
	PID int32
	// Process is its name (proc_pid_comm(5)), which it can choose itself; empty when it had ended before it could be asked.
	Process string
	// LoginUID is the user who has logged in, whom sudo and su do not change (proc_pid_loginuid(5)); nil when the kernel knows none.
	LoginUID *uint32
}

type peerKey struct{}

// WithPeer keeps who is at the other side of a unix socket; it is for an http.Server's ConnContext.
func WithPeer(ctx context.Context, c net.Conn) context.Context {
	var peer Peer
	if budget.OnSocket(c, func(fd int) (err error) { peer, err = peerOf(fd); return err }) != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, peer)
}

// PeerOf finds what WithPeer has kept.
func PeerOf(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(peerKey{}).(Peer)
	return p, ok
}

// peerOf asks the kernel who has connected, and the process for its name.
func peerOf(socket int) (Peer, error) {
	cred, err := unix.GetsockoptUcred(socket, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	p := Peer{UID: cred.Uid, PID: cred.Pid}
	if p.PID <= 0 { // of a namespace that this one does not see
		return p, nil
	}
	process, login := describe(p.PID)
	if isStill(socket, p.PID) {
		p.Process, p.LoginUID = process, login
	}
	return p, nil
}

// isStill says whether the number is the peer's yet, so that what was read under it is not of a process that has got it since. Kernels
// before 6.5 cannot tell: there the process that has connected just now is believed to live.
func isStill(socket int, pid int32) bool {
	fd, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		return errors.Is(err, unix.ENOPROTOOPT) && unix.Kill(int(pid), 0) == nil
	}
	defer unix.Close(fd) //nolint:errcheck // only asked
	return unix.PidfdSendSignal(fd, 0, nil, 0) == nil
}

// maxName bounds the name of a process, in bytes: that of a kernel thread is the longest.
const maxName = 64

func describe(pid int32) (name string, login *uint32) {
	dir := "/proc/" + strconv.Itoa(int(pid))
	if text, err := foreign.ReadKernel(dir + "/comm"); err == nil {
		name = strings.TrimSuffix(string(text[:min(len(text), maxName)]), "\n")
	}
	if text, err := foreign.ReadKernel(dir + "/loginuid"); err == nil {
		if uid, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32); err == nil && uint32(uid) != ^uint32(0) {
			id := uint32(uid)
			login = &id
		}
	}
	return name, login
}

// Socket is for a unix socket: whoever may open it is an admin.
func Socket(r *http.Request) (User, error) {
	if p, ok := PeerOf(r.Context()); ok {
		return User{fmt.Sprintf("uid %d, pid %d", p.UID, p.PID), Admin}, nil
	}
	return User{"the socket", Admin}, nil
}
