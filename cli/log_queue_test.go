package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/solopod/solopod/internal/stuck"
)

// Nobody waits for a reader that does not read; what it missed is counted, and what comes behind is in order.
func TestLogQueue(t *testing.T) {
	const lines, most = 10_000, 10_000
	r, w, full := stuck.Pipe(t)
	q := newLogQueue(w, most, func(lost int) []byte { return fmt.Appendf(nil, "lost %d\n", lost) })
	began := time.Now()
	for i := range lines {
		if n, err := fmt.Fprintf(q, "line %d\n", i); err != nil || n == 0 {
			t.Fatalf("%d, %v", n, err)
		}
	}
	q.flush(50 * time.Millisecond)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, r, int64(full)); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(r)
	next, lost := 0, 0
	for next < lines {
		if !scanner.Scan() {
			t.Fatal("no more lines: ", scanner.Err())
		}
		var n int
		if _, err := fmt.Sscanf(scanner.Text(), "lost %d", &n); err == nil {
			next, lost = next+n, lost+n
		} else if scanner.Text() == fmt.Sprintf("line %d", next) {
			next++
		} else {
			t.Fatalf("line %d is %q", next, scanner.Text())
		}
	}
	if lost == 0 || lost > lines-most/len("line 9999\n")/2 {
		t.Errorf("%d of %d lines were lost", lost, lines)
	}
	fmt.Fprintln(q, "now it reads")
	if !scanner.Scan() || scanner.Text() != "now it reads" {
		t.Errorf("the last line is %q", scanner.Text())
	}
	q.flush(time.Minute)
}

// flush waits for what is queued, also when it is called often and for nothing.
func TestLogQueueFlush(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	q := newLogQueue(w, 1<<10, nil)
	q.flush(time.Minute)
	for i := range 1000 {
		fmt.Fprintln(q, i)
		q.flush(time.Minute)
		var n int
		if _, err := fmt.Fscanln(r, &n); err != nil || n != i {
			t.Fatalf("%d, %v", n, err)
		}
	}
}
