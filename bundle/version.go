package bundle

import (
	"cmp"
	"strings"
)

// Compare compares versions as people do, and as semver.org where they are such: numbers by their value, a missing one as zero, and one with a
// suffix before the one without.
func Compare(a, b string) int {
	a, aSuffix, _ := strings.Cut(a, "-")
	b, bSuffix, _ := strings.Cut(b, "-")
	if c := compareParts(a, b, "0"); c != 0 {
		return c
	}
	switch {
	case aSuffix == bSuffix:
		return 0
	case aSuffix == "":
		return 1
	case bSuffix == "":
		return -1
	}
	return compareParts(aSuffix, bSuffix, "")
}

// compareParts compares what stands between dots; missing stands for a part that is not there.
func compareParts(a, b, missing string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	at := func(list []string, i int) string {
		if i < len(list) {
			return list[i]
		}
		return missing
	}
	for i := range max(len(as), len(bs)) {
		if c := comparePart(at(as, i), at(bs, i)); c != 0 {
			return c
		}
	}
	return 0
}

// comparePart compares numbers, which may be as long as they like, by their value, and sets them before words.
func comparePart(a, b string) int {
	aNumber, bNumber := isNumber(a), isNumber(b)
	switch {
	case aNumber && bNumber:
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	case aNumber && b != "":
		return -1
	case bNumber && a != "":
		return 1
	}
	return cmp.Compare(a, b)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
