package budget

import (
	"sync"
	"time"
)

// tally counts what clients have of one kind of thing.
type tally struct {
	limits Limits
	total  int
	of     map[string]int // by client
}

func newTally(l Limits) tally { return tally{limits: l, of: map[string]int{}} }

// Verdict is an answer to who wants one more.
type Verdict int

const (
	// Yes says that there is one.
	Yes Verdict = iota
	// ClientFull says that the client has its share.
	ClientFull
	// AllFull says that there is none left for anybody.
	AllFull
)

// may says whether a client may have one more.
func (t *tally) may(client string) Verdict {
	switch {
	case t.of[client] >= t.limits.Each:
		return ClientFull
	case t.total >= t.limits.Total:
		return AllFull
	}
	return Yes
}

func (t *tally) add(client string) {
	t.total++
	t.of[client]++
}

func (t *tally) remove(client string) {
	t.total--
	if t.of[client]--; t.of[client] == 0 {
		delete(t.of, client)
	}
}

// Shares divides things that are many, such as streams, among clients.
type Shares struct {
	mu sync.Mutex
	tally
}

// NewShares divides as many as the limits say.
func NewShares(l Limits) *Shares { return &Shares{tally: newTally(l)} }

// Take takes one for a client. With Yes the caller must call give when it is over.
func (s *Shares) Take(client string) (give func(), v Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v = s.may(client); v != Yes {
		return nil, v
	}
	s.add(client)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.remove(client)
	}, Yes
}

// Told keeps what anybody can bring about from filling the log: it may be told once a minute. The zero value is ready.
type Told struct {
	mu sync.Mutex
	at time.Time
}

// Now says whether it may be told now, and then not for a minute.
func (t *Told) Now() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); t.at.IsZero() || now.Sub(t.at) >= time.Minute {
		t.at = now
		return true
	}
	return false
}
