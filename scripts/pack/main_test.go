package main

import (
	"io/fs"
	"testing"
)

func TestOpenMode(t *testing.T) {
	for mode, want := range map[fs.FileMode]int64{
		0o700:                 0o755, // a program that was built with umask 077
		0o600:                 0o644,
		0o750:                 0o755,
		0o755:                 0o755,
		0o400:                 0o444,
		0o777:                 0o777,
		0o755 | fs.ModeSetuid: 0o755,
	} {
		if got := openMode(mode); got != want {
			t.Errorf("%o becomes %o, not %o", mode, got, want)
		}
	}
}
