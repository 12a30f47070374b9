package watch

import (
	"errors"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A story is a directory's life in lines, each a moment and what a look finds then, and what must follow:
//
//	500ms dir=1 a=1 b=2 -> load a b; gone c; again 1s; warn lost
//
// A file's number is its inode and version; what is to be loaded is loaded, unless it is written as a=1w: being written, a=1n: on
// a file system without leases, a=1e: with an error, a=1u: it does not fit what stands beside it, of which a=1.2 has version 2,
// a=!: not a file.
func TestJudge(t *testing.T) {
	for name, story := range map[string]struct{ known, lines string }{
		"a file comes, changes and goes": {"", `
			0s dir=1 -> 
			1s dir=1 a=1 -> load a
			2s dir=1 a=1 -> 
			3s dir=1 a=2 -> load a
			4s dir=1 -> again 4.5s
			4.4s dir=1 -> again 4.5s
			4.5s dir=1 -> gone a
			5s dir=1 -> `},
		"replaced by unlink and create": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=1 b=2 -> again 1.5s
			1.1s dir=1 a=3 b=2 -> load a
			2s dir=1 a=3 b=2 -> `},
		"missing twice, but not in between": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=1 b=2 -> again 1.5s
			1.4s dir=1 a=1 b=2 -> 
			1.5s dir=1 b=2 -> again 2s
			2s dir=1 b=2 -> gone a`},
		"renamed": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=1 b=2 c=1 -> load c; gone a; again 1.5s`},
		"renamed while it is written": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=1 b=2 c=1w -> load c; again 1.02s
			1.1s dir=1 b=2 c=1 -> load c; gone a; again 1.5s`},
		"being written": {"", `
			0s dir=1 a=1w -> load a; again 20ms
			10ms dir=1 a=1w -> again 20ms
			20ms dir=1 a=1w -> load a; again 60ms
			60ms dir=1 a=1w -> load a; again 140ms
			140ms dir=1 a=1 -> load a
			1s dir=1 a=2w -> load a; again 1.02s`},
		"being written for long": {"", `
			0s dir=1 a=1w -> load a; again 20ms
			3s dir=1 a=1w -> load a; again 3.04s; tell a`},
		"without leases": {"", `
			0s dir=1 a=1n -> load a; again 300ms
			200ms dir=1 a=2n -> again 300ms
			300ms dir=1 a=2n -> load a; again 500ms
			500ms dir=1 a=2n -> still a
			1s dir=1 a=2n -> `},
		"odd": {"", `
			0s dir=1 a=1 b=! -> load a; fail b
			1s dir=1 a=! b=! -> fail a
			2s dir=1 a=1 b=2 -> load a b`},
		"an error while it is read": {"", `
			0s dir=1 a=1e -> load a; fail a
			1s dir=1 a=1e -> load a
			2s dir=1 a=1 -> load a`},
		"it comes before what belongs to it": {"", `
			0s dir=1 a=1u -> load a; again 2s
			1s dir=1 a=1u -> again 2s
			1.5s dir=1 a=1.1 -> load a
			3s dir=1 a=1.1 -> `},
		"what belongs to it never comes": {"", `
			0s dir=1 a=1u -> load a; again 2s
			2s dir=1 a=1u -> load a; fail a
			3s dir=1 a=1u -> 
			4s dir=1 a=1.1 -> load a`},
		"both are replaced": {"", `
			0s dir=1 a=1.1 -> load a
			1s dir=1 a=2.1u -> load a; again 3s
			2s dir=1 a=2.2 -> load a
			5s dir=1 a=2.3u -> load a; again 7s
			6s dir=1 a=3.3 -> load a`},
		"what belongs to it goes": {"", `
			0s dir=1 a=1.1 -> load a
			1s dir=1 a=1u -> load a; again 3s
			3s dir=1 a=1u -> load a; fail a
			4s dir=1 a=1u -> 
			5s dir=1 a=1.1 -> load a`},
		"they do not fit, and are never still": {"", `
			0s dir=1 a=1u -> load a; again 2s
			1s dir=1 a=2u -> load a; again 3s
			2.9s dir=1 a=3u -> load a; again 4.9s
			4.8s dir=1 a=4u -> load a; again 6.8s
			6.7s dir=1 a=5u -> load a; again 8.7s
			8.6s dir=1 a=6u -> load a; again 10.6s
			10.5s dir=1 a=7u -> load a; again 12.5s
			12.4s dir=1 a=8u -> load a; again 14.4s
			14.3s dir=1 a=9u -> load a; again 16.3s
			16.2s dir=1 a=10u -> load a; again 18.2s
			18.1s dir=1 a=11u -> load a; again 20s
			20s dir=1 a=11u -> load a; fail a
			21s dir=1 a=12u -> load a; again 23s`},
		"the directory is missing for a while": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=1 b=2 -> again 1.5s
			2s problem -> warn trouble
			9s dir=1 b=2 -> again 9.5s
			9.5s dir=1 b=2 -> gone a`},
		"swapped": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=2 a=3 c=4 -> again 3s; warn another
			2s dir=2 a=3 c=4 -> again 3s; warn another
			3s dir=2 a=3 c=4 -> load a c; gone b`},
		"swapped and back": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=2 -> again 11s; warn another
			2s dir=1 a=1 b=2 -> `},
		"swapped, and filled slowly": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=2 -> again 11s; warn another
			2s dir=2 a=3 -> again 4s; warn another
			3.5s dir=2 a=3 b=4 -> again 5.5s; warn another
			5.5s dir=2 a=3 b=4 -> load a b`},
		"swapped, and never still": {"", `
			0s dir=1 a=1 -> load a
			1s dir=2 a=2 -> again 3s; warn another
			10s dir=2 a=3 -> again 12s; warn another
			20s dir=2 a=4 -> again 21s; warn another
			21s dir=2 a=5 -> load a`},
		"unmounted over an empty directory": {"", `
			0s dir=1 a=1 -> load a
			1s dir=2 -> again 11s; warn another
			11s dir=2 -> gone a`},
		"swapped twice": {"", `
			0s dir=1 a=1 -> load a
			1s dir=2 a=2 -> again 3s; warn another
			2s dir=3 a=3 -> again 4s; warn another
			4s dir=3 a=3 -> load a`},
		"emptied at once": {"", `
			0s dir=1 a=1 b=2 c=3 -> load a b c
			1s dir=1 -> again 11s; warn lost all of its files (3)
			10s dir=1 -> again 11s; warn lost
			11s dir=1 -> gone a b c
			12s dir=1 -> `},
		"emptied and filled again": {"", `
			0s dir=1 a=1 b=2 c=3 -> load a b c
			1s dir=1 -> again 11s; warn lost
			2s dir=1 b=2 -> again 11s
			3s dir=1 a=4 b=2 -> load a; again 11s
			11s dir=1 a=4 b=2 -> gone c`},
		"emptied within a moment": {"", `
			0s dir=1 a=1 b=2 c=3 d=4 -> load a b c d
			1s dir=1 b=2 c=3 d=4 -> again 1.5s
			1.2s dir=1 c=3 d=4 -> again 1.5s
			1.3s dir=1 -> again 1.5s; warn lost all of its files (2)
			1.5s dir=1 -> gone a; again 1.7s; warn lost all of its files (2)
			1.7s dir=1 -> gone b; again 11.3s; warn lost all of its files (2)
			11.3s dir=1 -> gone c d`},
		"emptied but for the last, and then that": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=1 b=2 -> again 1.5s
			1.2s dir=1 -> again 1.5s; warn lost all of its files (1)
			1.5s dir=1 -> gone a; again 11.2s; warn lost all of its files (1)
			11.2s dir=1 -> gone b`},
		"emptied, filled and emptied": {"", `
			0s dir=1 a=1 b=2 c=3 -> load a b c
			1s dir=1 -> again 11s; warn lost all of its files (3)
			2s dir=1 b=2 -> again 11s
			3s dir=1 -> again 11s; warn lost all of its files (3)
			11s dir=1 -> gone a c; again 13s; warn lost all of its files (3)
			13s dir=1 -> gone b`},
		"one after the other": {"", `
			0s dir=1 a=1 b=2 -> load a b
			1s dir=1 b=2 -> again 1.5s
			1.5s dir=1 b=2 -> gone a
			2s dir=1 -> again 2.5s
			2.5s dir=1 -> gone b`},
		"known, and still there": {"a b", `
			0s dir=1 a=1 -> load a; again 500ms
			500ms dir=1 a=1 -> gone b`},
		"known, and none is there": {"a b", `
			0s dir=1 -> again 10s; warn lost
			10s dir=1 -> gone a b`},
		"known, and the directory comes late": {"a", `
			0s problem -> warn trouble
			9s dir=1 a=1 -> load a`},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJudge(usualTimes, strings.Fields(story.known))
			for _, line := range strings.Split(strings.TrimSpace(story.lines), "\n") {
				found, want, _ := strings.Cut(line, "->")
				if got := tellStory(t, j, strings.Fields(found)); !follows(got, strings.Split(want, ";")) {
					t.Fatalf("%s\ngot %q", strings.TrimSpace(line), got)
				}
			}
		})
	}
}

var storyStart = time.Unix(1e9, 0)

// tellStory has the judge look at what a line says, and returns what follows.
func tellStory(t *testing.T, j *judge, words []string) []string {
	t.Helper()
	at, err := time.ParseDuration(words[0])
	if err != nil {
		t.Fatal(err)
	}
	now := storyStart.Add(at)
	l := listing{entries: map[string]entry{}}
	how := map[string]byte{}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		last := value[max(len(value)-1, 0):]
		own, other, _ := strings.Cut(strings.TrimRight(value, "wneu"), ".")
		number, _ := strconv.ParseUint(own, 10, 64) // zero for a word
		second, _ := strconv.ParseUint(other, 10, 64)
		switch {
		case name == "problem":
			l.problem = "trouble"
		case name == "dir":
			l.dir = identity{1, number}
		case value == "!":
			l.entries[name] = entry{err: errors.New("odd")}
		default:
			l.entries[name] = entry{edition: edition{version: Version{Device: 1, Inode: number}, beside: beside{{Inode: second}}}}
			how[name] = last[0]
		}
	}
	v := j.look(l, now)
	var load, still, fail, tell []string
	for name, settled := range v.load {
		edition := l.entries[name].edition
		switch {
		case how[name] == 'w':
			again, told := j.busy(name, now)
			v.wakeAt(again)
			if told {
				tell = append(tell, name)
			}
		case how[name] == 'n' && !settled:
			v.wakeAt(j.unsettled(name, now))
		case how[name] == 'u':
			if again := j.mismatched(name, edition, now); !again.IsZero() {
				v.wakeAt(again)
			} else {
				fail = append(fail, name)
			}
		case how[name] == 'e':
			if j.refused(name, errors.New("error")) {
				fail = append(fail, name)
			}
		default:
			v.gone = append(v.gone, j.took(name, edition)...)
			if how[name] == 'n' {
				still = append(still, name)
				continue
			}
		}
		load = append(load, name)
	}
	for name := range v.failed {
		fail = append(fail, name)
	}
	var out []string
	for word, names := range map[string][]string{"load": load, "still": still, "fail": fail, "gone": v.gone, "tell": tell} {
		if sort.Strings(names); len(names) > 0 {
			out = append(out, word+" "+strings.Join(names, " "))
		}
	}
	if !v.again.IsZero() {
		out = append(out, "again "+v.again.Sub(storyStart).String())
	}
	if v.warning != "" {
		out = append(out, "warn "+v.warning)
	}
	return out
}

// follows compares what follows; of a warning a part is enough, and moments are compared as such.
func follows(got, want []string) bool {
	n := 0
	for _, w := range want {
		if w = strings.TrimSpace(w); w == "" {
			continue
		}
		n++
		if moment, ok := strings.CutPrefix(w, "again "); ok {
			d, err := time.ParseDuration(moment)
			if err != nil {
				return false
			}
			w = "again " + d.String()
		}
		warning, isWarning := strings.CutPrefix(w, "warn ")
		if !slices.ContainsFunc(got, func(g string) bool {
			return g == w || isWarning && strings.HasPrefix(g, "warn ") && strings.Contains(g, warning)
		}) {
			return false
		}
	}
	return n == len(got)
}
