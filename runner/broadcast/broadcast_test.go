package broadcast

import "testing"

func TestChanges(t *testing.T) {
	var c Changes
	c.Notify() // nobody is there
	first, cancel := c.Subscribe()
	second, _ := c.Subscribe()
	has := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	if has(first) {
		t.Error("a token of before")
	}
	c.Notify()
	c.Notify()
	if !has(first) || has(first) {
		t.Error("two changes are not one token")
	}
	cancel()
	cancel()
	c.Notify()
	if has(first) || !has(second) || has(second) {
		t.Error("who has gone is told, or who stays is not")
	}
	if len(c.watchers) != 1 {
		t.Errorf("%d are remembered", len(c.watchers))
	}
}
