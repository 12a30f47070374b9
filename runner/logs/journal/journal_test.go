package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A run that is killed between announcing a read and noting it finds what was read, or nothing if the read was not done.
func TestRecover(t *testing.T) {
	for name, read := range map[string]bool{"read": true, "not read": false} {
		path := filepath.Join(t.TempDir(), "journal")
		j, trouble := Open(path)
		if trouble != nil {
			t.Fatal(trouble)
		}
		fill(t, j, "abc")
		var killed []byte // the file at that moment
		_, err := j.Read(2, time.Now(), func(b []byte) (int, error) {
			if read {
				copy(b, "de")
			}
			killed = bytes.Clone(j.mem)
			return 0, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, killed, 0o600); err != nil {
			t.Fatal(err)
		}
		want := "abc"
		if read {
			want = "abcde"
		}
		if j, trouble = Open(path); trouble != nil {
			t.Fatal(trouble)
		}
		j.Recover()
		if got := string(j.Pending()); got != want {
			t.Errorf("%s: %q is pending, not %q", name, got, want)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Room never costs what is pending.
func TestRoom(t *testing.T) {
	j := newJournal(make([]byte, fileSize), "", false)
	for fillSize := bufferSize; fillSize > 0; fillSize -= 4000 {
		fill(t, j, string(bytes.Repeat([]byte{'x'}, 4000)))
		if j.Room() {
			j.Written(len(j.Pending()) - 3)
			if j.Room() || string(j.Pending()) != "xxx" {
				t.Fatalf("pending: %q", j.Pending())
			}
		}
	}
	n := len(j.Pending())
	j.Writing(42)
	if size, text, ok := j.Interrupted(); !ok || size != 42 || len(text) != n {
		t.Errorf("interrupted %t, at %d", ok, size)
	}
	j.Written(n)
	if _, _, ok := j.Interrupted(); ok || len(j.Pending()) != 0 {
		t.Error("it is still being written")
	}
}

func fill(t *testing.T, j *Journal, text string) {
	t.Helper()
	n, err := j.Read(len(text), time.Now(), func(b []byte) (int, error) { return copy(b, text), nil })
	if err != nil || n == 0 {
		t.Fatalf("%d, %v", n, err)
	}
}

// FuzzOpen opens a file as a crash, or another, may have left it: whatever it is, the journal can be used.
func FuzzOpen(f *testing.F) {
	add := func(phase uint64, start, end int, expect, size uint64, text string, length int) {
		j := newJournal(make([]byte, fileSize), "", false)
		copy(j.buf, text)
		j.store(phase, start, end)
		*j.expect, *j.size = expect, size
		f.Add(j.mem[:headerSize], []byte(text), length)
	}
	add(phaseIdle, 0, 3, 0, 0, "abc", fileSize)
	add(phaseReading, 0, 3, 5, 0, "abcde\nfg", fileSize)
	add(phaseWriting, 1, 4, 0, 37, "abc\n", fileSize)
	add(phaseWriting, 100, bufferSize-1, 0, 0, "\n\n", 200)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, header, text []byte, length int) {
		b := make([]byte, fileSize+headerSize)
		copy(b[:headerSize], header)
		copy(b[headerSize:], text)
		path := filepath.Join(dir, "journal")
		if err := os.WriteFile(path, b[:min(max(length, 0), len(b))], 0o600); err != nil {
			t.Fatal(err)
		}
		j, trouble := Open(path)
		if trouble != nil {
			t.Fatal(trouble)
		}
		j.Recover()
		j.Interrupted()
		if j.Room() {
			j.Written(len(j.Pending()))
			j.Room()
		}
		before := len(j.Pending())
		fill(t, j, "after")
		if got := string(j.Pending()[before:]); got != "after" {
			t.Errorf("read: %q", got)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}
