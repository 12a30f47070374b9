// Package keep keeps pipes alive while Solopod is away, by a small process that holds them open (solopod-keep).
//
// The process is started with the first pipe, outlives Solopod, serves the next Solopod of the same state directory, and
// ends when nothing is left to hold and nobody is connected. If it is killed, it is started again and told everything
// anew.
package keep

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep/wire"
)

// File is a pipe to be held open.
type File struct {
	Path  string
	Flags int // of open(2)
}

// Keeper is the connection to the process. It is safe for concurrent use.
type Keeper struct {
	socket, program string

	// OnStart is told of a process that was started, before it is given anything to hold. Its failure is logged.
	OnStart func(pid int) error

	mu     sync.Mutex
	conn   *net.UnixConn
	held   map[string][]File
	closed bool
	broken bool // it was said that no keeper can be had
	done   sync.WaitGroup
}

// New prepares a Keeper whose process listens on a socket in dir; nothing is started yet. program is the path of
// solopod-keep. The caller owns the Keeper and must Close it.
func New(dir, program string) *Keeper {
	return &Keeper{socket: filepath.Join(dir, "keep.sock"), program: program, held: map[string][]File{}}
}

// Hold keeps the files open until Drop, in place of older ones with the same key. A failure is logged, once: what is
// held matters only when Solopod ends at an unlucky moment.
func (k *Keeper) Hold(key string, files []File) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[key] = files
	if k.conn == nil {
		k.connect() // and this key with the others
		return
	}
	k.hold(key, files)
}

// Drop lets go of the files.
func (k *Keeper) Drop(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, key)
	k.send(wire.Drop, key, nil)
}

// Only lets go of everything that an earlier Solopod held and this one has not asked for.
func (k *Keeper) Only() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		conn, err := k.dial()
		if err != nil {
			return // there is none, so it holds nothing
		}
		k.use(conn)
	}
	k.send(wire.Only, "", nil)
}

// Close lets go of the process, which goes on.
func (k *Keeper) Close() {
	k.mu.Lock()
	k.closed = true
	if k.conn != nil {
		k.conn.Close() //nolint:errcheck // only written to
	}
	k.mu.Unlock()
	k.done.Wait()
}

// connect finds or starts the process and names everything to it. k.mu is held.
func (k *Keeper) connect() {
	conn, err := k.dial()
	if err != nil {
		if err = k.start(); err == nil {
			conn, err = k.dial()
		}
	}
	if err != nil {
		if !k.broken {
			slog.Warn("what a container says last may be lost if it ends while Solopod is down", "err", err)
		}
		k.broken = true
		return
	}
	k.broken = false
	k.use(conn)
	for key, files := range k.held {
		k.hold(key, files)
	}
}

func (k *Keeper) dial() (*net.UnixConn, error) {
	return net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: k.socket, Net: "unixpacket"})
}

// use takes a connection and notices its end. k.mu is held.
func (k *Keeper) use(conn *net.UnixConn) {
	k.conn = conn
	k.done.Go(func() {
		conn.Read(make([]byte, 1)) //nolint:errcheck // the keeper never writes: this is its end, or ours
		k.mu.Lock()
		defer k.mu.Unlock()
		conn.Close() //nolint:errcheck // only written to
		k.conn = nil
		if !k.closed && len(k.held) > 0 {
			slog.Warn("the process that keeps containers' output ended; it is started again")
			k.connect()
		}
	})
}

// start starts the process with the socket to listen on.
func (k *Keeper) start() error {
	if err := os.Remove(k.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: k.socket, Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("cannot listen for the keeper: %w", err)
	}
	l.SetUnlinkOnClose(false)
	defer l.Close() //nolint:errcheck // the keeper has its own
	file, err := l.File()
	if err != nil {
		return fmt.Errorf("cannot listen for the keeper: %w", err)
	}
	defer file.Close() //nolint:errcheck // the keeper has its own
	cmd := exec.Command(k.program, filepath.Dir(k.socket))
	cmd.ExtraFiles = []*os.File{file} // the descriptor wire.Listener
	// Signals to Solopod's process group are not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=10"} // small rather than fast
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the keeper: %w", err)
	}
	if k.OnStart != nil {
		if err := k.OnStart(cmd.Process.Pid); err != nil {
			slog.Warn("the process that keeps containers' output stays with the daemon's", "err", err)
		}
	}
	go cmd.Wait() //nolint:errcheck // reaped when it ends; the connection tells
	return nil
}

// hold opens the files and sends them. k.mu is held.
func (k *Keeper) hold(key string, files []File) {
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd) //nolint:errcheck // the keeper has its own
		}
	}()
	for _, f := range files {
		fd, err := unix.Open(f.Path, f.Flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			slog.Debug("cannot keep a container's output", "file", f.Path, "err", err)
			return
		}
		fds = append(fds, fd)
	}
	k.send(wire.Hold, key, unix.UnixRights(fds...))
}

// send writes one message; a keeper that is gone is noticed by use. k.mu is held.
func (k *Keeper) send(op byte, key string, rights []byte) {
	if k.conn == nil {
		return
	}
	if _, _, err := k.conn.WriteMsgUnix(append([]byte{op}, key...), rights, nil); err != nil {
		slog.Debug("cannot reach the process that keeps containers' output", "err", err)
	}
}
