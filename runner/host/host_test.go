package host

import (
	"testing"
	"time"
)

// Within a second the boot does not move from one second to the next.
func TestBooted(t *testing.T) {
	first := Booted()
	if since := time.Since(first); since <= 0 {
		t.Errorf("the machine was booted in %s", -since)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 20 {
		<-tick.C
		if again := Booted(); !again.Equal(first) {
			t.Fatalf("the machine was booted at %s, and at %s", first, again)
		}
	}
}
