package state

import (
	"time"

	"github.com/solopod/solopod/runner/pod/backoff"
)

// Backoff paces what is done again.
type Backoff = backoff.Backoff

// Bounds of back-offs.
const (
	InitialBackoff = backoff.Initial
	MaxBackoff     = backoff.Max
)

// MinimumGrace is the kubelet's: even a grace period of zero, or one that a hook used up, leaves a moment to end in order.
const MinimumGrace = 2 * time.Second
