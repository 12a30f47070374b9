// Package backoff paces what is done again.
package backoff

import "time"

const (
	// Initial is the kubelet's (pkg/kubelet/kubelet.go).
	Initial = 10 * time.Second
	// Max bounds the doubling, as there.
	Max = 5 * time.Minute
	// resetAfter is how long a container must have run for its next end to count as the first: the kubelet forgets a
	// back-off after twice its maximum (client-go, util/flowcontrol).
	resetAfter = 2 * Max
	// briefly is the first delay of what must not be left undone: signals, deletions, tear-downs.
	briefly = time.Second
)

// Backoff paces what is done again: a container that ended, an effect that failed. The zero value means at once.
type Backoff struct {
	// Delay is how long to wait: after a container's end, or after Set.
	Delay time.Duration `json:"delay,omitempty"`
	// Set is when Delay was last computed.
	Set time.Time `json:"set,omitzero"`
	// Failures counts failures in a row; restarts do not count.
	Failures int `json:"failures,omitempty"`
}

func (b Backoff) expired(finished time.Time) bool {
	return b.Delay == 0 || finished.Sub(b.Set) > resetAfter
}

// Until returns when a container that ended at finished may be restarted; wait is false when that is at once.
func (b Backoff) Until(finished time.Time) (t time.Time, wait bool) {
	if b.expired(finished) {
		return time.Time{}, false
	}
	return finished.Add(b.Delay), true
}

// Next returns the back-off to remember when a container that ended at finished is restarted now.
func (b Backoff) Next(finished, now time.Time) Backoff {
	if b.expired(finished) {
		return Backoff{Delay: Initial, Set: now}
	}
	return Backoff{Delay: min(2*b.Delay, Max), Set: now}
}

// Failed returns the back-off after one more failure: 10 s, doubling to 5 min, as the kubelet's image back-off.
func (b Backoff) Failed(now time.Time) Backoff { return b.failed(now, Initial, Max) }

// FailedBriefly is Failed for what must get done: 1 s, doubling to 30 s.
func (b Backoff) FailedBriefly(now time.Time) Backoff {
	return b.failed(now, briefly, 30*time.Second)
}

func (b Backoff) failed(now time.Time, initial, most time.Duration) Backoff {
	delay := initial
	for range min(b.Failures, 16) {
		delay = min(2*delay, most)
	}
	return Backoff{Delay: delay, Set: now, Failures: b.Failures + 1}
}

// Due is when what has failed may be tried again; zero means at once.
func (b Backoff) Due() time.Time {
	if b.Failures == 0 {
		return time.Time{}
	}
	return b.Set.Add(b.Delay)
}
