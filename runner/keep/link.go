package keep

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/keep/wire"
)

const (
	// sendLimit is how long the process may take to have room for a message: it does nothing but read them.
	sendLimit = time.Second
	// A process that cannot be had or does not answer is tried again after these, doubled each time.
	firstRetry, lastRetry = time.Second, 10 * time.Second
)

// link is the goroutine of a Keeper that starts the process and talks to it.
type link struct {
	k     *Keeper
	conn  *net.UnixConn
	gone  chan struct{} // closed when the process has ended
	since time.Time     // when it was connected to
	// speaks is what the process answered to wire.Ask: zero for one of an earlier version, and for one that does not answer.
	speaks *atomic.Int32
	former *net.UnixConn // to a process that is replaced, until its successor was told everything

	broken bool // it was said that it cannot be had
	delay  time.Duration
	next   time.Time // when it is tried again
}

// run tells the process what is noted until the Keeper is closed.
func (l *link) run() {
	defer close(l.k.done)
	for {
		var retry <-chan time.Time
		if wait := time.Until(l.next); wait > 0 {
			retry = time.After(wait)
		} else if !l.tell() {
			continue
		}
		select {
		case <-l.k.closing:
			l.end()
			return
		case <-l.gone:
			l.lost()
		case <-l.k.wake:
		case <-retry:
		}
	}
}

// end tells the rest and lets go of the process.
func (l *link) end() {
	l.tell()
	changes, _ := l.k.take()
	for _, c := range changes {
		c.close()
	}
	if l.conn != nil {
		l.conn.Close() //nolint:errcheck // only asked once
	}
	l.letGo()
	l.k.release()
}

// letGo lets go of a process that was replaced: it ends, as nobody can connect to it any more.
func (l *link) letGo() {
	if l.former != nil {
		l.former.Close() //nolint:errcheck // only asked once
		l.former = nil
	}
}

// lost: the process has ended.
func (l *link) lost() {
	l.conn.Close() //nolint:errcheck // only asked once
	l.conn, l.gone = nil, nil
	if !l.k.needed() {
		return
	}
	slog.Warn("the process that keeps containers' output ended; it is started again")
	if time.Since(l.since) < firstRetry { // it may do so again and again
		l.next = time.Now().Add(firstRetry)
	}
	l.k.anew()
	l.k.wakeUp()
}

// tell tells the process what is noted; it is false when that has to be tried again.
func (l *link) tell() bool {
	changes, only := l.k.take()
	if len(changes) == 0 && !only {
		return true
	}
	if l.conn == nil {
		l.k.giveBack(changes, only)
		if err := l.connect(l.k.needed()); err != nil {
			return l.failed(err)
		}
		if l.conn == nil {
			return l.k.forget() // there is no process, so it holds nothing
		}
		l.k.anew()
		changes, only = l.k.take()
	}
	if err := l.tellOf(changes); err != nil {
		l.k.giveBack(changes, only)
		return l.failed(err)
	}
	l.k.giveBack(changes, false) // what this process does not understand is for its successor
	if only && l.speaks.Load() < wire.Protocol && l.replace() {
		return false
	}
	if only {
		if err := l.send([]byte{l.only()}, nil); err != nil {
			l.k.giveBack(nil, true)
			return l.failed(err)
		}
	}
	if l.broken {
		slog.Info("the process that keeps containers' output answers again")
	}
	l.letGo()
	l.broken, l.delay = false, 0
	return true
}

// tellOf tells of changes, and leaves in them what could not be told.
func (l *link) tellOf(changes map[string]change) error {
	for key, c := range changes {
		if c.operation != wire.Hold && c.operation != wire.Drop && l.speaks.Load() < wire.Protocol {
			continue
		}
		text, rights := c.message(key)
		if err := l.send(text, rights); err != nil {
			return err
		}
		if c.operation == wire.Serve && c.leave {
			if err := l.send(append([]byte{wire.Leave}, key...), nil); err != nil {
				return err
			}
		}
		l.k.tell(key, c.holds())
		c.close()
		delete(changes, key)
	}
	return nil
}

// only is how the process is told to let go of what this one has not named.
func (l *link) only() byte {
	if l.speaks.Load() < wire.Protocol {
		return wire.Only
	}
	return wire.OnlyHeld
}

