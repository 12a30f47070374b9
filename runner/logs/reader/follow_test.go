package reader

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/logs/cri"
	"github.com/solopod/solopod/runner/logs/logfile"
)

// Whenever a log is rotated, who follows it misses no line and sees none twice, and sees the last one.
func TestFollowWhileRotated(t *testing.T) {
	const lines = 20_000
	path := filepath.Join(t.TempDir(), "ctr", "0.log")
	file := logfile.New(path, logfile.Limits{MaxSize: 2000, MaxFiles: lines})
	defer file.Close()
	nothing, done := func(int64) {}, func() {}
	write := func(n int) error {
		text, _ := cri.Format(nil, "stdout", time.Now(), fmt.Appendln(nil, n), true)
		return file.Transaction(text, nothing, done)
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() { w.CloseWithError(Read(context.Background(), path, Options{Tail: -1, Follow: true}, w, ended)) }()
	go func() {
		defer close(ended)
		for n := 1; n < lines; n++ {
			if err := write(n); err != nil {
				t.Error(err)
			}
		}
	}()
	sc := bufio.NewScanner(r)
	n := 0
	for ; sc.Scan(); n++ {
		if sc.Text() != fmt.Sprint(n) {
			t.Fatalf("line %d is %q", n, sc.Text())
		}
	}
	if n != lines || sc.Err() != nil {
		t.Errorf("%d lines, %v", n, sc.Err())
	}
}
