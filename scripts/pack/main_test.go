package main

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Paths in an image begin at its root, also where who packs it did not say so.
func TestRelative(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin/web", "./bin/web", "/bin/web", "bin//web", "../bin/web"} {
		layer, err := makeLayer(options{files: map[string]string{inImage(name): file}})
		if err != nil {
			t.Fatal(err)
		}
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for r := tar.NewReader(content); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, h.Name)
		}
		if !slices.Contains(names, "bin/") || !slices.Contains(names, "bin/web") {
			t.Errorf("%s: %q", name, names)
		}
	}
}

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
