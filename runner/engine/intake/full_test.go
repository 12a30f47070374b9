package intake

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// Each try of an import says the same of a full disk, whichever file containerd was writing.
func TestFull(t *testing.T) {
	ours := fmt.Errorf("%w: it needs 1.0 GiB more", unix.ENOSPC)
	other := errors.New("unexpected EOF")
	for name, c := range map[string]struct{ err, want error }{
		"nothing": {nil, nil}, "ours": {ours, ours}, "another": {other, other},
	} {
		if got := Full(c.err); got != c.want { //nolint:errorlint // it is that one
			t.Errorf("%s: %v", name, got)
		}
	}
	for text, want := range map[string]error{
		"failed to send write: write /r/ingest/d33a/data: no space left on device": unix.ENOSPC,
		"mount callback failed: write /r/snapshots/7/fs/x: disk quota exceeded":    unix.EDQUOT,
	} {
		got := Full(errors.New(text))
		if !errors.Is(got, want) || got.Error() != want.Error()+": the disk of the images is full; remove images or files" {
			t.Errorf("%s: %v", text, got)
		}
	}
}
