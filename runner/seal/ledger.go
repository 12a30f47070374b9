package seal

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/solopod/solopod/runner/turn"
)

// Ledger knows which containers have something sealed. The key lives for as long as there are such: when the last one has gone, what
// disks still have of them cannot be read by anybody. It is safe for concurrent use.
type Ledger struct {
	store *Store    // nil: there is no place for a key
	turn  turn.Turn // who has it makes sure that there is a key, or has it go

	mu       sync.Mutex
	runtimes map[string]string // by container: its OCI runtime, as the store knows it, or empty
	unclear  bool              // there may be others
	told     map[string]bool   // that the key is gone
}

// NewLedger makes an empty one. With a nil store nothing can be sealed.
func NewLedger(s *Store) *Ledger {
	return &Ledger{store: s, turn: newTurn(), runtimes: map[string]string{}, told: map[string]bool{}}
}

// Begin takes what was found at a start: containers with their OCI runtimes; unclear says that there may be others.
func (l *Ledger) Begin(found map[string]string, unclear bool) {
	for id, runtime := range found {
		l.note(id, runtime)
		l.Reach(id)
	}
	l.mu.Lock()
	l.unclear = unclear
	l.mu.Unlock()
	l.drop()
}

func (l *Ledger) note(id, runtime string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runtimes[id] = runtime
}

// Take returns the key for a container, and the path by which its OCI runtime is to be called. Both stay until it is forgotten.
func (l *Ledger) Take(id, runtime string) (key *Key, path string, err error) {
	if l.store == nil {
		return nil, "", errors.New("cannot create a container with values of Secrets: there is no place for their key")
	}
	give, err := l.turn.Take(context.Background())
	if err != nil {
		return nil, "", err
	}
	defer give()
	l.note(id, runtime)
	if key, err = l.store.Key(); err == nil {
		path, err = l.store.Runtime(runtime)
	}
	return key, path, err
}

// Reach makes sure that the shim finds the OCI runtime of a container, should the state directory have been emptied.
func (l *Ledger) Reach(id string) {
	l.mu.Lock()
	name := l.runtimes[id]
	l.mu.Unlock()
	if name == "" || l.store == nil {
		return
	}
	if _, err := l.store.Runtime(name); err != nil {
		slog.Warn("the OCI runtime of a container cannot be reached", "id", id, "err", err)
	}
}

// Forget is called when a container is gone.
func (l *Ledger) Forget(id string) {
	l.mu.Lock()
	_, had := l.runtimes[id]
	delete(l.runtimes, id)
	delete(l.told, id)
	l.mu.Unlock()
	if had {
		l.drop()
	}
}

// drop has the key go when no container needs it.
func (l *Ledger) drop() {
	if l.store == nil {
		return
	}
	give, err := l.turn.Take(context.Background())
	if err == nil {
		defer give()
		if l.needed() {
			return
		}
		err = l.store.Drop()
	}
	if err != nil {
		slog.Warn("a key that is of no use any more is left", "err", err)
	}
}

func (l *Ledger) needed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unclear || len(l.runtimes) > 0
}

// Open opens an environment that was sealed for a container. Where that cannot be done, it says so once in the log, and ok is false.
func (l *Ledger) Open(id string, env []string) (p Process, ok bool) {
	l.Reach(id)
	err := ErrNoKey
	if l.store != nil {
		var key *Key
		if key, err = l.store.Existing(); err == nil {
			p, err = key.Open(env)
		}
	}
	if err != nil && l.firstTime(id) {
		slog.Warn("commands in a container run without the variables of its manifest, until it is made anew", "id", id, "err", err)
	}
	return p, err == nil
}

func (l *Ledger) firstTime(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.told[id]
	l.told[id] = true
	return first
}
