// Command solopod-keep keeps file descriptors open while Solopod is away.
//
// The kernel throws a pipe's content away when nobody has it open. A container that ends while Solopod is down would so
// lose its last words, which are the ones that matter. Solopod starts one keeper for all containers and hands it the
// reading ends. It is a program of its own, and as plain as can be, to be small: it lives as long as a container does.
//
// Sockets that Solopod serves are kept likewise, and while there is no Solopod a program is run that serves them.
package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep/wire"
)

func main() {
	k := keeper{
		held: map[string][]int{}, named: map[int]map[string]bool{},
		message: make([]byte, wire.MaxMessage), control: make([]byte, unix.CmsgSpace(4*wire.MaxFiles)),
	}
	raiseLimit()
	if err := k.run(); err != nil {
		os.Stderr.WriteString("solopod-keep: " + err.Error() + "\n") //nolint:errcheck // nothing is left to tell it to
		os.Exit(1)
	}
}

// raiseLimit allows as many descriptors as root may have.
func raiseLimit() {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) == nil {
		l.Cur = l.Max
		unix.Setrlimit(unix.RLIMIT_NOFILE, &l) //nolint:errcheck // the limit stays as it was
	}
}

type keeper struct {
	held map[string][]int
	// named: connection -> the keys that it has asked to hold.
	named map[int]map[string]bool
	// service is what is served; nil when nothing is, and no program of it is left.
	service *service
	// Buffers of the message at hand.
	message, control []byte
}

// run serves until nothing is held and nobody is connected, or nobody can connect any more: another keeper has taken the place
// of the socket, or that is gone before anybody has connected: who started this one was killed.
func (k *keeper) run() error {
	connected, path := false, socketPath()
	socket := inode(path)
	for !connected || len(k.named) > 0 || len(k.held) > 0 || k.service != nil || readable(wire.Listener) {
		if now := inode(path); len(k.named) == 0 && (now != 0 && now != socket || now == 0 && !connected) {
			k.service.abandon()
			return nil
		}
		ready, err := k.wait()
		if err != nil {
			return err
		}
		for _, fd := range ready {
			if fd != wire.Listener {
				k.receive(fd)
				continue
			}
			conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err == nil {
				k.named[conn], connected = map[string]bool{}, true
			}
		}
	}
	return nil
}

// lookAgain is how often, in milliseconds, a keeper without a connection looks whether it was replaced.
const lookAgain = 3_000

func socketPath() string {
	if len(os.Args) < 2 {
		return ""
	}
	return os.Args[1] + "/" + wire.Socket
}

// inode is 0 when there is no such file.
func inode(path string) uint64 {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0
	}
	return st.Ino
}

// wait does what is due for what is served, and returns the connections on which something has come, and the listener.
func (k *keeper) wait() (ready []int, err error) {
	fds := []unix.PollFd{{Fd: wire.Listener, Events: unix.POLLIN}}
	for conn := range k.named {
		fds = append(fds, unix.PollFd{Fd: int32(conn), Events: unix.POLLIN})
	}
	timeout := -1
	if len(k.named) == 0 {
		timeout = lookAgain
	}
	own := len(fds)
	had := k.service != nil
	due := k.lookAfter()
	if k.service != nil {
		if due >= 0 && (timeout < 0 || due < timeout) {
			timeout = due
		}
		if k.service.pid != 0 && k.service.control >= 0 {
			fds = append(fds, unix.PollFd{Fd: int32(k.service.control), Events: unix.POLLIN}) // looked after in the next round
		}
	} else if had {
		timeout = 0 // it may have been the last thing that is kept
	}
	if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR {
		return nil, err
	}
	for _, f := range fds[:own] {
		if f.Revents != 0 {
			ready = append(ready, int(f.Fd))
		}
	}
	return ready, nil
}

// lookAfter has what is due done for what is served, and says in how many milliseconds the next is; -1 when nothing is.
func (k *keeper) lookAfter() int {
	if k.service == nil {
		return -1
	}
	now := time.Now()
	next := k.service.look(now)
	if k.service.dropped && k.service.pid == 0 {
		k.service = nil
		return -1
	}
	if next.IsZero() {
		return -1
	}
	return max(int(next.Sub(now).Milliseconds())+1, 0)
}

func (k *keeper) receive(conn int) {
	n, cn, _, _, err := unix.Recvmsg(conn, k.message, k.control, unix.MSG_CMSG_CLOEXEC)
	if err == unix.EINTR {
		return
	}
	fds := rights(k.control[:max(cn, 0)])
	if err != nil || n == 0 {
		unix.Close(conn) //nolint:errcheck // the other side is gone
		delete(k.named, conn)
		k.service.leave(conn)
		closeAll(fds)
		return
	}
	key := string(k.message[1:n])
	switch k.message[0] {
	case wire.Hold:
		k.named[conn][key] = true
		k.drop(key) // the new ones are open already, so a pipe that is named again loses nothing
		k.held[key], fds = fds, nil
	case wire.Drop:
		k.drop(key)
	case wire.Only, wire.OnlyHeld:
		for key := range k.held {
			if !k.named[conn][key] {
				k.drop(key)
			}
		}
		if s := k.service; s != nil && k.message[0] == wire.Only && s.client != conn {
			s.drop()
		}
	default:
		fds = k.serving(conn, k.message[0], key, fds)
	}
	closeAll(fds)
}

// serving does what concerns what is served, and returns the descriptors that it did not take.
func (k *keeper) serving(conn int, operation byte, key string, fds []int) []int {
	switch operation {
	case wire.Ask:
		send(conn, []byte{wire.Protocol}, nil)
	case wire.Serve:
		if k.service == nil {
			k.service = &service{control: -1}
		}
		k.service.take(conn, key, fds)
		return nil
	case wire.Leave:
		if k.service.has(key) {
			k.service.leave(conn)
		}
	case wire.Take:
		k.catchUp(conn)
		if s := k.service; s.has(key) {
			send(conn, append([]byte{wire.Take}, s.failure...), unix.UnixRights(s.fds...))
			s.failure = ""
		} else {
			send(conn, []byte{wire.Take}, nil)
		}
	}
	return fds
}

// catchUp takes what other connections have said before: an earlier client, which was killed, may have handed over what this one asks for.
func (k *keeper) catchUp(except int) {
	message, control := k.message, k.control
	k.message, k.control = make([]byte, len(message)), make([]byte, len(control)) // the others are in use
	for conn := range k.named {
		for conn != except && k.named[conn] != nil && readable(conn) {
			k.receive(conn)
		}
	}
	k.message, k.control = message, control
}

// readable: something has come, which can be had without a wait.
func readable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// send answers; who does not take it at once goes without.
func send(conn int, text, rights []byte) {
	unix.Sendmsg(conn, text, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) //nolint:errcheck // who has asked gives up after a while
}

func (k *keeper) drop(key string) {
	if k.service.has(key) {
		k.service.drop()
	}
	closeAll(k.held[key])
	delete(k.held, key)
}

func rights(control []byte) []int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var all []int
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd) //nolint:errcheck // only held
	}
}
