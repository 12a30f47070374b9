package cri

import (
	"bytes"
	"time"
)

// Format appends the CRI form of data's lines to out: "<time> <stream> <F|P> <text>". Lines above MaxLine are split
// into partial ones. It returns how many bytes of data it used; without force an unfinished line is left.
func Format(out []byte, name string, at time.Time, data []byte, force bool) (formatted []byte, used int) {
	stamp := at.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
	line := func(tag byte, text []byte) {
		out = append(out, stamp...)
		out = append(out, ' ')
		out = append(out, name...)
		out = append(out, ' ', tag, ' ')
		out = append(out, text...)
		out = append(out, '\n')
	}
	for used < len(data) {
		rest := data[used:]
		i := bytes.IndexByte(rest, '\n')
		switch {
		case i >= 0 && i <= MaxLine:
			line('F', rest[:i])
			used += i + 1
		case len(rest) >= MaxLine:
			line('P', rest[:MaxLine])
			used += MaxLine
		case force:
			line('P', rest)
			used = len(data)
		default:
			return out, used
		}
	}
	return out, used
}
