package difference

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// patched applies a diff by the numbers of its hunks.
func patched(t *testing.T, before, diff string) string {
	t.Helper()
	old := lines(before)
	var out []string
	next := 0 // of the lines that have not been taken
	for _, line := range lines(diff) {
		switch line[0] {
		case '@':
			from, n, _ := strings.Cut(strings.Fields(line)[1][1:], ",")
			first, err := strconv.Atoi(from)
			if err != nil {
				t.Fatal(err)
			}
			if n == "0" {
				first++
			}
			out = append(out, old[next:first-1]...)
			next = first - 1
		case '+':
			out = append(out, line[1:])
		default:
			if old[next] != line[1:] {
				t.Fatalf("line %d is %q, and not %q:\n%s", next+1, old[next], line[1:], diff)
			}
			if line[0] == ' ' {
				out = append(out, line[1:])
			}
			next++
		}
	}
	return strings.Join(append(out, old[next:]...), "\n")
}

func TestUnified(t *testing.T) {
	for name, c := range map[string]struct{ before, after, want string }{
		"the same":   {"a\nb\n", "a\nb\n", ""},
		"all new":    {"", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n"},
		"all gone":   {"a\n", "", "@@ -1 +0,0 @@\n-a\n"},
		"one line":   {"1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\nx\n6\n7\n8\n", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n"},
		"two places": {"a\n1\n2\n3\n4\n5\n6\n7\nb\n", "1\n2\n3\n4\n5\n6\n7\n", "@@ -1,4 +1,3 @@\n-a\n 1\n 2\n 3\n@@ -6,4 +5,3 @@\n 5\n 6\n 7\n-b\n"},
		"one hunk":   {"a\n1\n2\n3\n4\n5\n6\nb\n", "1\n2\n3\n4\n5\n6\n", "@@ -1,8 +1,6 @@\n-a\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n"},
	} {
		if got := Unified(c.before, c.after); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// What is written makes the one text of the other, and is as short as it can be said by a table of all ways.
func TestUnifiedMakesTheOther(t *testing.T) {
	random := func(r *rand.Rand) string {
		var b strings.Builder
		for range r.IntN(30) {
			fmt.Fprintln(&b, string(rune('a'+r.IntN(4))))
		}
		return b.String()
	}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		before, after := random(r), random(r)
		edits := 0
		restored, again := []string{}, []string{}
		for _, e := range between(lines(before), lines(after)) {
			if e.sign != ' ' {
				edits++
			}
			if e.sign != '+' {
				restored = append(restored, e.line)
			}
			if e.sign != '-' {
				again = append(again, e.line)
			}
		}
		if strings.Join(restored, "\n") != strings.Join(lines(before), "\n") || strings.Join(again, "\n") != strings.Join(lines(after), "\n") {
			t.Fatalf("seed %d: %q is made %q", seed, restored, again)
		}
		if least := shortest(lines(before), lines(after)); edits != least {
			t.Fatalf("seed %d: %d edits, and %d would do", seed, edits, least)
		}
		if got := patched(t, before, Unified(before, after)); got != strings.Join(lines(after), "\n") {
			t.Fatalf("seed %d: the hunks make %q of %q, not %q", seed, got, before, after)
		}
	}
}

// shortest is the length of the shortest way.
func shortest(a, b []string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			next := min(row[j], row[j+1]) + 1
			if a[i] == b[j] {
				next = diagonal
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

// Long texts without a line in common are bounded.
func TestUnifiedIsBounded(t *testing.T) {
	before, after := strings.Repeat("a\n", 100_000), strings.Repeat("b\n", 100_000)
	if got := Unified(before, after); strings.Count(got, "\n-a") != 100_000 || strings.Count(got, "\n+b") != 100_000 {
		t.Errorf("%d bytes", len(got))
	}
}
