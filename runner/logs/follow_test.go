package logs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/logs/reader"
)

// A reader that comes late sees every file that was rotated meanwhile, in their order; with a watch and without.
func TestFollowManyRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pod", "c", "0.log")
	p, err := Open(filepath.Join(t.TempDir(), "io"), logfile.New(path, logfile.Limits{MaxSize: 2000, MaxFiles: 1000}), Streams{Keeper: noKeeper{}})
	if err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(p.Paths().Stdout, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(fifo, "line 0")
	appears(t, path, "line 0")
	r, w := io.Pipe()
	ended, followed := make(chan struct{}), make(chan error, 1)
	go func() {
		err := reader.Read(context.Background(), path, reader.Options{Tail: -1, Follow: true}, w, ended)
		w.CloseWithError(io.EOF)
		followed <- err
	}()
	sc := bufio.NewScanner(r)
	if !sc.Scan() || sc.Text() != "line 0" {
		t.Fatalf("the first line is %q", sc.Text())
	}
	const lines = 5000 // the follower, held back by its pipe, sees none of them before all are rotated
	for i := 1; i < lines; i++ {
		fmt.Fprintf(fifo, "line %d\n", i)
		if i%10 == 0 {
			eventually(t, "the line is read", func() bool { return inPipe(fifo) == 0 })
		}
	}
	fifo.Close()
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	close(ended)
	for i := 1; i < lines; i++ {
		if !sc.Scan() || sc.Text() != fmt.Sprintf("line %d", i) {
			t.Fatalf("line %d is %q", i, sc.Text())
		}
	}
	if sc.Scan() {
		t.Errorf("another line: %q", sc.Text())
	}
	if err := <-followed; err != nil {
		t.Error(err)
	}
}
