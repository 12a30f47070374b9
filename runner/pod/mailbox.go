package pod

import (
	"sync"

	"github.com/solopod/solopod/runner/pod/state"
)

// message is an event, or a question.
type message struct {
	event state.Event
	// begun is closed when the plan that follows the event was made; settled when the pod is not just being brought up.
	begun, settled chan<- struct{}
}

// mailbox is an unbounded queue: those who report never wait for a worker.
type mailbox struct {
	mu     sync.Mutex
	queue  []message
	closed bool
	signal chan struct{}
}

func newMailbox() mailbox { return mailbox{signal: make(chan struct{}, 1)} }

// put adds a message; one to a worker that has ended is answered at once, and false returned.
func (b *mailbox) put(m message) bool {
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.queue = append(b.queue, m)
	}
	b.mu.Unlock()
	if closed {
		m.answer()
		return false
	}
	select {
	case b.signal <- struct{}{}:
	default:
	}
	return true
}

func (m message) answer() {
	for _, ch := range []chan<- struct{}{m.begun, m.settled} {
		if ch != nil {
			close(ch)
		}
	}
}

// putBack adds messages in front of the others.
func (b *mailbox) putBack(list []message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(list, b.queue...)
}

func (b *mailbox) takeAll() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	queue := b.queue
	b.queue = nil
	return queue
}

// close ends the mailbox if nothing in it asks for the pod; with force in any case. It returns what is left.
func (b *mailbox) close(force bool) (left []message, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.queue {
		if d, isDesired := m.event.(state.Desired); isDesired && d.Pod != nil && !force {
			return nil, false
		}
	}
	b.closed = true
	left, b.queue = b.queue, nil
	return left, true
}