// replace has another process take the place of one that an earlier version has started, or that does not answer, and has it told
// everything. By now this one has named all that the former has to keep.
func (l *link) replace() bool {
	if unix.Access(l.k.program, unix.X_OK) != nil || l.former != nil { // the former goes on; or the successor does not answer either
		return false
	}
	slog.Info("the process that keeps containers' output is of an earlier version, or does not answer; another takes its place")
	l.letGo()
	l.former, l.conn, l.gone = l.conn, nil, nil
	l.k.giveBack(nil, true)
	err := l.start()
	if err == nil {
		var conn *net.UnixConn
		if conn, err = l.dial(); err == nil {
			l.use(conn, true)
			l.k.anew()
			return true
		}
	}
	return !l.failed(err)
}

// failed says once that there is no process to tell, and when it is tried again.
func (l *link) failed(err error) bool {
	if !l.broken {
		slog.Warn("what a container says last may be lost if it ends while Solopod is down", "err", err)
	}
	l.broken = true
	l.delay = min(max(2*l.delay, firstRetry), lastRetry)
	l.next = time.Now().Add(l.delay)
	return false
}

func (l *link) send(text, rights []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return err
	}
	if _, _, err := l.conn.WriteMsgUnix(text, rights, nil); err != nil {
		return fmt.Errorf("the process that keeps containers' output does not answer: %w", err)
	}
	return nil
}

// connect finds the process, or starts it if it is needed.
func (l *link) connect(needed bool) error {
	conn, err := l.dial()
	if err != nil && !needed {
		return nil
	}
	started := err != nil
	if err != nil {
		if err = l.start(); err == nil {
			conn, err = l.dial()
		}
	}
	if err != nil {
		return err
	}
	l.use(conn, started)
	return nil
}

// use takes a connection to a process, and learns what that speaks. One that was just started is of this version.
func (l *link) use(conn *net.UnixConn, started bool) {
	gone, answered, speaks := make(chan struct{}), make(chan struct{}), &atomic.Int32{}
	l.conn, l.gone, l.speaks, l.since = conn, gone, speaks, time.Now()
	go func() {
		defer close(gone)
		answer := make([]byte, 1)
		if n, err := conn.Read(answer); err == nil && n > 0 {
			speaks.Store(int32(answer[0]))
			close(answered)
			conn.Read(answer) //nolint:errcheck // nothing else is asked: this is the process's end, or that of the connection
		}
	}()
	if started {
		speaks.Store(wire.Protocol)
		return
	}
	if l.send([]byte{wire.Ask}, nil) != nil {
		return // it shows with the next message
	}
	select {
	case <-answered:
	case <-gone:
	case <-time.After(sendLimit):
	}
}

func (l *link) dial() (*net.UnixConn, error) {
	d := net.Dialer{Timeout: sendLimit}
	conn, err := d.Dial("unixpacket", l.k.socket)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

// start starts the process with the socket to listen on.
func (l *link) start() error {
	socket := l.k.socket
	if err := foreign.RemoveAll(socket); err != nil {
		return err
	}
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: socket, Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("cannot listen for the keeper: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close()                          //nolint:errcheck // the keeper has its own
	if err := os.Chmod(socket, 0o600); err != nil { // whatever the umask; nobody is connected yet
		return fmt.Errorf("cannot keep others from the keeper's socket: %w", err)
	}
	file, err := listener.File()
	if err != nil {
		return fmt.Errorf("cannot listen for the keeper: %w", err)
	}
	defer file.Close() //nolint:errcheck // the keeper has its own
	cmd := exec.Command(l.k.program, filepath.Dir(socket))
	cmd.ExtraFiles = []*os.File{file} // the descriptor wire.Listener
	// Signals to Solopod's process group are not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=10"} // small rather than fast
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the keeper: %w", err)
	}
	if l.k.OnStart != nil {
		if err := l.k.OnStart(cmd.Process.Pid); err != nil {
			slog.Warn("the process that keeps containers' output stays with the daemon's", "err", err)
		}
	}
	go cmd.Wait() //nolint:errcheck // reaped when it ends; the connection tells
	return nil
}
