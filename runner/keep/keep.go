// Package keep keeps pipes alive while Solopod is away, by a small process that holds them open (solopod-keep), and has a program serve
// sockets meanwhile.
//
// The process is started with the first pipe, outlives Solopod, serves the next Solopod of the same state directory, and
// ends when nothing is left to hold and nobody is connected. If it is killed, it is started again and told everything
// anew. It is not needed for a pod to start or to end: nobody waits for it but the goroutine that talks to it, and while it
// cannot be had, or does not answer, pods go on without it. One that an earlier version has started serves on as long as it
// holds what only it has; then it is replaced (Only).
package keep

import (
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep/wire"
)

// File is a pipe to be held open.
type File struct {
	Path  string
	Flags int // of open(2)
}

// Keeper is the connection to the process. It is safe for concurrent use, and no method waits for the process but Close.
type Keeper struct {
	socket, program string

	// OnStart is told of a process that was started, before it is given anything to hold. Its failure is logged.
	OnStart func(pid int) error

	mu      sync.Mutex
	held    map[string][]File
	served  map[string]Service
	pending map[string]change // what the process is not told yet
	told    map[string]bool   // what the process holds of that
	only    bool              // Only is to be told
	asked   bool              // Only was called: what is not in held is nobody's
	closed  bool
	wake    chan struct{}
	begin   sync.Once
	closing chan struct{}
	done    chan struct{}
}

// change is what the process is to be told of a key: to drop it, to hold open descriptors, to serve them, or that they are left.
type change struct {
	operation byte
	fds       []int
	program   string // with its argument, as the message has it
	leave     bool   // the program is to serve at once
	always    bool   // also what an earlier Solopod has left is meant
}

// holds: the process has something of the key afterwards.
func (c change) holds() bool {
	return c.operation == wire.Hold || c.operation == wire.Serve || c.operation == wire.Leave
}

func (c change) close() {
	for _, fd := range c.fds {
		unix.Close(fd) //nolint:errcheck // only held
	}
}

// New prepares a Keeper whose process listens on a socket in dir; nothing is started yet. program is the path of
// solopod-keep. The caller owns the Keeper and must Close it.
func New(dir, program string) *Keeper {
	return &Keeper{
		socket: filepath.Join(dir, wire.Socket), program: program, held: map[string][]File{}, served: map[string]Service{}, pending: map[string]change{}, told: map[string]bool{},
		wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
	}
}

// Hold keeps the files open until Drop, in place of older ones with the same key. They are open when it returns, and with the
// process soon after. A failure is logged, once: what is held matters only when Solopod ends at an unlucky moment.
func (k *Keeper) Hold(key string, files []File) {
	fds := open(files)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		change{fds: fds}.close()
		return
	}
	k.held[key] = files
	k.put(key, change{operation: wire.Hold, fds: fds})
}

// Drop lets go of what is held or served.
func (k *Keeper) Drop(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	delete(k.held, key)
	k.unserve(key)
	k.put(key, change{operation: wire.Drop})
}

// Only lets go of everything that an earlier Solopod held and this one has not asked for. What is served goes on until Serve or Drop.
func (k *Keeper) Only() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.only, k.asked = true, true
	k.run()
}

// put notes what is to be told, in place of what was to be told before. k.mu is held.
func (k *Keeper) put(key string, c change) {
	k.pending[key].close()
	if !c.holds() && !k.told[key] {
		delete(k.pending, key) // nor has it to be told: while a process is stuck, these would pile up
		return
	}
	k.pending[key] = c
	k.run()
}

// run wakes the goroutine that tells it, and starts it the first time. k.mu is held.
func (k *Keeper) run() {
	if k.closed {
		return
	}
	k.begin.Do(func() { go (&link{k: k}).run() })
	k.wakeUp()
}

func (k *Keeper) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// closeLimit is how long Close waits for the process to be told what it has not been told.
const closeLimit = 2 * time.Second

// Close lets go of the process, which goes on. What is noted is told before, if that is possible at once.
func (k *Keeper) Close() {
	k.mu.Lock()
	first := !k.closed
	k.closed = true
	k.begin.Do(func() { close(k.done) }) // nothing was ever to be told
	k.mu.Unlock()
	if first {
		close(k.closing)
	}
	select {
	case <-k.done:
	case <-time.After(closeLimit):
		slog.Warn("the process that keeps containers' output does not answer; it is left behind")
	}
}

// open opens the files; a FIFO never waits. Without all of them there is nothing to hold.
func open(files []File) []int {
	var fds []int
	for _, f := range files {
		fd, err := unix.Open(f.Path, f.Flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		if err != nil {
			slog.Debug("cannot keep a container's output", "file", f.Path, "err", err)
			change{fds: fds}.close()
			return nil
		}
		fds = append(fds, fd)
	}
	return fds
}

// take returns what is to be told.
func (k *Keeper) take() (changes map[string]change, only bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	changes, only = k.pending, k.only
	k.pending, k.only = map[string]change{}, false
	return changes, only
}

// forget: there is nobody to be told anything. It is false when meanwhile something has come that is to be held.
func (k *Keeper) forget() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.held) > 0 || len(k.served) > 0 {
		return false
	}
	k.pending, k.only = map[string]change{}, false
	return true
}

// giveBack notes again what could not be told, unless there is something newer.
func (k *Keeper) giveBack(changes map[string]change, only bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.only = k.only || only
	for key, c := range changes {
		_, newer := k.pending[key]
		if newer || c.holds() && !k.wanted(key) {
			c.close()
		} else {
			k.pending[key] = c
		}
	}
}

// tell notes what a process was told. A key that was dropped meanwhile, when the process was not told of it yet, is dropped now.
func (k *Keeper) tell(key string, hold bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !hold {
		delete(k.told, key)
		return
	}
	k.told[key] = true
	if !k.wanted(key) {
		k.pending[key] = change{operation: wire.Drop}
		k.wakeUp()
	}
}

// anew has everything told again, on a new connection. What the process of it held before goes with Only.
func (k *Keeper) anew() {
	k.mu.Lock()
	k.told, k.only = map[string]bool{}, k.only || k.asked
	closed := map[string][]File{}
	for key, files := range k.held {
		if !k.pending[key].holds() {
			closed[key] = files
		}
	}
	for key, c := range k.pending {
		if !c.holds() && !c.always {
			delete(k.pending, key)
		}
	}
	for key, s := range k.served {
		if k.pending[key].operation != wire.Serve {
			k.pending[key] = s.change()
		}
	}
	k.mu.Unlock()
	for key, files := range closed {
		k.giveBack(map[string]change{key: {operation: wire.Hold, fds: open(files)}}, false)
	}
}

// wanted: the key is held or served. k.mu is held.
func (k *Keeper) wanted(key string) bool {
	_, held := k.held[key]
	_, served := k.served[key]
	return held || served
}

// release closes what is kept for a process that is let go of.
func (k *Keeper) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.served {
		k.unserve(key)
	}
}

// needed says whether anything is to be held.
func (k *Keeper) needed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.held) > 0 || len(k.served) > 0
}

// message is how the process is told of a change.
func (c change) message(key string) (text, rights []byte) {
	text = append([]byte{c.operation}, key...)
	if c.operation == wire.Serve {
		text = append(text, c.program...)
	}
	if len(c.fds) > 0 {
		rights = unix.UnixRights(c.fds...)
	}
	return text, rights
}
