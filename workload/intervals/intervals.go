// Package intervals keeps many whole numbers in little room, where most of them follow each other: 0-57,60. It is pure.
package intervals

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Set is a set of numbers from 0 up. The zero value is empty. Its text is like that of a Job's completedIndexes in Kubernetes.
type Set struct{ spans []span }

// span holds the numbers from first to last, both included.
type span struct{ first, last int }

// Add adds a number that is not negative.
func (s *Set) Add(n int) {
	at, found := s.find(n)
	if found {
		return
	}
	before, after := at > 0 && s.spans[at-1].last == n-1, at < len(s.spans) && s.spans[at].first == n+1
	switch {
	case before && after:
		s.spans[at-1].last = s.spans[at].last
		s.spans = slices.Delete(s.spans, at, at+1)
	case before:
		s.spans[at-1].last = n
	case after:
		s.spans[at].first = n
	default:
		s.spans = slices.Insert(s.spans, at, span{n, n})
	}
}

// find returns the first span that does not end before n, and whether n is in it.
func (s *Set) find(n int) (at int, found bool) {
	at, _ = slices.BinarySearchFunc(s.spans, n, func(p span, n int) int { return p.last - n })
	return at, at < len(s.spans) && s.spans[at].first <= n
}

// Has says whether the set has a number.
func (s *Set) Has(n int) bool {
	_, found := s.find(n)
	return found
}

// Len is how many numbers there are.
func (s *Set) Len() int {
	n := 0
	for _, p := range s.spans {
		n += p.last - p.first + 1
	}
	return n
}

// Max is the largest number; -1 of an empty set.
func (s *Set) Max() int {
	if len(s.spans) == 0 {
		return -1
	}
	return s.spans[len(s.spans)-1].last
}

// Clone is a set of the same numbers.
func (s *Set) Clone() Set { return Set{slices.Clone(s.spans)} }

// String is the text of the set: 0-57,60.
func (s *Set) String() string {
	parts := make([]string, 0, len(s.spans))
	for _, p := range s.spans {
		part := strconv.Itoa(p.first)
		if p.last > p.first {
			part += "-" + strconv.Itoa(p.last)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// Indexes is the text of the set as the API writes a Job's completedIndexes, where only three that follow each other are a range: 0,2-4.
func (s *Set) Indexes() string {
	parts := make([]string, 0, len(s.spans))
	for _, p := range s.spans {
		switch text := strconv.Itoa(p.first); p.last - p.first {
		case 0:
			parts = append(parts, text)
		case 1:
			parts = append(parts, text, strconv.Itoa(p.last))
		default:
			parts = append(parts, text+"-"+strconv.Itoa(p.last))
		}
	}
	return strings.Join(parts, ",")
}

// MarshalText is String, for encoding/json.
func (s Set) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText has written, and nothing else: numbers rise.
func (s *Set) UnmarshalText(text []byte) error {
	s.spans = nil
	if len(text) == 0 {
		return nil
	}
	for part := range strings.SplitSeq(string(text), ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 31)
		last, err2 := strconv.ParseUint(to, 10, 31)
		if err1 != nil || err2 != nil || last < first || ranged && last == first || int(first) <= s.Max()+1 && len(s.spans) > 0 {
			return fmt.Errorf("%.40q is no list of rising numbers like 0-57,60", text)
		}
		s.spans = append(s.spans, span{int(first), int(last)})
	}
	return nil
}
