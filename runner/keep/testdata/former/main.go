// Command former is the keeper of the versions that kept pipes alone, for tests of upgrades and downgrades.
//
// The kernel throws a pipe's content away when nobody has it open. A container that ends while Solopod is down would so
// lose its last words, which are the ones that matter. Solopod starts one keeper for all containers and hands it the
// reading ends. It is a program of its own, and as plain as can be, to be small: it lives as long as a container does.
package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep/wire"
)

func main() {
	k := keeper{
		held: map[string][]int{}, named: map[int]map[string]bool{},
		message: make([]byte, wire.MaxMessage), control: make([]byte, unix.CmsgSpace(4*3)),
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
	// Buffers of the message at hand.
	message, control []byte
}

// run serves until nothing is held and nobody is connected, or nobody can connect any more: another keeper has taken the place
// of the socket.
func (k *keeper) run() error {
	connected, path := false, socketPath()
	socket := inode(path)
	for !connected || len(k.named) > 0 || len(k.held) > 0 {
		if now := inode(path); connected && len(k.named) == 0 && now != 0 && now != socket {
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

func (k *keeper) wait() (ready []int, err error) {
	fds := []unix.PollFd{{Fd: wire.Listener, Events: unix.POLLIN}}
	for conn := range k.named {
		fds = append(fds, unix.PollFd{Fd: int32(conn), Events: unix.POLLIN})
	}
	timeout := -1
	if len(k.named) == 0 {
		timeout = lookAgain
	}
	if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR {
		return nil, err
	}
	for _, f := range fds {
		if f.Revents != 0 {
			ready = append(ready, int(f.Fd))
		}
	}
	return ready, nil
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
	case wire.Only:
		for key := range k.held {
			if !k.named[conn][key] {
				k.drop(key)
			}
		}
	}
	closeAll(fds)
}

func (k *keeper) drop(key string) {
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
