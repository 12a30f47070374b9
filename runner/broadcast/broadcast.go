// Package broadcast tells all who want to know that something has changed, and waits for none of them.
package broadcast

import "sync"

// Changes has those who want to know. The zero value is ready; it is safe for concurrent use.
type Changes struct {
	mu       sync.Mutex
	watchers map[chan struct{}]bool
}

// Subscribe returns a channel that gets a token at each change from now on; several changes may share one. The caller must call cancel.
func (c *Changes) Subscribe() (changes <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers == nil {
		c.watchers = map[chan struct{}]bool{}
	}
	c.watchers[ch] = true
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, ch)
	}
}

// Notify gives every subscriber a token who has none.
func (c *Changes) Notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Len is how many want to know.
func (c *Changes) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.watchers)
}
