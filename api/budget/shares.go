package budget

import (
	"sync"
	"time"
)

// Shares divides things that are many, such as streams, among clients.
type Shares struct {
	limits Limits
	mu     sync.Mutex
	total  int
	of     map[string]int
}

// NewShares divides as many as the limits say.
func NewShares(l Limits) *Shares { return &Shares{limits: l, of: map[string]int{}} }

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

// Take takes one for a client. With Yes the caller must call give when it is over.
func (s *Shares) Take(client string) (give func(), v Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.of[client] >= s.limits.Each:
		return nil, ClientFull
	case s.total >= s.limits.Total:
		return nil, AllFull
	}
	s.total++
	s.of[client]++
	return func() { s.give(client) }, Yes
}

func (s *Shares) give(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.of[client]--; s.of[client] == 0 {
		delete(s.of, client)
	}
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
