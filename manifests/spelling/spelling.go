// Package spelling finds the word that somebody meant.
package spelling

import "strings"

const (
	maxWord       = 64 // bytes
	maxCandidates = 500
)

// Nearest returns the candidate most like name, or "" when none is near enough to be a slip.
//
// Its cost is bounded: longer words than maxWord are no slips of the pen, and of many candidates it looks at the first ones.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+2
	if len(name) > maxWord {
		return ""
	}
	for _, c := range candidates[:min(len(candidates), maxCandidates)] {
		if len(c) > maxWord {
			continue
		}
		if strings.EqualFold(c, name) {
			return c
		}
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDistance || d == bestDistance && c < best {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is Levenshtein's, with the swap of two neighbours counted as one step.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
