// Package spelling finds the word that somebody meant.
package spelling

import "strings"

const (
	maxWord       = 64 // bytes
	maxCandidates = 500
)

// Nearest returns the candidate most like name, or "" when none is near enough to be a slip of the pen: the same word in another
// case or with other dashes, one of which few letters differ, or the only one that the name begins or ends.
//
// Its cost is bounded: longer words than maxWord are no slips of the pen, and of many candidates it looks at the first ones.
func Nearest(name string, candidates []string) string {
	if len(name) > maxWord {
		return ""
	}
	if same := Same(name, candidates); same != "" {
		return same
	}
	best, bestDistance := "", slips(len(name))+1
	for _, c := range candidates[:min(len(candidates), maxCandidates)] {
		if len(c) > maxWord || c == "" {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDistance || d == bestDistance && best != "" && c < best {
			best, bestDistance = c, d
		}
	}
	if best != "" {
		return best
	}
	return part(name, candidates)
}

// Same returns the candidate that differs from name by no more than case, dashes and underscores, or "".
func Same(name string, candidates []string) string {
	plain := letters(name)
	if len(name) > maxWord || plain == "" {
		return ""
	}
	for _, c := range candidates[:min(len(candidates), maxCandidates)] {
		if len(c) <= maxWord && letters(c) == plain {
			return c
		}
	}
	return ""
}

// letters is a word as Same compares it.
func letters(word string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(word))
}

// slips is how many letters of a word can be wrong before it is another word.
func slips(length int) int {
	switch {
	case length < 2:
		return 0
	case length < 6:
		return 1
	case length < 9:
		return 2
	case length < 13:
		return 3
	}
	return 4
}

// Of words that begin alike, and of those that end alike, that many letters must be the same.
const (
	likeBeginning = 4
	likeEnd       = 6
)

// part returns the only candidate that begins with name, or ends with it, or that does so of name.
func part(name string, candidates []string) string {
	plain, found := letters(name), ""
	for _, c := range candidates[:min(len(candidates), maxCandidates)] {
		if len(c) > maxWord {
			continue
		}
		other := letters(c)
		short := min(len(plain), len(other))
		begins := short >= likeBeginning && (strings.HasPrefix(other, plain) || strings.HasPrefix(plain, other))
		ends := short >= likeEnd && (strings.HasSuffix(other, plain) || strings.HasSuffix(plain, other))
		if !begins && !ends {
			continue
		}
		if found != "" {
			return ""
		}
		found = c
	}
	return found
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
