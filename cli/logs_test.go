package cli

import (
	"strings"
	"testing"
)

// The lines of several logs stay apart, also where one of them does not end; the last one stays as it is.
func TestLinesOfSeveralLogs(t *testing.T) {
	for name, c := range map[string]struct {
		said [][2]string // who says what
		want string
	}{
		"whole lines":          {[][2]string{{"a", "one\ntwo\n"}, {"b", "three\n"}}, "[a] one\n[a] two\n[b] three\n"},
		"in pieces":            {[][2]string{{"a", "on"}, {"b", "t"}, {"a", "e\n"}, {"b", "wo\n"}}, "[a] one\n[b] two\n"},
		"the last has no end":  {[][2]string{{"a", "one\n"}, {"b", "DONE"}}, "[a] one\n[b] DONE"},
		"the first has no end": {[][2]string{{"a", "DONE"}, {"", ""}, {"b", "two\n"}}, "[a] DONE\n[b] two\n"},
		"none has an end":      {[][2]string{{"a", "DONE"}, {"b", "OVER"}}, "[a] DONE\n[b] OVER"},
	} {
		var got strings.Builder
		shared := &sharedWriter{w: &got}
		logs := map[string]*lineWriter{"a": {w: shared, prefix: "[a] "}, "b": {w: shared, prefix: "[b] "}}
		for _, s := range c.said {
			if s[0] == "" { // the first log is complete
				logs["a"].end()
				logs["a"].pending = nil
				continue
			}
			if _, err := logs[s[0]].Write([]byte(s[1])); err != nil {
				t.Fatal(err)
			}
		}
		logs["a"].end()
		logs["b"].end()
		if got.String() != c.want {
			t.Errorf("%s: %q, not %q", name, got.String(), c.want)
		}
	}
}
