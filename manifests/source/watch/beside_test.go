package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// loadPair is a load of a file that must hold what the file with the suffix .sum does.
func (w *witness) loadPair(f *File) (string, error) {
	text, err := w.load(f)
	if err != nil {
		return "", err
	}
	if text == "later\n" {
		return "", &Later{errors.New("not now")}
	}
	sum, err := os.ReadFile(f.Name() + ".sum")
	if err != nil {
		return "", &Mismatch{fmt.Errorf("alone: %w", err)}
	}
	if string(sum) != text {
		return "", &Mismatch{errors.New("they differ")}
	}
	return text, nil
}

func pairs(w *witness) func(*Watcher[string]) {
	return func(watcher *Watcher[string]) {
		watcher.o.Beside, watcher.o.Load = []string{".sum", ".other"}, w.loadPair
	}
}

// A file and what belongs to it come, change and go in any order; only what lasts is told.
func TestBeside(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	w.watch(pairs(w))
	w.put(w.path("a.txt"), "1")
	w.put(w.path("a.txt.sum"), "1")
	w.holds("a.txt=1")
	w.put(w.path("a.txt.sum"), "2")
	w.put(w.path("a.txt"), "2")
	w.holds("a.txt=2")
	w.must(os.WriteFile(w.path("a.txt"), []byte("3"), 0o644)) // in place
	w.must(os.WriteFile(w.path("a.txt.sum"), []byte("3"), 0o644))
	w.holds("a.txt=3")
	w.put(w.path("alone.txt.sum"), "of nothing")
	w.put(w.path("b.txt"), "1")
	w.holds("a.txt=3", "b.txt=failed: alone: open "+w.path("b.txt.sum")+": no such file or directory")
	w.put(w.path("b.txt.sum"), "x")
	w.holds("a.txt=3", "b.txt=failed: they differ")
	w.put(w.path("b.txt.sum"), "1")
	w.holds("a.txt=3", "b.txt=1")
	w.must(os.Remove(w.path("a.txt.sum")))
	w.holds("a.txt=failed: alone: open "+w.path("a.txt.sum")+": no such file or directory", "b.txt=1")
	w.must(os.Remove(w.path("a.txt")))
	w.must(os.Rename(w.path("b.txt"), w.path("c.txt")))
	w.must(os.Rename(w.path("b.txt.sum"), w.path("c.txt.sum")))
	w.holds("c.txt=1")
	// A link to what stands elsewhere.
	elsewhere := filepath.Join(filepath.Dir(w.dir), "elsewhere")
	w.mkdir(elsewhere)
	w.must(os.Symlink(filepath.Join(elsewhere, "sum"), w.path("d.txt.sum")))
	w.put(w.path("d.txt"), "4")
	w.eventually("d.txt is alone", func() bool { return strings.HasPrefix(w.files["d.txt"], "failed: alone") })
	w.put(filepath.Join(elsewhere, "sum"), "4")
	w.holds("c.txt=1", "d.txt=4")
	w.neverGone("c.txt", "d.txt")
}

// What is not wanted now is tried again, and told when that lasts; all are loaded again when they are asked for.
func TestLaterAndReload(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	var watcher *Watcher[string]
	w.watch(func(x *Watcher[string]) {
		pairs(w)(x)
		watcher = x
	})
	w.put(w.path("a.txt"), "later\n")
	w.eventually("it waits", func() bool {
		return w.waiting["a.txt"] != nil && w.waiting["a.txt"].Error() == "not now; it is tried again"
	})
	w.put(w.path("a.txt.sum"), "1")
	w.put(w.path("a.txt"), "1")
	w.holds("a.txt=1")
	w.eventually("it waits no more", func() bool { return len(w.waiting) == 0 })
	w.mu.Lock()
	loads := w.loads
	w.mu.Unlock()
	watcher.Reload()
	w.eventually("it is loaded again", func() bool { return w.loads > loads })
	w.holds("a.txt=1")
}

// What hangs beside a file holds up that file alone.
func TestBesideHangs(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.mkdir(w.dir)
	hold := make(chan struct{})
	w.hold["a.txt"] = hold
	w.watch(func(x *Watcher[string]) {
		pairs(w)(x)
		x.o.LoadLimit = 200 * time.Millisecond
	})
	for _, name := range []string{"a", "b"} {
		w.put(w.path(name+".txt.sum"), "1")
		w.put(w.path(name+".txt"), "1")
	}
	w.holds("a.txt=failed: "+errHung.Error(), "b.txt=1")
	close(hold)
	w.holds("a.txt=1", "b.txt=1")
}
