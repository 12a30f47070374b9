package access

import (
	"errors"
	"testing"

	"github.com/solopod/solopod/runner/rescue"
)

// A file that brings out a fault in a parser lets nobody in until it is another, and ends nothing.
func TestPanicOfALoad(t *testing.T) {
	content, bad := "1", true
	w := watched[string]{
		what: "a file", turn: make(chan struct{}, 1), err: errUnanswered,
		look: func() (string, error) { return content, nil },
		load: func() (string, error) {
			if bad {
				panic("a parser")
			}
			return content, nil
		},
	}
	if value, err := w.current(); value != "" || !errors.Is(err, rescue.ErrPanicked) {
		t.Errorf("%q, %v", value, err)
	}
	content, bad = "2", false
	if value, err := w.current(); value != "2" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
}
