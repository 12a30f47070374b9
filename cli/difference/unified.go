package difference

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// context is how many lines are shown around what differs.
	context = 3
	// mostEdits bounds the time and the memory of a comparison, which grow with its square: of texts that differ in more lines all lines
	// are shown, first those of the one, then those of the other.
	mostEdits = 1000
)

// edit is a line of both texts, or of one.
type edit struct {
	sign byte // ' ', '-' or '+'
	line string
}

// Unified are two texts compared line by line, as diff -u does, without names of files; empty when they are the same.
func Unified(before, after string) string {
	if before == after {
		return ""
	}
	a, b := lines(before), lines(after)
	var head, tail int
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	edits := make([]edit, 0, len(a)+len(b))
	for _, line := range a[:head] {
		edits = append(edits, edit{' ', line})
	}
	edits = append(edits, between(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, line := range a[len(a)-tail:] {
		edits = append(edits, edit{' ', line})
	}
	return hunks(edits)
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// between makes b of a, with as few edits as can be (Myers, "An O(ND) Difference Algorithm and Its Variations").
func between(a, b []string) []edit {
	limit := min(len(a)+len(b), mostEdits)
	furthest := make([]int, 2*limit+2) // by diagonal, from -limit on
	var trail [][]int
	for d := 0; d <= limit; d++ {
		trail = append(trail, slices.Clone(furthest[limit-d:limit+d+2]))
		for k := -d; k <= d; k += 2 {
			x := 0
			switch {
			case d == 0:
			case k == -d || k != d && furthest[limit+k-1] < furthest[limit+k+1]:
				x = furthest[limit+k+1]
			default:
				x = furthest[limit+k-1] + 1
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			furthest[limit+k] = x
			if x >= len(a) && x-k >= len(b) {
				return walk(a, b, trail, d, k)
			}
		}
	}
	var out []edit
	for _, line := range a {
		out = append(out, edit{'-', line})
	}
	for _, line := range b {
		out = append(out, edit{'+', line})
	}
	return out
}

// walk goes back from the end along the way that was found. trail has, for each number of edits, how far each diagonal had come before.
func walk(a, b []string, trail [][]int, d, k int) []edit {
	var out []edit
	x, y := len(a), len(b)
	for ; d > 0; d-- {
		before := trail[d]                             // its index is the diagonal's, plus d
		at := func(k int) int { return before[k+d] }   // of diagonals from -d to d+1
		down := k == -d || k != d && at(k-1) < at(k+1) // a line of b came
		from := k - 1
		if down {
			from = k + 1
		}
		px := at(from)
		py := px - from
		for x > px && y > py && x > 0 && y > 0 && (down && y > py+1 || !down && x > px+1) {
			x, y = x-1, y-1
			out = append(out, edit{' ', a[x]})
		}
		if down {
			y--
			out = append(out, edit{'+', b[y]})
		} else {
			x--
			out = append(out, edit{'-', a[x]})
		}
		k = from
	}
	for x > 0 && y > 0 {
		x, y = x-1, y-1
		out = append(out, edit{' ', a[x]})
	}
	slices.Reverse(out)
	return out
}

// hunks are the edits with some lines around them, and the numbers of these.
func hunks(edits []edit) string {
	var b strings.Builder
	inA, inB := 1, 1 // the numbers of the next lines
	for i := 0; i < len(edits); {
		if edits[i].sign == ' ' {
			i, inA, inB = i+1, inA+1, inB+1
			continue
		}
		start := max(i-context, 0)
		end, same := i, 0
		for j := i; j < len(edits) && same <= 2*context; j++ {
			if same++; edits[j].sign != ' ' {
				end, same = j+1, 0
			}
		}
		end = min(end+context, len(edits))
		hunk := edits[start:end]
		var ofA, ofB int
		for _, e := range hunk {
			if e.sign != '+' {
				ofA++
			}
			if e.sign != '-' {
				ofB++
			}
		}
		fmt.Fprintf(&b, "@@ -%s +%s @@\n", extent(inA-(i-start), ofA), extent(inB-(i-start), ofB))
		for n, e := range hunk {
			b.WriteString(string(e.sign) + e.line + "\n")
			if start+n < i {
				continue
			}
			if e.sign != '+' {
				inA++
			}
			if e.sign != '-' {
				inB++
			}
		}
		i = end
	}
	return b.String()
}

// extent is a row of lines as diff writes it; an empty one begins after the line before.
func extent(first, n int) string {
	switch n {
	case 0:
		return fmt.Sprintf("%d,0", first-1)
	case 1:
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d,%d", first, n)
}
