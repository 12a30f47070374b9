package server

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Bounds of queries by UDP that are answered.
const (
	window    = time.Second
	maxWindow = 20000 // queries of a client in a window; fewer in a shorter one would not be even if the machine is busy elsewhere
	slots     = 1024
)

// shares keeps one client's flood of queries from costing more than their reading, so that others are answered beside it. It takes the
// same room however many clients there are: by a hash that nobody can foretell, some share a slot.
type shares struct {
	seed  maphash.Seed
	since time.Time
	taken [slots]uint32
}

func newShares() *shares { return &shares{seed: maphash.MakeSeed()} }

// take says whether a client's query is to be answered.
func (s *shares) take(client netip.Addr, now time.Time) bool {
	if now.Sub(s.since) >= window {
		s.since = now
		clear(s.taken[:])
	}
	n := &s.taken[maphash.Comparable(s.seed, client)%slots]
	if *n >= maxWindow {
		return false
	}
	*n++
	return true
}
