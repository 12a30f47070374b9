package composefile

import (
	"strings"
	"testing"
)

func environment(name string) (string, bool) {
	v, ok := map[string]string{"A": "a", "B": "b b", "EMPTY": "", "NAME_2": "two"}[name]
	return v, ok
}

func TestVariables(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                 "plain",
		"$A-${B}":               "a-b b",
		"$$A $${A}":             "$A ${A}",
		"${NAME_2}x":            "twox",
		"$Ax":                   "",
		"${NONE}":               "",
		"${NONE:-d}${NONE-e}":   "de",
		"${EMPTY:-d}${EMPTY-e}": "d",
		"${A:-d}${A-e}":         "aa",
		"${A:+x}${A+y}":         "xy",
		"${EMPTY:+x}${EMPTY+y}": "y",
		"${NONE:+x}${NONE+y}":   "",
		"${NONE:-${A}-${B:-x}}": "a-b b",
		"${A:?m}${A?m}":         "aa",
		"${NONE:-}":             "",
		"${NONE:-http://x:1/}":  "http://x:1/",
		"100$":                  "100$",
		`${NONE:-{"a":"b"}}`:    `{"a":"b"}`,
	} {
		s := substitution{lookup: environment, used: func(string, bool) {}}
		if got, err := s.text(text, 0); err != nil || got != want {
			t.Errorf("%q becomes %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"${":              "not closed",
		"${A":             "not closed",
		"${}":             "is no variable",
		"${1}":            "is no variable",
		"${A:}":           "is no variable",
		"${A!x}":          "is no variable",
		"$-":              "write $$",
		"${NONE:?no tag}": "NONE is required: no tag",
		"${EMPTY:?x}":     "EMPTY is required",
		strings.Repeat("${NONE:-", 20) + strings.Repeat("}", 20): "more than 10 deep",
	} {
		s := substitution{lookup: environment, used: func(string, bool) {}}
		if got, err := s.text(text, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q becomes %q, %v, want the error %q", text, got, err, want)
		}
	}
}

func TestParseEnv(t *testing.T) {
	text := "# a comment\nexport ONE=1\n TWO = two words # and a comment\nHASH=a#b\nSINGLE='$A # stays'\nDOUBLE=\"x $A\\n\\$y\"\nMANY=\"one\ntwo\"\nONLY\nREF=${ONE}${A}\r\nEMPTY=\n"
	vars, err := ParseEnv(text, environment, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []Variable{
		{"ONE", "1", true, 2}, {"TWO", "two words", true, 3}, {"HASH", "a#b", true, 4}, {"SINGLE", "$A # stays", true, 5}, {"DOUBLE", "x a\n$y", true, 6},
		{"MANY", "one\ntwo", true, 7}, {"ONLY", "", false, 9}, {"REF", "1a", true, 10}, {"EMPTY", "", true, 11},
	}
	if len(vars) != len(want) {
		t.Fatalf("%v", vars)
	}
	for i := range want {
		if vars[i] != want[i] {
			t.Errorf("%+v, want %+v", vars[i], want[i])
		}
	}
	if vars, err := ParseEnv(`RAW="$A" # x`, environment, true); err != nil || vars[0].Value != `"$A" # x` {
		t.Errorf("raw: %v, %v", vars, err)
	}
	vars, err = ParseEnv("A='one\r\n\\'two\r\n' rest\r\nB=\"\"\nC=3", environment, false)
	if err != nil || len(vars) != 3 || vars[0].Value != "one\n'two\n" || vars[2] != (Variable{"C", "3", true, 5}) {
		t.Errorf("several lines: %+v, %v", vars, err)
	}
	doubled := "LONG=" + strings.Repeat("x", 1<<19) + "\n" + strings.Repeat("B2=$LONG\n", 20)
	open := "A=\"\n" + strings.Repeat("x\n", 1<<18)
	for _, text := range []string{"a b=c", "=x", "A=\"open", "A=${B", doubled, open} {
		if vars, err := ParseEnv(text, environment, false); err == nil {
			t.Errorf("%.40q is read as %.40v", text, vars)
		}
	}
}
