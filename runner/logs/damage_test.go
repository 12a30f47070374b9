package logs

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solopod/solopod/runner/logs/logfile"
)

// FuzzJournal opens a journal as a crash, or another, may have left it: what is in the log already stays, and what comes is
// written.
func FuzzJournal(f *testing.F) {
	add := func(state, expect, size uint64, text string, length int) {
		header := make([]byte, 64)
		for i, word := range []uint64{state, expect, size} {
			binary.NativeEndian.PutUint64(header[8*i:], word)
		}
		f.Add(header, []byte(text), length)
	}
	const reading, writing = 1 << 48, 2 << 48 // behind it the bounds of what is pending, 24 bits each
	add(3, 0, 0, "abc", journalSize)
	add(reading|3, 5, 0, "abcde\nfg", journalSize)
	add(writing|1<<24|4, 0, 37, "abc\n", journalSize)
	add(writing|100<<24|0xfffe, 0, 0, "\n\n", 200)
	const before = "2026-01-01T00:00:01Z stdout F before\n"
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, header, text []byte, length int) {
		b := make([]byte, journalSize+64)
		copy(b[:64], header)
		copy(b[64:], text)
		path, log := filepath.Join(dir, "stdout.journal"), filepath.Join(dir, "pod", "c", "0.log")
		if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b[:min(max(length, 0), len(b))], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(log, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		file := logfile.New(log, logfile.Limits{})
		st, trouble, err := openStream(dir, "stdout", file, nil)
		if err != nil || trouble != nil {
			t.Fatal(err, trouble)
		}
		st.expectTorn()
		if _, err := st.fifo.WriteString("\nafter\n"); err != nil {
			t.Fatal(err)
		}
		for n := 1; n > 0; {
			if n, err = st.step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(st.finish(), file.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(log)
		if err != nil || !strings.HasPrefix(string(got), before) || !strings.HasSuffix(string(got), " stdout F after\n") {
			t.Errorf("the log: %q, %v", got, err)
		}
	})
}
