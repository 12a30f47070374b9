package intervals

import (
	"math/rand/v2"
	"testing"
)

// A set has what was added to it, in whatever order, and is read as it was written.
func TestSet(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var s Set
		want, most := map[int]bool{}, -1
		for range 60 {
			n := random.IntN(80)
			s.Add(n)
			want[n], most = true, max(most, n)
		}
		var again Set
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again.String() != s.String() {
			t.Fatalf("seed %d: %q is read as %q (%v)", seed, s.String(), again.String(), err)
		}
		for _, set := range []Set{s, again, s.Clone()} {
			if set.Len() != len(want) || set.Max() != most {
				t.Fatalf("seed %d: %s has %d numbers up to %d, want %d up to %d", seed, set.String(), set.Len(), set.Max(), len(want), most)
			}
			for n := range 81 {
				if set.Has(n) != want[n] {
					t.Fatalf("seed %d: %s has %d: %t", seed, set.String(), n, set.Has(n))
				}
			}
		}
	}
}

func TestText(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "0": true, "0-57,60": true, "3,5-6": true,
		"5,3": false, "0-1,2": false, "0-1,1": false, "1-1": false, "2-1": false, "-1": false, "a": false, ",": false, "1,": false, "0-4294967296": false, "0 - 1": false,
	} {
		var s Set
		if err := s.UnmarshalText([]byte(text)); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		} else if want && s.String() != text {
			t.Errorf("%q is written as %q", text, s.String())
		}
	}
	var s Set
	for _, n := range []int{0, 1, 3, 2, 9} {
		s.Add(n)
	}
	copied := s.Clone()
	copied.Add(10)
	if s.String() != "0-3,9" || copied.String() != "0-3,9-10" {
		t.Errorf("%s and %s", s.String(), copied.String())
	}
}

// Two numbers that follow each other are no range for the API, three are.
func TestIndexes(t *testing.T) {
	for text, want := range map[string]string{"": "", "0": "0", "0-1": "0,1", "0-2": "0-2", "1,3-4,6-9": "1,3,4,6-9"} {
		var s Set
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := s.Indexes(); got != want {
			t.Errorf("%s is written as %q, want %q", text, got, want)
		}
	}
}
