package netlinks

import (
	"errors"
	"fmt"
	"testing"
)

// A list that has changed while it was made is asked for again, and no more often than that.
func TestWhole(t *testing.T) {
	other := errors.New("other")
	for name, c := range map[string]struct {
		answers []error
		asked   int
		err     error
	}{
		"whole":               {[]error{nil}, 1, nil},
		"at the second try":   {[]error{ErrInterrupted, nil}, 2, nil},
		"never":               {[]error{ErrInterrupted, ErrInterrupted, ErrInterrupted}, 3, ErrInterrupted},
		"another error":       {[]error{ErrInterrupted, other}, 2, other},
		"an error, and whole": {[]error{other, nil}, 1, other},
	} {
		asked := 0
		list, err := Whole(3, func() ([]int, error) {
			asked++
			return []int{asked}, c.answers[asked-1]
		})
		if asked != c.asked || !errors.Is(err, c.err) || len(list) != 1 || list[0] != asked {
			t.Errorf("%s: asked %d times: %v, %v", name, asked, list, err)
		}
	}
}

// Attributes are read as far as they are whole.
func TestAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"none":            {nil, ""},
		"one":             {[]byte{5, 0, 1, 0, 9, 0, 0, 0}, "1=09 "},
		"two, aligned":    {[]byte{5, 0, 1, 0, 9, 0, 0, 0, 6, 0, 2, 128, 7, 8}, "1=09 2=0708 "},
		"longer than all": {[]byte{5, 0, 1, 0, 9, 0, 0, 0, 9, 0, 2, 0, 7, 8}, "1=09 "},
		"too short":       {[]byte{3, 0, 1, 0}, ""},
		"empty":           {[]byte{4, 0, 3, 0}, "3= "},
	} {
		got := ""
		for kind, value := range Attributes(c.b) {
			got += fmt.Sprintf("%d=%x ", kind, value)
		}
		if got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
