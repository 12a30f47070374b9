package spelling_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/solopod/solopod/manifests/spelling"
)

func TestExpected(t *testing.T) {
	var to struct {
		Bool  bool
		Text  string
		Count int32
		List  []string
		Map   map[string]string
	}
	for text, says := range map[string]string{
		`{"bool": "true"}`: "expected true or false, without quotes, found a text",
		`{"text": 10}`:     "expected a text, in quotes, found a number",
		`{"text": ["a"]}`:  "expected a text, found a list",
		`{"text": true}`:   "expected a text, in quotes, found true or false",
		`{"count": "5"}`:   "expected a whole number, without quotes, found a text",
		`{"count": 1.5}`:   "expected a whole number, without quotes, found the number 1.5",
		`{"list": "a"}`:    "expected a list like [a, b], found a text",
		`{"map": []}`:      "expected an object like {key: value}, found a list",
	} {
		err := json.Unmarshal([]byte(text), &to)
		if err == nil {
			t.Fatal(text)
		}
		if got := spelling.Expected(fmt.Errorf("on the way: %w", err)).Error(); got != says {
			t.Errorf("%s: %q, not %q", text, got, says)
		}
	}
	if other := errors.New("other"); !errors.Is(spelling.Expected(other), other) {
		t.Error("another error is changed")
	}
}
