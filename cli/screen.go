package cli

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/solopod/solopod/cli/visible"
)

// screen is where a command prints: what a terminal would obey is escaped on its way, whoever said it, so that no command needs to
// think of it. Sequences of the commands' own go through control, and what is asked for as it is (logs) through verbatim. Writes may come
// from several goroutines, as of the connections of a port-forward.
type screen struct {
	w  *os.File
	mu sync.Mutex
	// begun is the beginning of a character whose rest has not been written yet.
	begun []byte
}

// Write implements io.Writer.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(s.begun, b...)
	whole := len(all) - visible.Incomplete(all)
	s.begun = append([]byte(nil), all[whole:]...)
	if _, err := io.WriteString(s.w, visible.Text(string(all[:whole]))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// end prints what was begun and never ended.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.begun) == 0 {
		return // a write of nothing waits as well where nobody reads the daemon's log
	}
	io.WriteString(s.w, visible.Text(string(s.begun))) //nolint:errcheck // the output's own error has been seen
	s.begun = nil
}

// verbatim is the same output, without escapes.
func verbatim(w io.Writer) io.Writer {
	if s, ok := w.(*screen); ok {
		return s.w
	}
	return w
}

// control writes a control sequence of this program's own.
func control(w io.Writer, sequence string) error {
	_, err := io.WriteString(verbatim(w), sequence)
	return err
}

// onTerminal says whether w is a terminal.
func onTerminal(w io.Writer) bool {
	f, ok := verbatim(w).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// data is where data go that a program may read on: as they are, but on a terminal.
func data(w io.Writer) io.Writer {
	if onTerminal(w) {
		return w
	}
	return verbatim(w)
}
