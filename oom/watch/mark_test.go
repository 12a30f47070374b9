package watch

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// What is counted while a mark is being written does not change it: that is done without the lock.
func TestMarkStays(t *testing.T) {
	w, _ := watcher(t, filepath.Join(t.TempDir(), "ooms.jsonl"), "boot-1", nil)
	s, _ := w.join.subjects.Container("c1")
	tally := w.join.tallyOf(s, t0)
	w.join.bare(tally, mostBare, 0, step{}, t0)
	mark := w.mark()
	text := func() string {
		t.Helper()
		b, err := json.Marshal(mark)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := text()
	if w.join.bare(tally, 3, 0, step{}, t0); len(tally.Bare) != mostBare || tally.bares() != mostBare+3 {
		t.Errorf("%d of %d are remembered", len(tally.Bare), tally.bares())
	}
	if after := text(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}
