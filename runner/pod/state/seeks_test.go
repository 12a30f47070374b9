package state

import (
	"testing"
	"time"
)

func TestSeeks(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		change func(*State)
		want   bool
	}{
		"a new one":                  {func(*State) {}, true},
		"one that was refused":       {func(s *State) { s.NoRoom, s.Retry = "OutOfmemory", Backoff{}.Failed(now) }, true},
		"one that waits for more":    {func(s *State) { s.Retry = Backoff{}.Failed(now) }, false},
		"one that waits for images":  {func(s *State) { s.Images = map[string]*Image{"web:1": {}} }, false},
		"one that has what it needs": {func(s *State) { s.GrantedFor = "revision" }, false},
		"one that is set up":         {func(s *State) { s.SetUp = true }, false},
		"one that goes":              {func(s *State) { s.DeletedAt = now }, false},
		"one that has failed":        {func(s *State) { s.Failed = &Failure{} }, false},
		"one that is drained":        {func(s *State) { s.StopBy = now }, false},
	} {
		var s State
		c.change(&s)
		if got := s.Seeks(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
