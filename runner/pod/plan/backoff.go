package plan

import "time"

const (
	// InitialBackoff is the kubelet's (pkg/kubelet/kubelet.go).
	InitialBackoff = 10 * time.Second
	// MaxBackoff bounds the doubling, as there.
	MaxBackoff = 5 * time.Minute
	// resetAfter is how long a container must have run for its next end to count as the first: the kubelet forgets a
	// back-off after twice its maximum (client-go, util/flowcontrol).
	resetAfter = 2 * MaxBackoff
)

// Backoff is the restart back-off of one container. The zero value means that the next restart happens at once.
type Backoff struct {
	// Delay is how long after its end the container waits.
	Delay time.Duration `json:"delay,omitempty"`
	// Set is when Delay was last computed, which is when the container was last restarted.
	Set time.Time `json:"set,omitzero"`
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
		return Backoff{InitialBackoff, now}
	}
	return Backoff{min(2*b.Delay, MaxBackoff), now}
}

// Retry is the delay before failed attempt number n (from 1) at a pull, a creation or a set-up is repeated: 10 s,
// doubling to 5 min, as the kubelet's image back-off.
func Retry(n int) time.Duration {
	if n > 5 {
		return MaxBackoff
	}
	return min(InitialBackoff<<max(n-1, 0), MaxBackoff)
}
