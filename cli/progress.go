package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/solopod/solopod/cli/visible"
)

// progress shows on a terminal how much of a file was sent.
type progress struct {
	w           io.Writer
	f           *os.File
	total, read int64
	shown       int64
}

// withProgress reads a file and shows on w how far that is, until end; only reads it where w is no terminal or the size is not known.
func withProgress(w io.Writer, f *os.File) (body io.Reader, end func()) {
	none := func() {}
	if !onTerminal(w) {
		return f, none
	}
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return f, none
	}
	p := &progress{w: w, f: f, total: info.Size(), shown: -1}
	return p, p.end
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.f.Read(b)
	p.read += int64(n)
	if percent := 100 * p.read / p.total; percent != p.shown {
		p.shown = percent
		control(p.w, "\r") //nolint:errcheck // it only shows how far the work is
		fmt.Fprintf(p.w, "%s: %d %% of %s", visible.Line(p.f.Name()), percent, size(p.total))
		if percent == 100 {
			fmt.Fprint(p.w, ", unpacking ...")
		}
	}
	return n, err
}

func (p *progress) end() {
	control(p.w, "\r\033[K") //nolint:errcheck // as in Read
}
